package sendmail

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/mime"
)

func TestReadInput(t *testing.T) {
	for _, c := range []struct{ name, in, header, body string }{
		{"header and body", "A: 1\nB: 2\n 3\n\nbody\n", "A: 1\r\nB: 2\r\n 3\r\n\r\n", "body\r\n"},
		{"CRLF", "A: 1\r\n\r\nbody\r\n", "A: 1\r\n\r\n", "body\r\n"},
		{"header alone", "A: 1\n", "A: 1\r\n\r\n", ""},
		{"header without a line end", "A: 1", "A: 1\r\n\r\n", ""},
		{"nothing", "", "\r\n", ""},
		{"body alone", "just text: no, really\nmore\n\nend", "\r\n", "just text: no, really\r\nmore\r\n\r\nend"},
		{"body behind an empty line", "\nbody: 1\n", "\r\n", "body: 1\r\n"},
		{"body without an empty line", "A: 1\nbody here\n\nend\n", "A: 1\r\n\r\n", "body here\r\n\r\nend\r\n"},
		{"mailbox", "From ann Mon\nA: 1\n\nbody", "A: 1\r\n\r\n", "body"},
		{"byte order mark, mailbox", "\ufeffFrom ann Mon\nA: 1\n\nbody", "A: 1\r\n\r\n", "body"},
		{"quoted mailbox", ">From ann Mon\nA: 1\n\nbody", "A: 1\r\n\r\n", "body"},
		{"byte order mark", "\ufeffA: 1\n\n\ufeffbody", "A: 1\r\n\r\n", "\ufeffbody"},
		{"long body", strings.Repeat("no header\n", 200000), "\r\n", strings.Repeat("no header\r\n", 200000)},
	} {
		_, header, body, err := readInput(strings.NewReader(c.in), false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, err := io.ReadAll(body)
		if string(header) != c.header || string(b) != c.body || err != nil {
			t.Errorf("%s: header %q, body %.60q, %v", c.name, header, b, err)
		}
	}
	var exit *exitError
	if _, _, _, err := readInput(strings.NewReader(strings.Repeat("A: 1\n", 300000)), false); !errors.As(err, &exit) || exit.code != exDataErr {
		t.Errorf("an endless header: %v", err)
	}
	if _, _, _, err := readInput(iotest.ErrReader(io.ErrClosedPipe), false); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("broken input: %v", err)
	}
}

// TestReadInputBroken: a line that is not a field must neither show hidden recipients nor hide others.
func TestReadInputBroken(t *testing.T) {
	for _, c := range []struct {
		name, in     string
		fromHeader   bool
		header, body string
	}{
		{"hidden recipient", "To: a\nMIME-Version 1.0\nBcc: b\n\nx\n", false, "To: a\r\nMIME-Version 1.0\r\nBcc: b\r\n\r\n", "x\r\n"},
		{"resent", "A: 1\noops\nresent-bcc : b\n\nx\n", false, "A: 1\r\noops\r\nresent-bcc : b\r\n\r\n", "x\r\n"},
		{"recipient of -t", "To: a\noops\nCc: b\n\nx\n", true, "To: a\r\noops\r\nCc: b\r\n\r\n", "x\r\n"},
		{"no recipient without -t", "A: 1\noops\nCc: b\n\nx\n", false, "A: 1\r\n\r\n", "oops\r\nCc: b\r\n\r\nx\r\n"},
		{"text", "A: 1\ntext\nDate: today\n\nx\n", true, "A: 1\r\n\r\n", "text\r\nDate: today\r\n\r\nx\r\n"},
		{"text behind the last recipient", "To: a\noops\nBcc: b\ntext\n\nx\n", true, "To: a\r\noops\r\nBcc: b\r\n\r\n", "text\r\n\r\nx\r\n"},
		{"no header", "text\nBcc: b\n\nx\n", true, "\r\n", "text\r\nBcc: b\r\n\r\nx\r\n"},
	} {
		_, header, body, err := readInput(strings.NewReader(c.in), c.fromHeader)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, err := io.ReadAll(body)
		if string(header) != c.header || string(b) != c.body || err != nil {
			t.Errorf("%s: header %q, body %q, %v", c.name, header, b, err)
		}
	}
}

func TestUntilDot(t *testing.T) {
	long := strings.Repeat("x", 10000)
	for in, want := range map[string]string{
		"a\n.\nb\n":                        "a\n",
		"a\r\n.\r\nb":                      "a\r\n",
		".\n":                              "",
		"a\n.":                             "a\n",
		"a\n..\n.b\n":                      "a\n..\n.b\n",
		"a.\n":                             "a.\n",
		long + "\n.\n":                     long + "\n",
		long + ".\n" + "b\n":               long + ".\n" + "b\n",
		strings.Repeat("y", 4096) + ".\nz": strings.Repeat("y", 4096) + ".\nz",
	} {
		got, err := io.ReadAll(untilDot(strings.NewReader(in)))
		if err != nil || string(got) != want {
			t.Errorf("%.20q: %.40q, %v; want %.40q", in, got, err, want)
		}
	}
}

func TestMessageIDsDiffer(t *testing.T) {
	who := submit.Author{Name: "Ann", Addr: "ann"}
	raw := []byte("Bcc: x@y\r\nSubject: s\r\nbcc : z@y\r\n\r\n")
	one := complete(mime.ParseHeader(raw), raw, who, time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	two := complete(mime.ParseHeader(raw), raw, who, time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	if bytes.Equal(one, two) {
		t.Error("two messages have one Message-ID")
	}
	h := mime.ParseHeader(one)
	if h.Get("From") != "Ann <ann>" || h.Get("Date") != "Mon, 23 Nov 2026 10:00:00 +0000" || h.Has("Bcc") || !bytes.HasSuffix(one, []byte("\r\n\r\n")) {
		t.Errorf("header %q", one)
	}
}
