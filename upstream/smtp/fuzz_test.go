package smtp

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
)

// FuzzSMTPContent makes the bytes for a relay of whatever comes: as it is but for line ends, Bcc and
// providers' control fields, or in 7 bits with the same content.
func FuzzSMTPContent(f *testing.F) {
	files, err := filepath.Glob("../testdata/mail/*.mail")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds")
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, message, _ := bytes.Cut(raw, []byte("\n\n"))
		f.Add(bytes.ReplaceAll(message, []byte("\n"), []byte("\r\n")))
		f.Add(message)
	}
	relay, err := (&settings{Host: "127.0.0.1", Port: 1, TLS: tlsNone}).Open(upstream.Env{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &upstream.Mail{ID: "F", From: "app@example.com", Message: parsed(t, raw), To: []upstream.Recipient{{Address: "ann@example.org"}}}
		sent, err := wireOf(relay, m, true)
		if err != nil {
			t.Fatal(err)
		}
		onTheWire(t, sent)
		// Acceptance leaves no lone CR or LF, where fields and parts would end elsewhere.
		want := normalised(raw)
		m.Message = parsed(t, want)
		if sent, err = wireOf(relay, m, true); err != nil {
			t.Fatal(err)
		}
		whole := onTheWire(t, sent)
		if !removesFields(m.Message.Header) && isFit(t, m.Message) && !bytes.Equal(whole, want) {
			t.Fatalf("%q became %q", want, whole)
		}
		if h := parsed(t, whole).Header; h.Has("Bcc") || h.Has("Resent-Bcc") {
			t.Fatalf("a Bcc left: %q", whole)
		}
		if sent, err = wireOf(relay, m, false); err != nil {
			if e, ok := errors.AsType[*upstream.Error](err); !ok || e.Class != upstream.Unrepresentable {
				t.Fatalf("%+v", err)
			}
			return
		}
		seven := onTheWire(t, sent)
		if h := parsed(t, seven).Header; h.Has("Bcc") || h.Has("Resent-Bcc") {
			t.Fatalf("a Bcc left in 7 bits: %q", seven)
		}
		checkSeven(t, whole, seven)
	})
}

// isFit reports whether a message needs no change for the sake of relays.
func isFit(t *testing.T, m *mime.Message) bool {
	t.Helper()
	fit, err := wire.Fit(m)
	if err == nil && fit == m {
		fit, _, err = wire.ShortLines(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fit == m
}

// normalised ends every line with CRLF.
func normalised(raw []byte) []byte {
	s := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(string(raw))
	if s != "" && !strings.HasSuffix(s, "\r\n") {
		s += "\r\n"
	}
	return []byte(s)
}

func parsed(t *testing.T, raw []byte) *mime.Message {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// removesFields reports whether a header has fields that do not leave.
func removesFields(h mime.Header) bool {
	for _, f := range h {
		name := strings.ToLower(f.Name)
		for _, stem := range []string{"bcc", "resent-", "resend-", "x-", "return-path"} {
			if strings.HasPrefix(name, stem) {
				return true
			}
		}
	}
	return false
}

// onTheWire reads what follows DATA as a relay does that knows no line end but CRLF.
func onTheWire(t *testing.T, wire []byte) []byte {
	t.Helper()
	body, ended := bytes.CutSuffix(wire, []byte(".\r\n"))
	if !ended || len(body) > 0 && !bytes.HasSuffix(body, []byte("\r\n")) {
		t.Fatalf("no final dot: %q", wire)
	}
	var out []byte
	for line := range bytes.SplitAfterSeq(body, []byte("\r\n")) {
		text := bytes.TrimSuffix(line, []byte("\r\n"))
		if bytes.ContainsAny(text, "\r\n") || string(text) == "." {
			t.Fatalf("line %q", line)
		}
		out = append(out, unstuffed(line)...)
	}
	return out
}

// unstuffed takes the doubled dot away, also the one behind NULs: a relay that keeps NUL reads one dot more there.
func unstuffed(line []byte) []byte {
	text := bytes.TrimLeft(line, "\x00")
	nuls := line[:len(line)-len(text)]
	if len(nuls) > 0 && bytes.HasPrefix(text, []byte(".")) && !bytes.HasPrefix(text, []byte("..")) {
		return []byte("a dot behind NULs is not doubled") // equals no message
	}
	return append(bytes.Clone(nuls), bytes.TrimPrefix(text, []byte("."))...)
}

// checkSeven compares the parts of a message with those of its form in 7 bits.
func checkSeven(t *testing.T, eight, seven []byte) {
	t.Helper()
	if bytes.ContainsFunc(seven, func(r rune) bool { return r >= 0x80 }) {
		t.Fatalf("8 bits in %q", seven)
	}
	a, b := parsed(t, eight).Root.Leaves(), parsed(t, seven).Root.Leaves()
	if len(a) != len(b) {
		t.Fatalf("%d parts became %d: %q", len(a), len(b), seven)
	}
}

// wireOf returns the bytes that would leave for a relay with or without 8BITMIME and SMTPUTF8.
func wireOf(u upstream.Upstream, m *upstream.Mail, eightBit bool) ([]byte, error) {
	var wire []byte
	err := writeWire(u, m, eightBit, func(p []byte) error {
		wire = append(wire, p...)
		return nil
	})
	return wire, err
}

// writeWire is wireOf in pieces.
func writeWire(u upstream.Upstream, m *upstream.Mail, eightBit bool, write func([]byte) error) error {
	relay := u.(*relay)
	job := newJob(m)
	relay.begin(job)
	if len(job.pending) > 0 {
		relay.fit(job, capabilities{eightBit: eightBit, utf8: eightBit})
	}
	defer func() { relay.release(job.content) }()
	if len(job.pending) == 0 {
		return job.out[0].Err
	}
	return job.content.send(relay, write)
}
