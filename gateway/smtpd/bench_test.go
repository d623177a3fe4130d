package smtpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
)

// taker takes all mail and keeps none.
type taker struct{}

func (taker) Sender(context.Context, *envelope.Envelope) error { return nil }
func (taker) Recipient(context.Context, *envelope.Envelope, *envelope.Recipient) error {
	return nil
}
func (taker) Accept(_ context.Context, _ *envelope.Envelope, body io.Reader) (id, text string, err error) {
	_, err = io.Copy(io.Discard, body)
	return "ID", "", err
}

// BenchmarkMessages sends messages over connections that stay, pipelining the envelope.
func BenchmarkMessages(b *testing.B) {
	for _, bm := range []struct{ size, sessions int }{{4 << 10, 1}, {4 << 10, 16}, {4 << 10, 64}, {64 << 10, 16}} {
		b.Run(fmt.Sprintf("%dKiB/%d", bm.size>>10, bm.sessions), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- New(Config{}, taker{}, nil).Serve(ctx, l) }()
			b.SetBytes(int64(bm.size))
			b.ReportAllocs()
			work := make(chan struct{})
			ended := make(chan error, bm.sessions)
			for range bm.sessions {
				go func() { ended <- sendAll(l.Addr().String(), bm.size, work) }()
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			for range bm.sessions {
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
			}
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkConnections sends each message over a connection of its own.
func BenchmarkConnections(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg := Config{TLS: TLSStart, OnEvent: func(Event) {}}
	go func() { done <- New(cfg, taker{}, nil).Serve(ctx, l) }()
	b.ReportAllocs()
	text := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64) + ".\r\n"
	for b.Loop() {
		if err := sendOne(l.Addr().String(), text); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// sendOne reports what a client with one message says, waiting for each reply.
func sendOne(addr, text string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if err := replies(r, 1); err != nil {
		return err
	}
	if err := greetings(c, r); err != nil {
		return err
	}
	for _, line := range []string{"MAIL FROM:<a@example.org>\r\n", "RCPT TO:<b@example.org>\r\n", "DATA\r\n", text, "QUIT\r\n"} {
		io.WriteString(c, line)
		if err := replies(r, 1); err != nil {
			return err
		}
	}
	return nil
}

// greetings reports EHLO and reads the reply with all its lines.
func greetings(c io.Writer, r *bufio.Reader) error {
	io.WriteString(c, "EHLO bench\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "250") {
			return fmt.Errorf("got %q (%v)", line, err)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

// sendAll sends a message for each word of work.
func sendAll(addr string, size int, work <-chan struct{}) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	envelope := []byte("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
	text := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64) + ".\r\n")
	io.WriteString(c, "HELO bench\r\n")
	if err := replies(r, 2); err != nil {
		return err
	}
	for range work {
		c.Write(envelope)
		if err := replies(r, 3); err != nil {
			return err
		}
		c.Write(text)
		if err := replies(r, 1); err != nil {
			return err
		}
	}
	return nil
}

func replies(r *bufio.Reader, n int) error {
	for range n {
		line, err := r.ReadString('\n')
		if err != nil || line[0] > '3' {
			return fmt.Errorf("got %q (%v)", line, err)
		}
	}
	return nil
}
