package api_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// named finds a file.
func named(t *testing.T, got upstreamtest.Message, name string) upstreamtest.Attachment {
	t.Helper()
	for _, a := range got.Attachments {
		if a.Name == name {
			return a
		}
	}
	t.Errorf("%s: no file %q in %+v", got.Provider, name, got.Attachments)
	return upstreamtest.Attachment{}
}

var pitfallsOfContent = []pitfall{
	{"P05 an empty subject or body is not refused", func(t *testing.T) {
		for _, kind := range apiKinds {
			if got := sent(t, kind.name, "07-empty", ""); strings.TrimSpace(got[0].Subject+got[0].Text) != "" {
				t.Errorf("%+v", got)
			}
		}
	}},
	{"P06 text stands before HTML", func(t *testing.T) {
		raw := sent(t, "sendgrid", "03-everything", "")[0].Raw
		if text, html := bytes.Index(raw, []byte(`"text/plain"`)), bytes.Index(raw, []byte(`"text/html"`)); text < 0 || text > html {
			t.Errorf("text at %d, HTML at %d", text, html)
		}
	}},
	{"P07 further texts and footers are not lost", func(t *testing.T) {
		for message, words := range map[string]string{"08-several-texts": "a footer by the list server", "46-footer-after-html": "footer of the list", "47-two-htmls": "<p>two</p>"} {
			for _, kind := range jsonKinds {
				got := sent(t, kind, message, "")[0]
				all := got.Text + got.HTML
				for _, a := range got.Attachments {
					all += string(a.Data)
				}
				if !strings.Contains(all, words) {
					t.Errorf("%s %s: %q is lost", kind, message, words)
				}
			}
		}
	}},
	{"P08 files without a name get one", func(t *testing.T) {
		for _, kind := range jsonKinds {
			got := sent(t, kind, "09-unnamed-files", "")[0]
			named(t, got, "attachment.pdf")
			if len(got.Attachments) != 2 {
				t.Errorf("%+v", got.Attachments)
			}
		}
		if got := sent(t, "mailgun", "09-unnamed-files", "")[0]; len(got.Attachments) != 2 {
			t.Errorf("%+v", got.Attachments)
		}
	}},
	{"P09 Resend drops mail whose file name contradicts the type", func(t *testing.T) {
		got := sent(t, "resend", "10-name-against-type", "")[0]
		if a := named(t, got, "report.pdf"); a.Type != "application/octet-stream" {
			t.Errorf("%+v", a)
		}
		if a := named(t, got, "Report v1. final.pdf"); a.Type != "application/pdf" {
			t.Errorf("%+v", a)
		}
	}},
	{"P10 a text file keeps its bytes whatever its charset", func(t *testing.T) {
		for _, kind := range jsonKinds {
			a := named(t, sent(t, kind, "11-text-file-charset", "")[0], "liste.csv")
			if !bytes.Contains(a.Data, []byte("M\xfcller")) || kind == "sendgrid" && a.Type != "text/csv" {
				t.Errorf("%s: %s %q", kind, a.Type, a.Data)
			}
		}
	}},
	{"P11 file names beyond ASCII arrive", func(t *testing.T) {
		if got := sent(t, "mailgun", "12-name-in-latin1", "")[0]; !bytes.Contains(got.Raw, []byte("filename*=iso-8859-1''caf%E9.pdf")) {
			t.Errorf("%s", got.Raw)
		}
		for _, kind := range jsonKinds {
			got := sent(t, kind, "12-name-in-latin1", "")[0]
			for _, name := range []string{"café.pdf", "日本.txt"} {
				named(t, got, name)
			}
		}
		for _, kind := range jsonKinds {
			named(t, sent(t, kind, "44-name-continued-windows-1251", "")[0], "Отчет.pdf")
		}
	}},
	{"P12 every charset becomes UTF-8, wrong labels too", func(t *testing.T) {
		for message, want := range map[string]string{"13-japanese": "日本語", "35-gb18030": "", "40-windows-1252-as-latin1": "“Quotes” cost 5 €",
			"41-unknown-charset": "Grüße", "42-utf8-as-ascii": "Grüße", "62-koi8-and-utf16": "Привет"} {
			for _, kind := range jsonKinds {
				if got := sent(t, kind, message, "")[0]; !strings.Contains(got.Text, want) || !utf8.ValidString(got.Text) || strings.Contains(got.Text, "\uFFFD") {
					t.Errorf("%s %s: %q", kind, message, got.Text)
				}
			}
		}
	}},
	{"P13 pictures in the HTML keep their content id, with or without a disposition", func(t *testing.T) {
		for _, kind := range jsonKinds {
			got := append(sent(t, kind, "14-inline-images", ""), sent(t, kind, "48-cid-without-disposition", "")...)
			var ids []string
			for _, m := range got {
				for _, a := range m.Attachments {
					if a.Inline {
						ids = append(ids, a.ContentID)
					}
				}
			}
			if !slices.Equal(ids, []string{"one@x", "two@x", "pic"}) {
				t.Errorf("%s: %q", kind, ids)
			}
		}
	}},
	{"P14 a nested message stays one file", func(t *testing.T) {
		for _, kind := range jsonKinds {
			if a := named(t, sent(t, kind, "15-nested-message", "")[0], "message.eml"); a.Type != "message/rfc822" || !bytes.Contains(a.Data, []byte("inner text")) {
				t.Errorf("%s: %+v", kind, a)
			}
			if a := named(t, sent(t, kind, "52-nested-message-in-base64", "")[0], "original.eml"); !bytes.HasPrefix(a.Data, []byte("From: a@example.net")) {
				t.Errorf("%s: %q", kind, a.Data)
			}
		}
	}},
	{"P15 an invitation keeps its method", func(t *testing.T) {
		if got := sent(t, "sendgrid", "16-calendar", "")[0]; len(got.Alternatives) != 1 || got.Alternatives[0].Type != "text/calendar; method=REQUEST" {
			t.Errorf("%+v", got.Alternatives)
		}
		if a := named(t, sent(t, "resend", "16-calendar", "")[0], "invite.ics"); a.Type != "text/calendar; method=REQUEST" {
			t.Errorf("%+v", a)
		}
		latin1 := sent(t, "resend", "74-calendar-latin1", "")[0]
		if a := named(t, latin1, "invite.ics"); a.Type != "text/calendar; method=REQUEST; charset=iso-8859-1" || !bytes.Contains(a.Data, []byte("Gr\xfc\xdfe")) {
			t.Errorf("%+v", a)
		}
		if a := named(t, latin1, "key.asc"); a.Type != "application/pgp-keys" {
			t.Errorf("%+v", a)
		}
		if got := sent(t, "mailgun", "16-calendar", "")[0]; !bytes.Contains(got.Raw, []byte("method=REQUEST")) {
			t.Errorf("%s", got.Raw)
		}
	}},
	{"P16 AMP stays an alternative where there is a place for it", func(t *testing.T) {
		if got := sent(t, "sendgrid", "17-amp", "")[0]; len(got.Alternatives) != 1 || got.Alternatives[0].Type != "text/x-amp-html" {
			t.Errorf("%+v", got.Alternatives)
		}
		if a := named(t, sent(t, "resend", "17-amp", "")[0], "amp.html"); !bytes.Contains(a.Data, []byte("amp4email")) {
			t.Errorf("%+v", a)
		}
	}},
	{"P17 signed and encrypted mail is not taken apart", func(t *testing.T) {
		for _, message := range []string{"18-signed", "19-encrypted", "32-smime"} {
			for _, kind := range jsonKinds {
				up, fake := start(t, kind, "")
				if e := asError(t, up.Send(t.Context(), goldenMail(t, message))[0].Err); e.Class != upstream.Unrepresentable || fake.Requests() != 0 {
					t.Errorf("%s %s: %+v", kind, message, e)
				}
			}
			sent(t, "mailgun", message, "")
		}
		for _, kind := range jsonKinds {
			if raw := sent(t, kind, "56-dkim-signed", "")[0].Raw; bytes.Contains(bytes.ToLower(raw), []byte("dkim-signature")) {
				t.Errorf("%s: a signature over another message: %s", kind, raw)
			}
		}
	}},
}
