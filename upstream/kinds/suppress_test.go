package kinds_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
)

// listing is a provider's list: what it is asked, and what it answers.
type listing struct {
	answers map[string]string // by "METHOD path?query" or, of a POST, "METHOD path body"; others are not found
	list    string            // what is read of it, "address kind year words", page by page
	removal []string          // what is asked to take rude@example.org off
}

// listings have the fields of the providers' documentation.
var listings = map[string]listing{
	"resend": {map[string]string{
		"GET /suppressions?limit=100": `{"object":"list","has_more":true,"data":[{"id":"s1","email":"gone@example.org","origin":"bounce","source_id":null,"created_at":"2023-10-06 23:47:56.678+00"}]}`,
		"GET /suppressions?after=s1&limit=100": `{"object":"list","has_more":false,"data":[{"id":"s2","email":"rude@example.org","origin":"complaint","created_at":"2024-10-06 23:47:56.678+00"},
			{"id":"s3","email":"hand@example.org","origin":"manual","created_at":"2025-10-06 23:47:56.678+00"}]}`,
		"DELETE /suppressions/rude@example.org": `{"object":"suppression","id":"s2","deleted":true}`,
	}, "gone@example.org bounced 2023; rude@example.org complained 2024, hand@example.org suppressed 2025", []string{"DELETE /suppressions/rude@example.org"}},
	"sendgrid": {map[string]string{
		"GET /v3/suppression/bounces?limit=500":                `[{"created":1443651125,"email":"gone@example.org","reason":"550 5.1.1 no\nsuch user","status":"5.1.1"}]`,
		"GET /v3/suppression/invalid_emails?limit=500":         `[{"created":1449953655,"email":"bad@example.org","reason":"Mail domain mentioned in email address is unknown"}]`,
		"GET /v3/suppression/spam_reports?limit=500":           `[{"created":1443651141,"email":"rude@example.org","ip":"10.63.202.100"}]`,
		"GET /v3/suppression/unsubscribes?limit=500":           `[]`,
		"DELETE /v3/suppression/spam_reports/rude@example.org": ``,
	}, "gone@example.org bounced 2015 550 5.1.1 no such user; bad@example.org bounced 2015 Mail domain mentioned in email address is unknown; rude@example.org complained 2015; ",
		[]string{"DELETE /v3/suppression/bounces/rude@example.org", "DELETE /v3/suppression/invalid_emails/rude@example.org", "DELETE /v3/suppression/spam_reports/rude@example.org",
			"DELETE /v3/asm/suppressions/global/rude@example.org"}},
	"mailgun": {map[string]string{
		"GET /v3/mg.example.com/bounces?limit=1000": `{"items":[{"address":"gone@example.org","code":"550","error":"No such mailbox","created_at":"Fri, 21 Oct 2011 11:02:55 UTC"}],
			"paging":{"next":"https://api.mailgun.net/v3/mg.example.com/bounces?page=next&address=gone%40example.org&limit=1000"}}`,
		"GET /v3/mg.example.com/bounces?page=next&address=gone%40example.org&limit=1000": `{"items":[],"paging":{"next":"https://api.mailgun.net/v3/mg.example.com/bounces?page=next"}}`,
		"GET /v3/mg.example.com/complaints?limit=1000":                                   `{"items":[{"address":"rude@example.org","created_at":"Fri, 21 Oct 2012 11:02:55 UTC"}],"paging":{}}`,
		"GET /v3/mg.example.com/unsubscribes?limit=1000":                                 `{"items":[{"address":"no@example.org","tags":["*"],"created_at":"Fri, 21 Oct 2013 11:02:55 UTC"}]}`,
		"DELETE /v3/mg.example.com/complaints/rude@example.org":                          `{"message":"Complaint has been removed"}`,
	}, "gone@example.org bounced 2011 No such mailbox; ; rude@example.org complained 2012; no@example.org unsubscribed 2013",
		[]string{"DELETE /v3/mg.example.com/bounces/rude@example.org", "DELETE /v3/mg.example.com/complaints/rude@example.org", "DELETE /v3/mg.example.com/unsubscribes/rude@example.org"}},
	"postmark": {map[string]string{
		"GET /message-streams/outbound/suppressions/dump?SuppressionReason=HardBounce":                              `{"Suppressions":[{"EmailAddress":"gone@example.org","SuppressionReason":"HardBounce","Origin":"Recipient","CreatedAt":"2019-12-10T08:58:33-05:00"}]}`,
		"GET /message-streams/outbound/suppressions/dump?SuppressionReason=SpamComplaint":                           `{"Suppressions":[]}`,
		"GET /message-streams/outbound/suppressions/dump?SuppressionReason=ManualSuppression":                       `{"Suppressions":[{"EmailAddress":"hand@example.org","SuppressionReason":"ManualSuppression","Origin":"Customer","CreatedAt":"2020-12-10T08:58:33-05:00"}]}`,
		`POST /message-streams/outbound/suppressions/delete {"Suppressions":[{"EmailAddress":"rude@example.org"}]}`: `{"Suppressions":[{"EmailAddress":"rude@example.org","Status":"Deleted","Message":null}]}`,
	}, "gone@example.org bounced 2019; ; hand@example.org suppressed 2020", []string{`POST /message-streams/outbound/suppressions/delete {"Suppressions":[{"EmailAddress":"rude@example.org"}]}`}},
	"brevo": {map[string]string{
		"GET /v3/smtp/blockedContacts?limit=100": `{"count":2,"contacts":[{"email":"gone@example.org","senderEmail":"a@example.com","reason":{"code":"hardBounce","message":"Hard bounce"},"blockedAt":"2017-05-01T12:30:00Z"},
			{"email":"no@example.org","senderEmail":"a@example.com","reason":{"code":"unsubscribedViaEmail","message":"Unsubscribed via Email"},"blockedAt":"2018-05-01T12:30:00Z"}]}`,
		"DELETE /v3/smtp/blockedContacts/rude@example.org": ``,
	}, "gone@example.org bounced 2017 Hard bounce, no@example.org unsubscribed 2018 Unsubscribed via Email", []string{"DELETE /v3/smtp/blockedContacts/rude@example.org"}},
	"sparkpost": {map[string]string{
		"GET /api/v1/suppression-list?cursor=initial&per_page=1000": `{"results":[{"recipient":"gone@example.org","type":"transactional","source":"Bounce Rule","description":"550 5.1.1","created":"2016-01-01T12:00:00+00:00","updated":"2016-01-01T12:00:00+00:00"}],
			"links":[{"href":"/api/v1/suppression-list?cursor=WyIxMyIs&per_page=1000","rel":"next"}],"total_count":2}`,
		"GET /api/v1/suppression-list?cursor=WyIxMyIs&per_page=1000": `{"results":[{"recipient":"law@example.org","type":"transactional","source":"Compliance","created":"2017-01-01T12:00:00+00:00"}],"links":[],"total_count":2}`,
		"DELETE /api/v1/suppression-list/rude@example.org":           ``,
	}, "gone@example.org bounced 2016 550 5.1.1; law@example.org suppressed 2017", []string{"DELETE /api/v1/suppression-list/rude@example.org"}},
	"mandrill": {map[string]string{
		`POST /rejects/list.json {"key":"KEY"}`: `[{"email":"gone@example.org","reason":"hard-bounce","detail":"550 mailbox does not exist","created_at":"2013-01-01 15:30:27","expires_at":"2013-01-01 15:30:49","expired":false},
			{"email":"soft@example.org","reason":"soft-bounce","created_at":"2013-01-01 15:30:27"},{"email":"rude@example.org","reason":"spam","detail":"","created_at":"2014-01-01 15:30:27"}]`,
		`POST /rejects/delete.json {"key":"KEY","email":"never@example.org"}`: `{"status":"error","code":12,"name":"Invalid_Reject","message":"The requested email is not in the rejection list"}`,
		`POST /rejects/delete.json {"key":"KEY","email":"rude@example.org"}`:  `{"email":"rude@example.org","deleted":true,"subaccount":null}`,
	}, "gone@example.org bounced 2013 550 mailbox does not exist, rude@example.org complained 2014", []string{`POST /rejects/delete.json {"key":"KEY","email":"rude@example.org"}`}},
	"ses": {map[string]string{
		"GET /v2/email/suppression/addresses?PageSize=1000":              `{"SuppressedDestinationSummaries":[{"EmailAddress":"gone@example.org","Reason":"BOUNCE","LastUpdateTime":1586549351.12}],"NextToken":"t1"}`,
		"GET /v2/email/suppression/addresses?NextToken=t1&PageSize=1000": `{"SuppressedDestinationSummaries":[{"EmailAddress":"rude@example.org","Reason":"COMPLAINT","LastUpdateTime":1618085351}]}`,
		"DELETE /v2/email/suppression/addresses/rude@example.org":        `{}`,
	}, "gone@example.org bounced 2020; rude@example.org complained 2021", []string{"DELETE /v2/email/suppression/addresses/rude@example.org"}},
}

