package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// jmapTaken is the answer of a server to whatever it is asked: the session, what the account has, an upload and a submission.
const jmapTaken = `{"primaryAccounts":{"urn:ietf:params:jmap:submission":"u1"},"apiUrl":"/api","uploadUrl":"/upload/{accountId}","blobId":"b1",
"methodResponses":[["Identity/get",{"list":[{"id":"i1","email":"app@example.com"}]},"identities"],["Mailbox/query",{"ids":["d1"]},"drafts"],
["Email/import",{"created":{"m":{"id":"e1"}}},"m"],["EmailSubmission/set",{"created":{"s":{"id":"1"}}},"s"]]}`

// jmapNot is a submission that was refused; more are further fields.
func jmapNot(kind, description string, more ...string) string {
	s := fmt.Sprintf(`{"methodResponses":[["Email/import",{"created":{"m":{"id":"e0"}}},"m"],["EmailSubmission/set",{"notCreated":{"s":{"type":%q,"description":%q`, kind, description)
	for _, m := range more {
		s += "," + m
	}
	return s + `}}},"s"]],"sessionState":"1"}`
}

func jmapProblem(kind, detail string) string {
	return fmt.Sprintf(`{"type":"urn:ietf:params:jmap:error:%s","detail":%q}`, kind, detail)
}

var jmapRows = [...]errorRow{
	{status: 200, body: jmapNot("forbiddenFrom", "token "+apiKey), class: upstream.Account, sender: true, words: "***"},
	{status: 200, body: jmapNot("forbiddenMailFrom", "x"), class: upstream.Account, sender: true},
	{status: 200, body: jmapNot("forbiddenToSend", "x"), class: upstream.Account},
	{status: 200, body: jmapNot("overQuota", "x"), class: upstream.Account},
	{status: 200, body: jmapNot("rateLimit", "x"), class: upstream.Throttled, wait: time.Second},
	{status: 200, body: jmapNot("tooLarge", "x", `"maxSize":1`), class: upstream.Unrepresentable, code: "5.3.4"},
	{status: 200, body: jmapNot("tooManyRecipients", "x", `"maxRecipients":0`), class: upstream.Permanent, code: "5.5.3"},
	{status: 200, body: jmapNot("invalidRecipients", "x", `"invalidRecipients":["ann@example.org"]`), class: upstream.Permanent, code: "5.1.3"},
	{status: 200, body: jmapNot("noRecipients", "x"), class: upstream.Permanent, code: "5.1.3"},
	{status: 200, body: jmapNot("invalidEmail", "", `"properties":["from"]`), class: upstream.Permanent, words: "invalidEmail (from)"},
	{status: 200, body: jmapNot("invalidProperties", "x", `"properties":["envelope/rcptTo"]`), class: upstream.Permanent, code: "5.1.3"},
	{status: 200, body: jmapNot("invalidProperties", "x", `"properties":["identityId"]`), class: upstream.Temporary},
	{status: 200, body: jmapNot("somethingNew", "x"), class: upstream.Temporary},
	{status: 200, body: `{"methodResponses":[["Email/import",{"notCreated":{"m":{"type":"overQuota"}}},"m"],["EmailSubmission/set",{"notCreated":{"s":{"type":"invalidProperties","properties":["envelope"]}}},"s"]]}`,
		class: upstream.Account, code: "overQuota"},
	{status: 200, body: `{"methodResponses":[["error",{"type":"serverFail","description":"x"},"s"]]}`, class: upstream.Temporary},
	{status: 200, body: `{"methodResponses":[["error",{"type":"serverPartialFail"},"s"]]}`, class: upstream.Uncertain},
	{status: 200, body: `{"methodResponses":[["error",{"type":"accountReadOnly"},"m"]]}`, class: upstream.Account},
	{status: 200, body: `{"methodResponses":[["EmailSubmission/set",{},"s"]]}`, class: upstream.Uncertain},
	{status: 200, body: "<html>login</html>", class: upstream.Uncertain},
	{status: 400, body: jmapProblem("notJSON", "x"), class: upstream.Temporary},
	{status: 400, body: jmapProblem("unknownCapability", "x"), class: upstream.Account},
	{status: 400, body: `{"type":"urn:ietf:params:jmap:error:limit","limit":"maxSizeRequest"}`, class: upstream.Unrepresentable, code: "5.3.4"},
	{status: 400, body: `{"type":"urn:ietf:params:jmap:error:limit","limit":"maxConcurrentRequests"}`, class: upstream.Throttled, wait: time.Second},
	{status: 400, body: `{"type":"urn:ietf:params:jmap:error:limit","limit":"maxCallsInRequest"}`, class: upstream.Account},
	{status: 401, body: `{"type":"about:blank","detail":"x"}`, class: upstream.Account},
	{status: 503, header: "Retry-After: 3", body: "", class: upstream.Temporary, wait: 3 * time.Second},
}

