package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/mime"
)

func parse(t testing.TB, text string) *mime.Message {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ids are message ids of 50 bytes.
func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("<%040d@x.test>", i)
	}
	return list
}

func addresses(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"Ann,%d"<ann%d@example.org>`, i, i)
	}
	return list
}

func TestFit(t *testing.T) {
	many := strings.Join(ids(36), " ")
	long := strings.Repeat("word ", 300) + "end"
	for _, tt := range []struct {
		name, in string
		want     string // "": the same
		edits    []mime.Edit
	}{
		{name: "fit", in: "To: a@x\r\nSubject: s\r\n\r\nFrom here\r\n"},
		{name: "fit, LF", in: "To: a@x\nSubject: s\n\ntext"},
		{name: "no header", in: "\r\ntext"},
		{name: "From of a sentence", in: "Subject: letter From home\r\n\r\ntext"},
		{name: "edits", in: "A: 1\r\nB: 2\r\n\r\ntext", want: "B: 2\r\n\r\ntext", edits: []mime.Edit{{Op: mime.Remove, Name: "A"}}},
		{name: "lone CR", in: "Subject: x\rX-Injected: 1\r\nTo: a@x\r\r\n\r\r\na\rb",
			want: "Subject: x X-Injected: 1\r\nTo: a@x\r\n\r\r\na\rb"},
		{name: "lone CR in a type", in: "Content-Type: text/plain;\rcharset=utf-8\r\n\r\nx", want: "Content-Type: text/plain; charset=utf-8\r\n\r\nx"},
		{name: "repeated lists", in: "To: a@x\r\nCC: b@x\r\nTo: \"c, d\" <c@x>,\r\n e@x\r\ncc:\r\nReply-To: a@x\r\nReply-To: b@x\r\n\r\n",
			want: "To: a@x, \"c, d\" <c@x>, e@x\r\nCc: b@x\r\nReply-To: a@x\r\nReply-To: b@x\r\n\r\n"},
		{name: "repeated lists with raw 8-bit names", in: "To: J\xf6rg <a@x>\r\nTo: =?utf-8?q?J=C3=B6rg?= <b@x>\r\n\r\n",
			want: "To: J\xf6rg <a@x>, =?utf-8?q?J=C3=B6rg?= <b@x>\r\n\r\n"},
		{name: "line of a mailbox file", in: "From a@x Mon Nov 23 10:11:12 2026\r\nTo: a@x\r\n\r\n", want: "To: a@x\r\n\r\n"},
		{name: "quoted line of a mailbox file", in: ">From a@x Mon Nov 23 10:11:12 2026\r\nTo: a@x\r\n\r\n>From b", want: "To: a@x\r\n\r\n>From b"},
		{name: "below trace fields", in: "Received: x\r\n >From y\r\n>From root\r\nFrom root\r\nTo: a@x\r\n\r\n", want: "Received: x\r\n >From y\r\nTo: a@x\r\n\r\n"},
		{name: "amid the header", in: "To: a@x\r\n>From root\r\nCc: b@x\r\n\r\n"},
		{name: "long Subject", in: "Subject: " + long + "\r\nX: 1\r\n\r\n", want: string(mime.Fold("Subject: "+long, "\r\n")) + "X: 1\r\n\r\n"},
		{name: "long field, LF", in: "X: " + long + "\n\n", want: string(mime.Fold("X: "+long, "\n")) + "\n"},
		{name: "folded, one line long", in: "X: a\r\n " + long + "\r\n b\r\n\r\n", want: string(mime.Fold("X: a "+long+" b", "\r\n")) + "\r\n"},
		{name: "References", in: "References: " + many + "\r\n\r\n", want: "References: " + strings.Join(ids(36), "\r\n ") + "\r\n\r\n"},
		{name: "References without spaces", in: "References:" + strings.Join(ids(36), "") + "\r\n\r\n", want: "References: " + strings.Join(ids(36), "\r\n ") + "\r\n\r\n"},
		{name: "To without spaces", in: "To: " + strings.Join(addresses(40), ",") + "\r\n\r\n",
			want: string(mime.Fold("To: "+strings.Join(addresses(40), ", "), "\r\n")) + "\r\n"},
		{name: "no place to fold", in: "X-Token: " + strings.Repeat("x", 2000) + "\r\n\r\n"},
		{name: "Subject of one word", in: "Subject: " + strings.Repeat("x", 2000) + "\r\n\r\n",
			want: string(mime.Fold("Subject: "+mime.EncodeWords(strings.Repeat("x", 2000)), "\r\n")) + "\r\n"},
		{name: "type without spaces", in: "Content-Type: text/plain;a=\"" + strings.Repeat(";", 600) + "\";b=" + strings.Repeat("b", 600) + "\r\n\r\n",
			want: "Content-Type: text/plain;\r\n a=\"" + strings.Repeat(";", 600) + "\";\r\n b=" + strings.Repeat("b", 600) + "\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := parse(t, tt.in)
			got, err := Fit(m, tt.edits...)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want == "" {
				want = tt.in
			}
			text := string(readAll(t, got.Reader()))
			if d := cmp.Diff(want, text); d != "" {
				t.Error(d)
			}
			again := parse(t, text)
			if d := cmp.Diff(again.HeaderBytes(), got.HeaderBytes()); d != "" || again.BodyOffset() != got.BodyOffset() || again.Root.Type != got.Root.Type {
				t.Errorf("read again it is another message: %s", d)
			}
			if fit, err := Fit(again); err != nil || string(readAll(t, fit.Reader())) != text {
				t.Errorf("not fit after all: %q, %v", readAll(t, fit.Reader()), err)
			}
		})
	}
}

// TestFitIsFree: a message that is fit is given back as it is.
func TestFitIsFree(t *testing.T) {
	m := parse(t, "Received: from x\r\n\tby y\r\nFrom: a@x\r\nTo: b@x\r\nCc: c@x\r\nReferences: "+strings.Join(ids(10), "\r\n ")+"\r\nSubject: s\r\n\r\ntext")
	if allocated := testing.AllocsPerRun(10, func() {
		if fit, err := Fit(m); err != nil || fit != m {
			t.Errorf("%v, %v", fit, err)
		}
	}); allocated > 0 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestReferencesAreShortened(t *testing.T) {
	for _, n := range []int{70, 79, 80, 100, 1000, 20_000} {
		all := ids(n)
		m := parse(t, "References: "+strings.Join(all, " ")+"\r\n\r\n")
		fit, err := Fit(m)
		if err != nil {
			t.Fatal(err)
		}
		raw := fit.HeaderBytes()
		kept := strings.Fields(fit.Header.Get("References"))
		if len(raw) > MaxReferences || len(raw) < min(MaxReferences-60, n*51) || kept[0] != all[0] || cmp.Diff(kept[1:], all[n-len(kept)+1:]) != "" {
			t.Errorf("%d ids: %d are kept in %d bytes, %s and %s…", n, len(kept), len(raw), kept[0], kept[1])
		}
	}
	for _, value := range []string{"<" + strings.Repeat("a", 5000) + "@x>", "<" + strings.Repeat("a", 5000) + "@x> <b@x>", "<a@x> <" + strings.Repeat("a", 5000) + "@x> <b@x>", strings.Repeat("a", 5000)} {
		fit, err := Fit(parse(t, "References: "+value+"\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		kept, all := strings.Fields(fit.Header.Get("References")), strings.Fields(value)
		if kept[0] != all[0] || kept[len(kept)-1] != all[len(all)-1] {
			t.Errorf("%.100q became %.100q", value, kept)
		}
	}
}
