package fakes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"mailhatch/upstream/upstreamtest"
)

// jmapImport and jmapSubmission are the arguments of the calls that send (RFC 8621 4.8 and 7.5).
type jmapImport struct {
	AccountID string `json:"accountId"`
	Emails    map[string]struct {
		BlobID     string          `json:"blobId"`
		MailboxIDs map[string]bool `json:"mailboxIds"`
		Keywords   map[string]bool `json:"keywords"`
	} `json:"emails"`
}

type jmapAddress struct {
	Email      string             `json:"email"`
	Parameters map[string]*string `json:"parameters"`
}

type jmapSubmission struct {
	AccountID string `json:"accountId"`
	Create    map[string]struct {
		IdentityID string `json:"identityId"`
		EmailID    string `json:"emailId"`
		Envelope   struct {
			MailFrom jmapAddress   `json:"mailFrom"`
			RcptTo   []jmapAddress `json:"rcptTo"`
		} `json:"envelope"`
	} `json:"create"`
	OnSuccessUpdateEmail map[string]map[string]any `json:"onSuccessUpdateEmail"`
}

// jmapNot is the answer of a method that did not make a record (RFC 8620 5.3).
func jmapNot(method, key, kind, description string) *upstreamtest.Answer {
	return jmapResponse(method, map[string]any{"accountId": jmapAccount, "notCreated": map[string]any{
		key: map[string]string{"type": kind, "description": description}}}, key)
}

// Accepted tells the email's id too, and that it went to Sent.
func (j *jmap) Accepted(msg *upstreamtest.Message) *upstreamtest.Answer {
	j.mu.Lock()
	defer j.mu.Unlock()
	return jmapResponse(
		"Email/import", map[string]any{"accountId": jmapAccount, "created": map[string]any{"m": map[string]any{"id": fmt.Sprintf("e%d", len(j.emails)-1)}}}, "m",
		"EmailSubmission/set", map[string]any{"accountId": jmapAccount, "created": map[string]any{"s": map[string]any{"id": msg.ID, "undoStatus": "final"}}}, "s",
		"Email/set", map[string]any{"accountId": jmapAccount, "updated": map[string]any{}}, "s")
}

// Take imports and submits in one request.
func (j *jmap) Take(_ *upstreamtest.Server, r *http.Request, body []byte, msg *upstreamtest.Message) *upstreamtest.Answer {
	req, problem := readJMAP(r, body)
	if problem != nil {
		return problem
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	calls := req.MethodCalls
	imported := ""
	if string(calls[0][0]) == `"Email/import"` {
		id, problem := j.imports(calls[0][1])
		if problem != nil {
			return problem
		}
		imported, calls = id, calls[1:]
	}
	var set jmapSubmission
	if len(calls) != 1 || string(calls[0][0]) != `"EmailSubmission/set"` || string(calls[0][2]) != `"s"` {
		return jmapProblem(400, "urn:ietf:params:jmap:error:notRequest", "other method calls than those that send")
	}
	if err := upstreamtest.DecodeStrict(calls[0][1], &set); err != nil {
		return jmapResponse("error", map[string]string{"type": "invalidArguments", "description": err.Error()}, "s")
	}
	return j.submits(msg, &set, imported)
}

// imports returns the id of the email that is made.
func (j *jmap) imports(args json.RawMessage) (string, *upstreamtest.Answer) {
	var set jmapImport
	if err := upstreamtest.DecodeStrict(args, &set); err != nil {
		return "", jmapResponse("error", map[string]string{"type": "invalidArguments", "description": err.Error()}, "m")
	}
	m, ok := set.Emails["m"]
	_, known := j.blobs[m.BlobID]
	switch {
	case set.AccountID != jmapAccount || !ok || len(set.Emails) != 1:
		return "", jmapResponse("error", map[string]string{"type": "accountNotFound"}, "m")
	case !known:
		return "", jmapNot("Email/import", "m", "blobNotFound", "no such blob")
	case !m.MailboxIDs["drafts"] || len(m.MailboxIDs) != 1 || !m.Keywords["$draft"]:
		return "", jmapNot("Email/import", "m", "invalidProperties", "mailboxIds")
	}
	j.emails = append(j.emails, m.BlobID)
	return fmt.Sprintf("e%d", len(j.emails)-1), nil
}

// submits takes the envelope, and the email as it was uploaded.
func (j *jmap) submits(msg *upstreamtest.Message, set *jmapSubmission, imported string) *upstreamtest.Answer {
	const method = "EmailSubmission/set"
	s, ok := set.Create["s"]
	id := s.EmailID
	if id == "#m" && imported != "" {
		id = imported
	}
	n, err := strconv.Atoi(strings.TrimPrefix(id, "e"))
	after := set.OnSuccessUpdateEmail["#s"]
	switch {
	case !ok || set.AccountID != jmapAccount || err != nil || n < 0 || n >= len(j.emails):
		return jmapNot(method, "s", "invalidProperties", "emailId")
	case !strings.HasPrefix(s.IdentityID, "i"):
		return jmapNot(method, "s", "invalidProperties", "identityId")
	case after["mailboxIds/sent"] != true || len(after) != 3:
		return jmapNot(method, "s", "invalidPatch", "the email would stay in Drafts")
	case s.Envelope.MailFrom.Email != "" && upstreamtest.CheckAddress(s.Envelope.MailFrom.Email) != nil:
		return jmapNot(method, "s", "forbiddenMailFrom", s.Envelope.MailFrom.Email)
	case len(s.Envelope.RcptTo) == 0:
		return jmapNot(method, "s", "noRecipients", "The envelope has no recipients")
	}
	var list []string
	for _, a := range s.Envelope.RcptTo {
		list = append(list, a.Email)
	}
	if fault := takeRecipients(msg, list); fault != "" {
		return jmapNot(method, "s", "invalidRecipients", fault)
	}
	msg.Raw = j.blobs[j.emails[n]]
	if err := upstreamtest.ReadRaw(msg); err != nil {
		return jmapNot(method, "s", "invalidEmail", err.Error())
	}
	return nil
}
