package mime

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestEditHeader(t *testing.T) {
	const head = "Received: a\r\nFrom: x@x\r\nBcc : secret@x,\r\n other@x\r\nX-Mailgun-Tag: 1\r\nx-mailgun-Var: 2\r\nTo:  odd   spacing \r\nbcc: more@x\r\n\r\n"
	tests := []struct {
		name, raw string
		edits     []Edit
		want      string
	}{
		{"nothing", head, nil, head},
		{"remove folded, with space before the colon", head, []Edit{{Name: "Bcc"}},
			"Received: a\r\nFrom: x@x\r\nX-Mailgun-Tag: 1\r\nx-mailgun-Var: 2\r\nTo:  odd   spacing \r\n\r\n"},
		{"remove behind a byte order mark", "\xef\xbb\xbfBcc: a@x,\n b@x\nA: 1\n\n", []Edit{{Name: "Bcc"}}, "A: 1\n\n"},
		{"a byte order mark is no part of a name", "\xef\xbb\xbfFrom: a@x\n\xef\xbb\xbfno field\n\n", []Edit{{Op: Append, Name: "B", Value: "2"}},
			"From: a@x\nB: 2\n\xef\xbb\xbfno field\n\n"},
		{"a byte order mark alone", "\xef\xbb\xbf: 1\nA: 1\n\n", []Edit{{Name: "A"}}, "\xef\xbb\xbf: 1\n\n"},
		{"remove by prefix", head, []Edit{{Name: "X-Mailgun-*"}},
			"Received: a\r\nFrom: x@x\r\nBcc : secret@x,\r\n other@x\r\nTo:  odd   spacing \r\nbcc: more@x\r\n\r\n"},
		{"replace where it stands, further ones go", head, []Edit{{Op: Replace, Name: "Bcc", Value: "n"}},
			"Received: a\r\nFrom: x@x\r\nBcc: n\r\nX-Mailgun-Tag: 1\r\nx-mailgun-Var: 2\r\nTo:  odd   spacing \r\n\r\n"},
		{"replace what is missing", "A: 1\n\n", []Edit{{Op: Replace, Name: "B", Value: "2"}}, "A: 1\nB: 2\n\n"},
		{"revise each", "A: 1\n 2\nB: 1\nA : 3\nA: 3", []Edit{{Op: Revise, Name: "a", Revise: func(v string) string { return strings.ReplaceAll(v, "3", "4\r\nö") }}},
			"A: 1\n 2\nB: 1\na: 4 =?utf-8?b?w7Y=?=\na: 4 =?utf-8?b?w7Y=?="},
		{"line end of the header", "A: 1\n", []Edit{{Op: Append, Name: "B", Value: "2"}, {Op: Prepend, Name: "C", Value: "3"}}, "C: 3\nA: 1\nB: 2\n"},
		{"no line end", "A: 1", []Edit{{Op: Append, Name: "B", Value: "2"}}, "A: 1\r\nB: 2\r\n"},
		{"replace without line end", "A: 1", []Edit{{Op: Replace, Name: "a", Value: "2"}}, "a: 2"},
		{"empty header", "", []Edit{{Op: Append, Name: "A", Value: "1"}}, "A: 1\r\n"},
		{"only an empty line", "\n", []Edit{{Op: Append, Name: "A", Value: "1"}}, "A: 1\n\n"},
		{"mailbox line stays on top", "From a@x\nA: 1\n\n", []Edit{{Op: Prepend, Name: "R", Value: "1"}}, "From a@x\nR: 1\nA: 1\n\n"},
		{"quoted mailbox line stays on top", ">From a@x\nA: 1\n\n", []Edit{{Op: Prepend, Name: "R", Value: "1"}}, ">From a@x\nR: 1\nA: 1\n\n"},
		{"mailbox line alone", "From a@x\n", []Edit{{Op: Append, Name: "R", Value: "1"}}, "From a@x\nR: 1\n"},
		{"lines that are not fields", "From a@x\nA: 1\nrubbish\nB: 2\n\n", []Edit{{Name: ""}}, "A: 1\nB: 2\n\n"},
		{"not amid a field that lost its indent", "A: 1;\nb=2\nc\n\n", []Edit{{Op: Append, Name: "B", Value: "2"}}, "A: 1;\nb=2\nB: 2\nc\n\n"},
		{"remove with lost lines", "Bcc: a@x,\nb@x\nX Y: c@x\nA: 1\nlost\nTo: d@x\ne@x\n\n", []Edit{{Name: "bcc"}, {Name: "A"}, {Name: "To"}}, "e@x\n\n"},
		{"replace with lost lines", "A: 1;\nlost\nB: 1\na: 2\nlost\n\n", []Edit{{Op: Replace, Name: "A", Value: "3"}}, "A: 3\nB: 1\n\n"},
		{"not after body text", "A: 1\nbody\n", []Edit{{Op: Append, Name: "B", Value: "2"}}, "A: 1\nB: 2\nbody\n"},
		{"not before folded rubbish", " x\nA: 1\n", []Edit{{Op: Prepend, Name: "B", Value: "2"}}, " x\nB: 2\nA: 1\n"},
		{"injection", "A: 1\r\n", []Edit{{Op: Append, Name: "B", Value: "2\r\nBcc: x@x\n\n\rbody\x00"}}, "A: 1\r\nB: 2 Bcc: x@x body\r\n"},
		{"name that is none", "A: 1\r\n", []Edit{{Op: Append, Name: "B\r\nC", Value: "2"}, {Op: Prepend, Name: "", Value: "3"}, {Op: Replace, Name: "A:", Value: "4"}}, "A: 1\r\n"},
		{"encoded", "", []Edit{{Op: Append, Name: "Subject", Value: "price 5 € only"}}, "Subject: price 5 =?utf-8?b?4oKs?= only\r\n"},
		{"encoded address", "", []Edit{{Op: Append, Name: "To", Value: `Jörg <j@x>, "A, B" <b@x>`}}, "To: =?utf-8?q?J=C3=B6rg?= <j@x>, \"A, B\" <b@x>\r\n"},
		{"no address", "", []Edit{{Op: Append, Name: "To", Value: "Jörg ist weg"}}, "To: =?utf-8?q?J=C3=B6rg?= ist weg\r\n"},
		{"raw UTF-8", "", []Edit{{Op: Append, Name: "To", Value: "Jörg <j@x>", UTF8: true}}, "To: Jörg <j@x>\r\n"},
		{"folded", "", []Edit{{Op: Append, Name: "References", Value: strings.Repeat("<"+strings.Repeat("a", 30)+"@x> ", 4)}},
			"References: <" + strings.Repeat("a", 30) + "@x>\r\n" +
				strings.Repeat(" <"+strings.Repeat("a", 30)+"@x>", 2) + "\r\n <" + strings.Repeat("a", 30) + "@x>\r\n"},
		{"one long word stays on the first line", "", []Edit{{Op: Append, Name: "X", Value: strings.Repeat("a", 100) + "  b"}}, "X: " + strings.Repeat("a", 100) + "\r\n  b\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, string(EditHeader([]byte(tt.raw), tt.edits...))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEditedTextComesBack(t *testing.T) {
	for _, want := range []string{
		"plain", "a  b", "grüße", strings.Repeat("ü", 200), strings.Repeat("日本語 ", 50) + "x", "=?utf-8?q?literal?= ü", "x " + strings.Repeat("é a ", 40) + "z",
	} {
		raw := EditHeader(nil, Edit{Op: Append, Name: "Subject", Value: want})
		for _, line := range strings.Split(string(raw), "\r\n") {
			if len(line) > 78 {
				t.Errorf("line of %d characters: %q", len(line), line)
			}
		}
		if got := ParseHeader(raw).Text("subject"); got != want {
			t.Errorf("got %q, want %q, from %q", got, want, raw)
		}
	}
}

func TestHeaderValues(t *testing.T) {
	h := ParseHeader([]byte("A: 1\r\nno field\r\na : 2\n 3\r\nB:\r\n\r\nC: 4"))
	if got := h.Values("A"); !cmp.Equal(got, []string{"1", "2 3"}) {
		t.Errorf("values %q", got)
	}
	if h.Get("a") != "1" || h.Get("C") != "" || !h.Has("b") || h.Has("C") || h[1].Value() != "no field" || h[1].Name != "" {
		t.Errorf("%q", h)
	}
}

func TestReadHeader(t *testing.T) {
	long := "A: " + strings.Repeat("x", 5000) + "\r\n"
	tests := []struct {
		name, in  string
		max       int
		raw, rest string
		err       error
	}{
		{"usual", "A: 1\r\n\r\nbody", 100, "A: 1\r\n\r\n", "body", nil},
		{"bare LF", "A: 1\n\nbody\n", 100, "A: 1\n\n", "body\n", nil},
		{"no empty line", "A: 1\r\nbody", 100, "A: 1\r\n\r\n", "body", nil},
		{"no header, no empty line", "some words\nand more", 12, "\n", "some words\nand more", nil},
		{"delimiter instead of an empty line", "Content-Type: multipart/mixed; boundary=\"b\"\n--b\nContent-Type: text/html\n\nbody", 100,
			"Content-Type: multipart/mixed; boundary=\"b\"\n\n", "--b\nContent-Type: text/html\n\nbody", nil},
		{"white space instead of an empty line", "Subject: a\n \nwords\nTo: nobody\n\nmore", 100, "Subject: a\n \n\n", "words\nTo: nobody\n\nmore", nil},
		{"rubbish amid", "A: 1\nrubbish\nSubject: a\n\nbody", 100, "A: 1\nrubbish\nSubject: a\n\n", "body", nil},
		{"lost parameter at the end", "A: 1;\nb=\"c\"; d=e;\nf=g\nh=i\n\nbody", 100, "A: 1;\nb=\"c\"; d=e;\nf=g\n\n", "h=i\n\nbody", nil},
		{"field without name", "A: 1\n: 2\n\nbody", 100, "A: 1\n: 2\n\n", "body", nil},
		{"mailbox line", "From a@x Mon Nov 23 10:11:12 2026\nA: 1\n\nbody", 100, "From a@x Mon Nov 23 10:11:12 2026\nA: 1\n\n", "body", nil},
		{"sentence", "From here: it\nA: 1\n\nbody", 100, "\n", "From here: it\nA: 1\n\nbody", nil},
		{"empty", "", 100, "", "", nil},
		{"no header", "\r\nbody", 100, "\r\n", "body", nil},
		{"long line", long + "\r\nbody", 6000, long + "\r\n", "body", nil},
		{"line end at the buffer's end", "A:" + strings.Repeat("x", 4094) + "\n\nbody", 6000, "A:" + strings.Repeat("x", 4094) + "\n\n", "body", nil},
		{"too long", "A: 1\r\nB: 2\r\nC: 3\r\n\r\nbody", 8, "A: 1\r\nB: 2\r\n", "C: 3\r\n\r\nbody", ErrHeaderTooLarge},
		{"too many lines", strings.Repeat("a:\n", maxHeaderLines) + "b:\n\nbody", 1 << 20, strings.Repeat("a:\n", maxHeaderLines) + "b:\n", "\nbody", ErrHeaderTooLarge},
		{"too long at the end", "A: 1\r\nB: 2", 8, "A: 1\r\nB: 2", "", ErrHeaderTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, rest, err := ReadHeader(strings.NewReader(tt.in), tt.max)
			if !errors.Is(err, tt.err) || string(raw) != tt.raw {
				t.Errorf("%q, %v", raw, err)
			}
			if got := string(readAll(t, rest)); got != tt.rest {
				t.Errorf("rest %q", got)
			}
		})
	}
	if _, _, err := ReadHeader(iotest.ErrReader(io.ErrClosedPipe), 100); err != io.ErrClosedPipe {
		t.Error(err)
	}
}

func TestMend(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"clean", "A: 1\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"},
		{"lost indent", "Content-Type: multipart/mixed;\nboundary=\"b\"\nTo: a@x\n\n", "Content-Type: multipart/mixed;\n boundary=\"b\"\nTo: a@x\n\n"},
		{"several lines", "Subject: a\nb\nc\n", "Subject: a\n b\n c\n"},
		{"no line end", "Subject: a\nb", "Subject: a\n b\n"},
		{"after an address", "To: a@x\nb\nDate: x\ny\n", "To: a@x\nComments: b\nDate: x\nComments: y\n"},
		{"name with spaces", "X-A: 1\r\nX Foo Bar: baz\r\n", "X-A: 1\r\nComments: X Foo Bar: baz\r\n"},
		{"after Bcc", "Bcc: a@x,\nb@x\nX Y: c@x\nA: 1\n", "Bcc: a@x,\n b@x\n X Y: c@x\nA: 1\n"},
		{"starts indented", "  one\nSubject: a\n", "Comments: one\nSubject: a\n"},
		{"mailbox lines", "From a@x Mon Nov 23 10:11:12 2026\n>From b@x Mon Nov 23 10:11:12 2026\nA: 1\n", "A: 1\n"},
		{"mailbox line amid", "X-A: 1\n>From b@x Mon Nov 23 10:11:12 2026\nTo: a@x\n", "X-A: 1\n >From b@x Mon Nov 23 10:11:12 2026\nTo: a@x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := EditHeader([]byte(tt.in), Edit{Op: Mend})
			if d := cmp.Diff(tt.want, string(got)); d != "" {
				t.Error(d)
			}
			for _, f := range ParseHeader(got) {
				if f.Name == "" {
					t.Errorf("%q is still no field", f.Raw)
				}
			}
		})
	}
	t.Run("reading mends", func(t *testing.T) {
		const raw = "Subject: a\nb\nContent-Type: multipart/mixed;\nboundary=b\nTo: a@x\n\n--b\nContent-Type: text/csv;\nname=c.csv\n" +
			"Content-Disposition: attachment\n\none\n--b--\n"
		m, err := Parse(NewBytesSource([]byte(raw)))
		if err != nil || len(m.Root.Children) != 1 || m.Root.Children[0].Name != "c.csv" || m.Subject != "a b" {
			t.Fatalf("%+v, %v", m, err)
		}
		if got := string(readAll(t, m.Reader())); got != raw {
			t.Errorf("the bytes became %q", got)
		}
		w, err := m.With(Edit{Op: Prepend, Name: "X-A", Value: "1"})
		if err != nil || w.Subject != "a b" || string(readAll(t, w.Reader())) != "X-A: 1\n"+raw {
			t.Errorf("%q, %v", readAll(t, w.Reader()), err)
		}
	})
	t.Run("the edited header is whole", func(t *testing.T) {
		m, err := Parse(NewBytesSource([]byte("Content-Type: multipart/mixed;\nboundary=b\nTo: a@x\n\n--b\n\none\n--b--\n")))
		if err == nil {
			m, err = m.With(Edit{Op: Mend})
		}
		if err != nil || len(m.Root.Children) != 1 {
			t.Errorf("%+v, %v", m.Root, err)
		}
	})
}

