package raw

import (
	"io"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/upstream/api"
)

func TestAddressed(t *testing.T) {
	addresses := func(list ...string) (out []mime.Address) {
		for _, s := range list {
			parsed, err := mime.ParseAddressList(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, parsed...)
		}
		return out
	}
	const rest = "From: a@example.com\nMessage-ID: <m@x>\n"
	for _, row := range []struct {
		name, header string // besides rest, which comes first
		call         api.Call
		want         string
	}{
		{"header and envelope agree", "To: Ann <ann@x.org>\nSubject: s\n", api.Call{To: addresses("Ann <ann@x.org>")}, "To: Ann <ann@x.org>\nSubject: s\n"},
		{"in the header alone", "To: Ann <ann@x.org>,\n list@x.org\nCc: c@x.org\n", api.Call{To: addresses("Ann <ann@x.org>")}, "To: Ann <ann@x.org>\n"},
		{"hidden", "To: list@x.org\nSubject: s\n", api.Call{Bcc: addresses("b@x.org", "c@x.org")}, "Subject: s\nBcc: b@x.org, c@x.org\n"},
		{"the program's Bcc", "Bcc: ann@x.org, other@x.org\nSubject: s\nBcc: third@x.org\n", api.Call{Bcc: addresses("ann@x.org")}, "Subject: s\nBcc: ann@x.org\n"},
		{"fields that are there twice", "To: a@x.org\nTo: b@x.org\nCc: c@x.org\ncc: d@x.org\n", api.Call{To: addresses("b@x.org"), Cc: addresses("c@x.org")}, "To: b@x.org\nCc: c@x.org\n"},
		{"obsolete spelling", "To : a@x.org\nBCC\t: b@x.org\n", api.Call{To: addresses("c@x.org")}, "To: c@x.org\n"},
		{"lines that lost their indent", "To: a@x.org,\n<b@x.org>\nBcc: c@x.org,\n<d@x.org>\nSubject: s\n", api.Call{To: addresses("a@x.org")}, "To: a@x.org\nComments: <b@x.org>\nSubject: s\n"},
		{"a group", "To: Team: a@x.org, b@x.org;\n", api.Call{To: addresses("a@x.org", "b@x.org")}, "To: a@x.org, b@x.org\n"},
		{"odd names", "To: x@x.org\n", api.Call{To: []mime.Address{{Name: "Doe, Ann", Addr: "a@x.org"}, {Name: "Jörg", Addr: "j@x.org"}, {Name: "x\r\nBcc: evil@x.org", Addr: "n@x.org"}}},
			"To: \"Doe, Ann\" <a@x.org>, =?utf-8?q?J=C3=B6rg?= <j@x.org>, \"xBcc: evil@x.org\"\n <n@x.org>\n"},
		{"odd addresses", "To: x@x.org\n", api.Call{Bcc: []mime.Address{{Addr: `a,b@x.org`}, {Addr: `c..d@x.org`}, {Addr: `"e f"@x.org`}, {Name: "N", Addr: `g>h@x.org`}}},
			"Bcc: \"a,b\"@x.org, \"c..d\"@x.org, \"e f\"@x.org, N <\"g>h\"@x.org>\n"},
		{"sent again", "Resent-To: r@x.org\nResent-Cc: c@x.org\nResent-Bcc: b@x.org\nResent-From: f@x.org\nTo: a@x.org\n", api.Call{To: addresses("a@x.org")}, "Resent-From: f@x.org\nTo: a@x.org\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := makeMail(t, "a@example.com", rest+row.header+"\nbody\n")
			src, e := Form{Provider: "P", Bytes: 1000}.Addressed(m, &row.call)
			if e != nil {
				t.Fatal(e)
			}
			got, err := io.ReadAll(io.NewSectionReader(src, 0, src.Size()))
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.ReplaceAll(string(got), "\r\n", "\n"); text != rest+row.want+"\nbody\n" {
				t.Errorf("got\n%s\nwant\n%s", text, rest+row.want+"\nbody\n")
			}
		})
	}
	m := makeMail(t, "a@example.com", rest+"\n"+strings.Repeat("x", 1000))
	if _, e := (Form{Provider: "P", Bytes: 1000}).Addressed(m, &api.Call{To: addresses("a@x.org")}); e == nil || e.Code != "5.3.4" {
		t.Errorf("a large message: %v", e)
	}
	if len(AddressedChanges()) <= len(Changes()) {
		t.Error("nothing is told of the recipients")
	}
}