// provider answers as a listing has it, and notes what it was asked.
type listServer struct {
	*httptest.Server
	listing
	asked  []string
	status int // of all answers; 0: as listed
}

func (s *listServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	ask := r.Method + " " + r.URL.RequestURI()
	if len(body) > 0 {
		ask += " " + strings.ReplaceAll(string(body), "\n", "")
		if i := strings.Index(ask, `"key":"`); i >= 0 {
			key, rest, _ := strings.Cut(ask[i+7:], `"`)
			ask = strings.Replace(ask[:i+7]+"KEY\""+rest, key, "KEY", 1)
		}
	}
	s.asked = append(s.asked, ask)
	answer, ok := s.answers[ask]
	switch {
	case s.status != 0:
		w.WriteHeader(s.status)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"not found"}`)
	default:
		if strings.HasPrefix(answer, `{"status":"error"`) {
			w.WriteHeader(http.StatusInternalServerError) // as Mandrill answers all errors
		}
		fmt.Fprint(w, answer)
	}
}

// TestSuppressed: the provider's lists are read to their end, and addresses are taken off them.
func TestSuppressed(t *testing.T) {
	for _, k := range kinds.Kinds() {
		listing, ok := listings[k.Name]
		if !ok {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			s := &listServer{listing: listing}
			s.Server = httptest.NewServer(s)
			defer s.Close()
			l := suppressorAt(t, k, s.URL)
			var pages []string
			for after := ""; ; {
				list, next, err := l.Suppressed(t.Context(), after)
				if err != nil || len(pages) > 9 {
					t.Fatalf("after %q: %v; asked %q", after, err, s.asked)
				}
				var page []string
				for _, a := range list {
					page = append(page, strings.TrimSpace(fmt.Sprintf("%s %v %s %s", a.Address, a.Kind, a.At.Format("2006"), a.Words)))
				}
				pages = append(pages, strings.Join(page, ", "))
				if after = next; next == "" {
					break
				}
			}
			if got := strings.Join(pages, "; "); got != listing.list {
				t.Errorf("read %q, want %q", got, listing.list)
			}
			s.asked = nil
			if err := l.Unsuppress(t.Context(), "rude@example.org"); err != nil || !slices.Equal(s.asked, listing.removal) {
				t.Errorf("Unsuppress: %v; asked %q, want %q", err, s.asked, listing.removal)
			}
			if err := l.Unsuppress(t.Context(), "never@example.org"); err != nil && k.Name != "postmark" { // which has no answer for that
				t.Errorf("an address that is not listed: %v", err)
			}
			for status, class := range map[int]upstream.Class{503: upstream.Temporary, 403: upstream.Account} {
				s.status = status
				_, _, err := l.Suppressed(t.Context(), "")
				var e *upstream.Error
				if removal := l.Unsuppress(t.Context(), "rude@example.org"); !errors.As(err, &e) || e.Class != class && status == 503 || removal == nil {
					t.Errorf("%d: %v, %v", status, err, removal)
				}
			}
		})
	}
}

// TestNoSuppressor: kinds without such a list show none.
func TestNoSuppressor(t *testing.T) {
	for _, k := range kinds.Kinds() {
		if has := upstream.SuppressorOf(opened(t, k)) != nil; has != (listings[k.Name].answers != nil) {
			t.Errorf("%s shows a list: %v", k.Name, has)
		}
	}
}

func suppressorAt(t *testing.T, k upstream.Kind, address string) upstream.Suppressor {
	t.Helper()
	raw, err := settingsOf(k.Name)
	if err != nil {
		t.Fatal(err)
	}
	text := "base_url = \"" + address + "\"\n"
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "base_url") {
			text += line
		}
	}
	up, err := upstreamtest.Open(k, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c, ok := up.(io.Closer); ok {
			_ = c.Close()
		}
	})
	return upstream.SuppressorOf(up)
}