func TestWith(t *testing.T) {
	const body = "--b\r\n\r\none\r\n--b--\r\n"
	m, err := Parse(NewBytesSource([]byte("From: a@x\r\nBcc: b@x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + body)))
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.With(Edit{Name: "Bcc"}, Edit{Op: Replace, Name: "From", Value: "Ann <ann@x>"}, Edit{Op: Append, Name: "Sender", Value: "s@x"})
	if err != nil {
		t.Fatal(err)
	}
	want := "From: Ann <ann@x>\r\nContent-Type: multipart/mixed; boundary=b\r\nSender: s@x\r\n\r\n" + body
	if got := string(readAll(t, w.Reader())); got != want {
		t.Errorf("got %q", got)
	}
	if w.From[0].Name != "Ann" || w.Sender == nil || w.Root.Header.Has("Bcc") || string(readAll(t, w.Root.Children[0].Open())) != "one" {
		t.Errorf("%+v", w)
	}
	if m.From[0].Addr != "a@x" || m.Sender != nil || !m.Root.Header.Has("Bcc") || !strings.Contains(string(readAll(t, m.Reader())), "Bcc: b@x") {
		t.Error("the old message changed")
	}
	checkWhole(t, w)

	text, err := w.With(Edit{Op: Replace, Name: "Content-Type", Value: "text/plain"})
	if err != nil || text.Root.Type != "text/plain" || len(text.Root.Children) != 0 {
		t.Errorf("%+v, %v", text.Root, err)
	}
	again, err := w.With(Edit{Name: "Sender"})
	if err != nil || again.Sender != nil || again.BodyOffset() != int64(strings.Index(string(readAll(t, again.Reader())), "--b")) {
		t.Errorf("%v, %v", again.Sender, err)
	}
}

func TestWithSeparatesBody(t *testing.T) {
	m, err := Parse(NewBytesSource([]byte("just text\nmore\n")))
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.With(Edit{Op: Prepend, Name: "From", Value: "a@x"})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(readAll(t, w.Reader())); got != "From: a@x\r\n\r\njust text\nmore\n" || w.BodyOffset() != 13 || string(w.HeaderBytes()) != "From: a@x\r\n" {
		t.Errorf("%q, body at %d", got, w.BodyOffset())
	}
}

func TestMessageID(t *testing.T) {
	for in, want := range map[string]string{
		"<a@x>": "<a@x>", " <a@x> (comment)": "<a@x>", "a@x": "<a@x>", "": "", "two words": "", "<unclosed": "<unclosed>", "<>": "<>",
	} {
		if got := messageID(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
