package gateway

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

const againConfig = heldRoute + `
[upstream.api]
type = "resend"
api_key = "re_key"
[aliases]
team = ["t1@example.org", "t2@example.org"]
gone = "/dev/null"
`

const signedMail = "From: app@example.com\r\nSubject: signed\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/signed; micalg=sha-256; protocol=\"application/pgp-signature\"; boundary=b\r\n\r\n" +
	"--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n--b--\r\n"

// TestResend: a message goes again under a new id to whom an operator says, and both messages tell of it.
func TestResend(t *testing.T) {
	h := newHouse(t, againConfig)
	h.mustSend("app@example.com", []string{"ann@example.org", "bob@example.org"}, "Subject: one\r\n\r\nhello\r\n")
	id := h.heldMail()[0].ID
	seen := map[string]bool{id: true}
	for _, c := range []struct {
		ask  api.Resend
		want string // recipients
	}{
		{api.Resend{}, "ann@example.org bob@example.org"},
		{api.Resend{To: []string{"BOB@example.org", "bob@example.org"}}, "bob@example.org"},
		{api.Resend{To: []string{"team", "new@example.net"}}, "t1@example.org t2@example.org new@example.net"},
	} {
		got, err := h.g.admin.Resend(t.Context(), strings.ToLower(id), c.ask, "root")
		if err != nil || strings.Join(got.To, " ") != c.want || seen[got.ID] {
			t.Fatalf("%+v: %+v, %v", c.ask, got, err)
		}
		seen[got.ID] = true
		for of, words := range map[string]string{id: "as " + got.ID, got.ID: "of " + id} {
			events, err := h.g.queue.Events(t.Context(), of)
			if err != nil || !slices.ContainsFunc(events, func(e queue.Event) bool {
				return e.Kind == queue.EventResent && e.By == "root" && e.Words == words && strings.Join(e.To, " ") == c.want
			}) {
				t.Errorf("events of %s: %+v, %v", of, events, err)
			}
		}
	}
	if n := len(h.heldMail()); n != 4 {
		t.Errorf("%d messages are held, want 4", n)
	}
	again, err := h.g.admin.Resend(t.Context(), id, api.Resend{To: []string{"ann@example.org"}, Via: "main"}, "root")
	if err != nil {
		t.Fatal(err)
	}
	h.await("mail that passes over the route", func() bool { return len(h.ended(envelope.Sent)) == 1 })
	kept, _ := h.g.memory("main")
	if len(kept) != 1 || kept[0].ID != again.ID || !strings.Contains(kept[0].Source, "hello") {
		t.Errorf("%+v", kept)
	}
	if !strings.Contains(h.log.String(), "action=resend by=root") {
		t.Error("no line in the log")
	}
}

func TestNotResent(t *testing.T) {
	h := newHouse(t, againConfig)
	h.mustSend("app@example.com", []string{"ann@example.org"}, signedMail)
	id := h.heldMail()[0].ID
	for want, ask := range map[string]api.Resend{
		"not there": {To: []string{"no@example.org"}}, `recipient "gone"`: {To: []string{"gone"}}, `recipient "a b@c d"`: {To: []string{"a b@c d"}},
		`no upstream "nowhere"; there are main, api`: {Via: "nowhere"}, "sign": {Via: "api"},
	} {
		if got, err := h.g.admin.Resend(t.Context(), id, ask, "root"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %+v, %v; want %s", ask, got, err, want)
		}
	}
	if _, err := h.g.admin.Resend(t.Context(), "0000000000001", api.Resend{}, "root"); !errors.Is(err, queue.ErrNotFound) {
		t.Error(err)
	}
	if n := len(h.heldMail()); n != 1 {
		t.Errorf("%d messages are held, want 1", n)
	}
}

// TestRefusedMailHasNoBytes: its record is all that there is.
func TestRefusedMailHasNoBytes(t *testing.T) {
	h := newHouse(t, "[queue]\nkeep_bodies = \"1h\"\n"+againConfig)
	if err := h.send("app@example.com", []string{"no@example.org"}, "Subject: one\r\n\r\nhello\r\n"); err == nil {
		t.Fatal("it was accepted")
	}
	h.await("a record", func() bool { return len(h.ended(envelope.Refused)) == 1 })
	list, err := h.g.queue.Search(t.Context(), queue.HistoryFilter{})
	if err != nil || len(list) != 1 || list[0].Recipient.Address != "no@example.org" || !strings.Contains(list[0].Error, "550") {
		t.Fatalf("%+v, %v", list, err)
	}
	if got, err := h.g.admin.Resend(t.Context(), list[0].ID, api.Resend{To: []string{"ann@example.org"}}, "root"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCarry: an upstream looks at mail before it gets it.
func TestCarry(t *testing.T) {
	h := newHouse(t, againConfig)
	h.mustSend("app@example.com", []string{"ann@example.org"}, signedMail)
	h.mustSend("app@example.com", []string{"bob@example.org"}, "Subject: plain\r\n\r\nhello\r\n")
	got, err := h.g.admin.Act(t.Context(), api.Move, api.Selection{All: true, Target: "api"}, "root")
	if err != nil || got.Changed != 1 || got.Stay != 1 || len(got.Refused) != 1 || got.Refused[0].To[0] != "ann@example.org" || !strings.Contains(got.Refused[0].Why, "sign") {
		t.Errorf("%+v, %v", got, err)
	}
	m := h.heldMail()[0]
	if err := h.g.carry(t.Context(), "main", &m, m.Parts[0].To); err != nil {
		t.Error(err)
	}
	if err := h.g.carry(t.Context(), "nowhere", &m, m.Parts[0].To); err == nil {
		t.Error("nowhere can carry it")
	}
	m.ID = "0000000000001"
	if err := h.g.carry(t.Context(), "api", &m, m.Parts[0].To); !errors.Is(err, queue.ErrNotFound) {
		t.Error(err)
	}
	if _, err := addressed(&config.Config{Identity: h.cfg.Identity, Aliases: h.cfg.Aliases}, nil, []string{""}); err == nil {
		t.Error("an empty address is one")
	}
}
