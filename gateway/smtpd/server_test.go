package smtpd

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTransaction(t *testing.T) {
	s := run(t, nil)
	p := s.ready(TLSNone)
	p.talk("MAIL FROM:<a@b.c> SIZE=10", "250", "RCPT TO:<root>", "250", "DATA", "354", "Subject: x\r\n\r\n..hi\r\n.", "250 2.0.0 OK: queued as Q1", "QUIT", "221")
	p.wantEnd()
	got := s.k.got()
	if len(got) != 1 || got[0].text != "Subject: x\r\n\r\n.hi\r\n" || got[0].env.To[0].Address != "root@local.test" || got[0].env.To[0].Given != "root" {
		t.Fatalf("got %+v", got)
	}
}
