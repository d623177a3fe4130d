package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// TestPostmarkInactiveRecipients: those that Postmark names fail, whether it takes the mail for the others, refuses all
// or does not say whom it means.
func TestPostmarkInactiveRecipients(t *testing.T) {
	header := "From: app@example.com\nSubject: s\nTo: Ann@example.org, inactive@example.org\nCc: bob@example.org\n\nbody\n"
	up, fake := start(t, "postmark", "")
	m := makeMail(t, header, "Ann@example.org", "inactive@example.org", "bob@example.org", "INACTIVE@example.org", "inactive@other.example")
	for i, o := range up.Send(t.Context(), m) {
		if i == 0 || i == 2 {
			if o.Err != nil || o.ID != "postmark-1" {
				t.Errorf("%s: %+v", m.To[i].Address, o)
			}
		} else if e := asError(t, o.Err); e.Class != upstream.Permanent || e.Code != "5.7.1" || !strings.Contains(e.Error(), "inactive") {
			t.Errorf("%s: %+v", m.To[i].Address, e)
		}
	}
	if fake.Requests() != 1 || !slices.Equal(fake.Accepted()[0].Recipients, []string{"ann@example.org", "bob@example.org"}) {
		t.Errorf("%d requests, taken %+v", fake.Requests(), fake.Accepted())
	}

	m = makeMail(t, header, "inactive@example.org", "inactive@other.example")
	for _, o := range up.Send(t.Context(), m) {
		if e := asError(t, o.Err); e.Class != upstream.Permanent || e.Code != "5.7.1" || e.Status != 422 {
			t.Errorf("%+v", e)
		}
	}
	if fake.Requests() != 2 {
		t.Errorf("%d requests for a mail that nobody can get", fake.Requests())
	}

	fake.Reset()
	fake.Script(upstreamtest.Fault{Status: 200, Body: `{"ErrorCode":0,"MessageID":"7","Message":"Message OK, but will not deliver to these inactive addresses: ann@example.org."}`},
		upstreamtest.Fault{Status: 422, Body: postmarkBody(406, "You tried to send to a recipient that has been marked as inactive.")})
	if e := asError(t, up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))[0].Err); e.Class != upstream.Permanent {
		t.Errorf("taken for nobody: %+v", e)
	}
	for _, o := range up.Send(t.Context(), makeMail(t, header, "Ann@example.org", "bob@example.org")) {
		if o.Err != nil {
			t.Errorf("a refusal without a name is searched by halves: %v", o.Err)
		}
	}
}

// TestPostmarkBarredFiles: files that Postmark bars are told before anything is sent; what we name has a name that it takes.
func TestPostmarkBarredFiles(t *testing.T) {
	message := func(name string) *upstream.Mail {
		return makeMail(t, "From: app@example.com\nTo: ann@example.org\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n"+
			"Content-Type: application/x-odd"+name+"\n\nfile\n--b--\n", "ann@example.org")
	}
	up, fake := start(t, "postmark", "")
	for _, name := range []string{"setup.exe", "a.b.MSI", "run.bat. ", "db.mdb", "x.bin"} {
		m := message("; name=\"" + name + "\"")
		e := asError(t, up.Send(t.Context(), m)[0].Err)
		if e.Class != upstream.Unrepresentable || e.Code != "5.6.1" || !strings.Contains(e.Error(), "Postmark takes no files of this type") {
			t.Errorf("%s: %+v", name, e)
		}
		sameVerdict(t, name, up, m)
	}
	if fake.Requests() != 0 {
		t.Errorf("%d requests", fake.Requests())
	}
	for name, want := range map[string]string{"; name=exe": "exe", "; name=\"a.exe.txt\"": "a.exe.txt", "": "attachment.dat"} {
		fake.Reset()
		if out := up.Send(t.Context(), message(name)); out[0].Err != nil || fake.Accepted()[0].Attachments[0].Name != want {
			t.Errorf("%q: %+v, %v", name, out[0], fake.Accepted())
		}
	}
}

// TestPostmarkLargeTexts: each text has a limit of its own.
func TestPostmarkLargeTexts(t *testing.T) {
	up := mustOpen(t, "postmark", "server_token = 'k'\n")
	for lines, fits := range map[int]bool{5 << 10: true, 5<<10 + 1: false} {
		m := makeMail(t, strings.TrimSuffix(plainMessage, "body\n")+strings.Repeat(strings.Repeat("x", 1022)+"\n", lines), "ann@example.org")
		err := up.(upstream.Preflighter).Preflight(m)
		if (err == nil) != fits || !fits && asError(t, err).Code != "5.3.4" {
			t.Errorf("%d KB: %v", lines, err)
		}
	}
}

// TestPostmarkInstructions: X-PM-* fields count where the operator permits it, or wrote them.
func TestPostmarkInstructions(t *testing.T) {
	long := strings.Repeat("x", 81)
	message := "X-PM-Tag: welcome\nX-PM-Message-Stream: outbound\nX-PM-Metadata-Order: 17\nX-PM-Metadata-order: 18\nX-PM-Metadata-Long: " + long +
		"\nX-PM-Metadata-mailhatch_id: other\nX-PM-TrackOpens: true\n" + plainMessage
	options := func(settings string, own ...string) string {
		up, fake := start(t, "postmark", settings)
		m := makeMail(t, message, "ann@example.org")
		m.Own = own
		if out := up.Send(t.Context(), m); out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
		got := fake.Accepted()[0]
		if got.Headers["X-PM-Tag"] != "" || got.Options["mailhatch_id"] != m.ID || got.Options["TrackOpens"] != "" || got.Options["TrackLinks"] != "None" ||
			got.Headers["Message-ID"] != "<m@example.com>" || got.Headers["X-PM-KeepID"] != "true" {
			t.Errorf("%s: %+v", settings, got)
		}
		return fmt.Sprintf("%s %s %s %s", got.Options["stream"], got.Options["tag"], got.Options["Order"], got.Options["Long"])
	}
	for settings, want := range map[string]string{"": "   ", "message_stream = 'outbound'\n": "outbound   ", "pass_control_headers = true\n": "outbound welcome 17 "} {
		if got := options(settings); got != want {
			t.Errorf("%s: %q, want %q", settings, got, want)
		}
	}
	if got := options("", "X-PM-Tag"); got != " welcome  " {
		t.Errorf("written by a rule: %q", got)
	}
}
