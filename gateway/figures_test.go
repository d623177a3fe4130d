package gateway

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mailhatch/gateway/admin/figures"
)

// TestFiguresOverARestart: what the page counts goes on after a restart, and a file that is damaged keeps nothing from starting.
func TestFiguresOverARestart(t *testing.T) {
	h, _ := resendHouse(t, "")
	week := func() (all figures.Count) {
		for _, p := range h.g.figures.Series(7*24*time.Hour, time.Hour) {
			all.Accepted += p.Accepted
			all.Recipients += p.Recipients
			all.Sent += p.Sent
		}
		return all
	}
	restart := func() {
		t.Helper()
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
		h.start()
	}
	h.mustSend("x@example.com", []string{"a@example.org", "b@example.org"}, plainMail)
	want := figures.Count{Accepted: 1, Recipients: 2, Sent: 2}
	h.await("the mail to be sent", func() bool { return week() == want })
	since := h.g.figures.Since()
	restart()
	if got := week(); got != want || !h.g.figures.Since().Equal(since) {
		t.Errorf("after a restart: %+v since %v", got, h.g.figures.Since())
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.cfg.StateDir, "figures.json.gz"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the next mail", func() bool { return week() == figures.Count{Accepted: 1, Recipients: 1, Sent: 1} })
}
