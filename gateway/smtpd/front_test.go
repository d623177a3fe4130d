package smtpd

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
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

// A client that does not read its replies is waited for a minute, whatever deadline was set before.
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		f := newFront(context.Background(), New(Config{}, &keeper{}, nil), server)
		for _, c := range []struct {
			before    string
			pause     time.Duration // since the deadline was set
			handshake bool
			want      time.Duration
		}{
			{"nothing", 0, false, writeMax + writeSlack},
			{"a reply just now", 0, false, writeMax + writeSlack},
			{"a reply long ago", writeSlack, false, writeMax},
			{"a reply too long ago", writeSlack + 1, false, writeMax + writeSlack},
			{"a handshake", time.Second, true, writeMax + writeSlack},
		} {
			f.writeBy = time.Time{}
			if c.before != "nothing" {
				go client.Read(make([]byte, 100))
				f.respond("250 OK")
				if err := f.flush(); err != nil {
					t.Fatal(err)
				}
			}
			if c.handshake {
				f.armBoth(time.Now().Add(handshakeMax))
			}
			time.Sleep(c.pause)
			began := time.Now()
			f.respond("250 OK")
			if err := f.flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after %s: %v", c.before, err)
			}
			if took := time.Since(began); took != c.want {
				t.Errorf("after %s: given up after %v, want %v", c.before, took, c.want)
			}
		}
	})
}

// Replies come in any pieces; the client gets them whole and in order.
func TestTakePieces(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	f := newFront(context.Background(), New(Config{TLS: TLSStart}, &keeper{}, nil), server)
	f.verb = "MAIL"
	for _, piece := range []string{"550-5.7.1 Fir", "st\r", "\n550-5.7.1 Second\r\n550 5.7.1 Th", "ird\r\n"} {
		f.receive([]byte(piece))
	}
	want := "550-5.7.1 First\r\n550-5.7.1 Second\r\n550 5.7.1 Third\r\n"
	if got := string(f.out); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.out = nil
	f.receive([]byte("no\r\n"))
	if got := string(f.out); got != "no\r\n" {
		t.Errorf("got %q", got)
	}
	f.out = nil
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
