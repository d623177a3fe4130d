package upstreamtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"mailhatch/mime"
	"mailhatch/upstream"
)

// PlainMessage is a small message.
const PlainMessage = "From: a@example.com\r\nTo: b@example.org\r\nSubject: hello\r\n\r\nHello\r\n"

// ParseMessage parses a message.
func ParseMessage(t testing.TB, source string) *mime.Message {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource([]byte(source)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// NewMail returns a mail to some recipients.
func NewMail(t testing.TB, source string, to ...string) *upstream.Mail {
	t.Helper()
	m := &upstream.Mail{ID: "01TEST", From: "a@example.com", Message: ParseMessage(t, source)}
	for _, address := range to {
		m.To = append(m.To, upstream.Recipient{Address: address})
	}
	return m
}

// Describe puts outcomes into words for tables: "ok FAKE1", "permanent 550 5.1.1", "temporary connect".
func Describe(outcomes []upstream.Outcome) []string {
	var words []string
	for _, o := range outcomes {
		var e *upstream.Error
		switch {
		case o.Err == nil:
			words = append(words, strings.TrimSpace("ok "+o.ID))
			continue
		case !errors.As(o.Err, &e):
			words = append(words, "unclassified "+o.Err.Error())
			continue
		}
		w := e.Class.String()
		if e.Status != 0 {
			w += fmt.Sprint(" ", e.Status)
		}
		if e.Code != "" {
			w += " " + e.Code
		}
		if e.Connect {
			w += " connect"
		}
		if e.Outage {
			w += " outage"
		}
		if e.Sender {
			w += " sender"
		}
		words = append(words, w)
	}
	return words
}

// CheckOutcomes compares outcomes with those that Describe returns.
func CheckOutcomes(t *testing.T, got []upstream.Outcome, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, Describe(got)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s%v", diff, got)
	}
}

// BrokenSource fails in its second half.
type BrokenSource struct{ mime.Source }

func (s BrokenSource) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.Size()/2 {
		return 0, io.ErrClosedPipe
	}
	return s.Source.ReadAt(p, off)
}

// FailingWriter takes nothing.
type FailingWriter struct{}

func (FailingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

// EchoedSecret is one that a far side repeats.
const EchoedSecret = "re-Qx7Vb9Kz-Lw3Tn5Pj-Hd8Fs2Gm"

// CheckRedacted reports words that show a part of EchoedSecret, in clear or in base64.
func CheckRedacted(t *testing.T, words string) {
	t.Helper()
	forms := []string{EchoedSecret}
	for before := range 3 {
		forms = append(forms, base64.RawStdEncoding.EncodeToString([]byte("api"[:before] + EchoedSecret))[4:])
	}
	for _, form := range forms {
		for i := range len(form) - 5 {
			if strings.Contains(words, form[i:i+6]) {
				t.Errorf("%q shows %q", words, form[i:i+6])
				return
			}
		}
	}
}

// Open makes an upstream of a kind from settings as they stand in the config.
func Open(kind upstream.Kind, settings string) (upstream.Upstream, error) {
	s := kind.New()
	md, err := toml.Decode(settings, s)
	if err != nil {
		return nil, err
	}
	if len(md.Undecoded()) > 0 {
		return nil, fmt.Errorf("unknown keys %v", md.Undecoded())
	}
	return s.Open(upstream.Env{Name: "test", Hostname: "app.example.com", Version: "test", Stdout: io.Discard})
}
