package admin

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

func waitingInMaildrop(most int) (*maildrop.Waiting, error) {
	w := &maildrop.Waiting{Count: 2, Bytes: 70, Oldest: time.Now().Add(-time.Hour), Refused: 1, RefusedDir: "/refused"}
	for _, m := range []maildrop.Message{
		{ID: "mail-AAAAAAAA", UID: uint32(os.Getuid()), At: w.Oldest, Size: 35, Envelope: &envelope.Envelope{From: "app@example.com", To: []envelope.Recipient{{Address: "ann@example.org"}, {Address: "bob@example.org"}}}},
		{ID: "mail-BBBBBBBB", At: time.Now(), Size: 35, Envelope: &envelope.Envelope{}},
	} {
		if len(w.Messages) < most {
			w.Messages = append(w.Messages, m)
		}
	}
	return w, nil
}

// TestMaildropIsSeen: mail that is not taken in yet is part of the picture: listed, counted, and in the metrics.
func TestMaildropIsSeen(t *testing.T) {
	c, address := start(t, Config{Queue: newFake(), Maildrop: waitingInMaildrop})
	for name, want := range map[*api.Filter]string{
		{}: "mail-AAAAAAAA ann@example.org bob@example.org mail-BBBBBBBB", {To: "bob@*"}: "mail-AAAAAAAA bob@example.org", {From: "app"}: "mail-AAAAAAAA ann@example.org bob@example.org",
		{State: api.InMaildrop, Limit: 1}: "mail-AAAAAAAA ann@example.org bob@example.org", {Older: "30m"}: "mail-AAAAAAAA ann@example.org bob@example.org",
		{State: envelope.Held}: "", {Upstream: "main"}: "", {Subject: "x"}: "", {IDs: []string{"mail-BBBBBBBB"}}: "mail-BBBBBBBB", {IDs: []string{"mail-BBBBBBBB"}, To: "ann"}: "", {IDs: []string{"x"}}: "", {After: "A"}: "",
	} {
		p, err := c.List(t.Context(), *name)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, m := range p.Maildrop {
			words = append(words, m.ID)
			for _, to := range m.Parts[0].To {
				words = append(words, to.Address)
			}
			if m.Parts[0].State != api.InMaildrop || !strings.Contains(m.Parts[0].Why, "left by ") {
				t.Errorf("%+v", m.Parts[0])
			}
		}
		if got := strings.Join(words, " "); got != want || name.State == api.InMaildrop && len(p.Messages) > 0 {
			t.Errorf("%+v: %q, want %q", name, got, want)
		}
	}
	s, err := c.Status(t.Context())
	if err != nil || s.Maildrop == nil || s.Maildrop.Messages != 2 || s.Maildrop.Bytes != 70 || s.Maildrop.Refused != 1 || s.Maildrop.RefusedDir != "/refused" || s.Maildrop.Oldest.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	_, text := ask(t, http.MethodGet, "http://"+address+"/metrics", "", "", nil)
	for _, line := range []string{"mailhatch_maildrop_messages 2", "mailhatch_maildrop_bytes 70", "mailhatch_maildrop_oldest_seconds 36", "mailhatch_maildrop_refused 1"} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
}

// TestBrokenMaildrop: that it cannot be read is told, not passed over.
func TestBrokenMaildrop(t *testing.T) {
	broken := func(int) (*maildrop.Waiting, error) { return nil, errors.New("no way in") }
	c, address := start(t, Config{Queue: newFake(), Maildrop: broken})
	if _, err := c.List(t.Context(), api.Filter{}); err == nil || !strings.Contains(err.Error(), "the maildrop cannot be read: no way in") {
		t.Errorf("list: %v", err)
	}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "the maildrop cannot be read: no way in") {
		t.Errorf("status: %v", err)
	}
	if _, text := ask(t, http.MethodGet, "http://"+address+"/metrics", "", "", nil); strings.Contains(text, "\nmailhatch_maildrop_messages") || !strings.Contains(text, "\nmailhatch_queue_parts") {
		t.Error("metrics: the others are missing, or a wrong number is there")
	}
}

// TestNoQueue: a gateway that has never run has nothing, and a maildrop perhaps.
func TestNoQueue(t *testing.T) {
	r := Reader{Queue: NoQueue{}, Maildrop: waitingInMaildrop}
	if p, err := r.List(t.Context(), api.Filter{}); err != nil || len(p.Messages) != 0 || len(p.Maildrop) != 2 || !strings.Contains(p.Maildrop[0].Parts[0].Why, "when the gateway starts") {
		t.Errorf("%+v, %v", p, err)
	}
	if s, err := r.Status(t.Context()); err != nil || s.Queue[envelope.Queued].Parts != 0 || s.Maildrop.Messages != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if l, err := r.Log(t.Context(), api.LogFilter{}); err != nil || len(l.Entries) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := r.Open(t.Context(), "A"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
