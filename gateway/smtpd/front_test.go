package smtpd

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// A session that is not behind a front is refused rather than unguarded.
func TestSessionNeedsAFront(t *testing.T) {
	client, server := net.Pipe()
	l := newPipes()
	engine := smtp.NewServer(smtp.BackendFunc(newSession))
	engine.ErrorLog = engineLog{New(Config{}, &keeper{}, nil).log}
	done := make(chan error, 1)
	go func() { done <- engine.Serve(l) }()
	l.conns <- server
	p := newPeer(t, client)
	p.want("220")
	p.talk("EHLO me", "451 4.3.0")
	client.Close()
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// go-smtp's deadlines must not undo those of the front.
func TestFrontKeepsItsDeadlines(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	s := New(Config{}, &keeper{}, nil)
	f := newFront(context.Background(), s, server)
	defer f.Close()
	for _, set := range []func(time.Time) error{f.SetDeadline, f.SetReadDeadline, f.SetWriteDeadline} {
		if err := set(time.Now().Add(-time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if f.LocalAddr() != server.LocalAddr() || f.RemoteAddr() != server.RemoteAddr() {
		t.Error("addresses are not those of the socket")
	}
	go client.Write([]byte("NOOP\r\n"))
	b := make([]byte, 100)
	if n, err := f.Read(b); err != nil || string(b[:n]) != "NOOP\r\n" {
		t.Errorf("read %q, %v", b[:n], err)
	}
}

// Replies come in any pieces; the client gets them whole and in order.
func TestTakePieces(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	f := newFront(context.Background(), New(Config{TLS: TLSStart}, &keeper{}, nil), server)
	f.verb = "MAIL"
	for _, piece := range []string{"550-5.7.1 Fir", "st\r", "\n550-5.7.1 Second\r\n550 5.7.1 Th", "ird\r\n"} {
		f.take([]byte(piece))
	}
	want := "550-5.7.1 First\r\n550-5.7.1 Second\r\n550 5.7.1 Third\r\n"
	if got := string(f.out); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.out = nil
	f.take([]byte("no\r\n"))
	if got := string(f.out); got != "no\r\n" {
		t.Errorf("got %q", got)
	}
	f.out = nil
	f.stop()
	server.Close()
}

func TestOneLine(t *testing.T) {
	if got := oneLine("a\r\nb\x00c\x7f"); got != "a  b c " {
		t.Errorf("got %q", got)
	}
	if got := oneLine(strings.Repeat("é", 300)); len(got) > 404 || !strings.HasSuffix(got, "é...") {
		t.Errorf("got %d bytes, %q", len(got), got[390:])
	}
}