// TestJMAPRecipients: only those whom the server names fail, and too many are offered by halves.
func TestJMAPRecipients(t *testing.T) {
	up, fake := start(t, "jmap", "")
	up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org")) // so that there is an email e0
	fake.Reset()
	fake.Script(upstreamtest.Fault{Status: 200, Body: jmapNot("invalidRecipients", "x", `"invalidRecipients":["Bob@example.org"]`)})
	out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org", "bob@example.org", "cat@example.org"))
	if e := asError(t, out[1].Err); e.Class != upstream.Permanent || out[0].Err != nil || out[2].Err != nil || fake.Requests() != 2 {
		t.Errorf("%+v after %d requests: %v", out, fake.Requests(), fake.Rejected())
	}
	fake.Reset()
	fake.Script(upstreamtest.Fault{Status: 200, Body: jmapNot("tooManyRecipients", "x")})
	out = up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org", "bob@example.org"))
	if out[0].Err != nil || out[1].Err != nil || len(fake.Accepted()) != 2 {
		t.Errorf("%+v: %v", out, fake.Rejected())
	}
}

// TestJMAPImportedBefore: an email that an earlier attempt left is submitted.
func TestJMAPImportedBefore(t *testing.T) {
	up, fake := start(t, "jmap", "")
	m := makeMail(t, plainMessage, "ann@example.org")
	up.Send(t.Context(), m)
	fake.Reset()
	fake.Script(upstreamtest.Fault{Status: 200, Body: `{"methodResponses":[["Email/import",{"notCreated":{"m":{"type":"alreadyExists","existingId":"e0"}}},"m"],
["EmailSubmission/set",{"notCreated":{"s":{"type":"invalidProperties","properties":["emailId"]}}},"s"]]}`})
	if out := up.Send(t.Context(), m); out[0].Err != nil || fake.Requests() != 2 || len(fake.Accepted()) != 1 {
		t.Errorf("%+v after %d requests: %v", out, fake.Requests(), fake.Rejected())
	}
}

// TestJMAPLongAnswers: an account with many identities, and a refusal of many recipients, are read to their end.
func TestJMAPLongAnswers(t *testing.T) {
	up, fake := start(t, "jmap", "")
	var domains []upstreamtest.Domain
	for i := range 2000 {
		domains = append(domains, upstreamtest.Domain{Name: fmt.Sprintf("department-%d.example.com", i)})
	}
	fake.SetDomains(domains...)
	var to, refused []string
	for i := range 400 {
		to = append(to, fmt.Sprintf("%s.%d@example.org", strings.Repeat("r", 50), i), fmt.Sprintf("%s.%d@%s.example.org", strings.Repeat("w", 50), i, strings.Repeat("d", 60)))
	}
	m := makeMail(t, strings.Replace(plainMessage, "app@example.com", "app@department-1999.example.com", 1), to[0])
	if o := up.Send(t.Context(), m)[0]; o.Err != nil {
		t.Fatalf("%v: %v", o.Err, fake.Rejected())
	}
	fake.Reset()
	for _, address := range to {
		if strings.HasPrefix(address, "w") {
			refused = append(refused, address)
		}
	}
	list, err := json.Marshal(refused)
	if err != nil {
		t.Fatal(err)
	}
	fake.Script(upstreamtest.Fault{Status: 200, Body: jmapNot("invalidRecipients", strings.Repeat("x", 70_000), `"invalidRecipients":`+string(list))})
	out := up.Send(t.Context(), makeMail(t, plainMessage, to[:500]...))
	for i, o := range out {
		if (o.Err != nil) != strings.HasPrefix(to[i], "w") {
			t.Fatalf("%s: %v", to[i], o.Err)
		}
	}
}
