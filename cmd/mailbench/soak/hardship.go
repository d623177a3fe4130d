package soak

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/cmd/mailbench/host"
)

const (
	slowConnections = 10
	slowStart       = 1 << 20         // bytes that a slow client sends at once
	slowPace        = 3 * time.Second // for each byte after these
)

// slowClients keeps connections that begin a message fast and then send a byte now and then, until ctx ends. It
// returns how many there were.
func (s *soak) slowClients(ctx context.Context) int {
	var n atomic.Int64
	var wg sync.WaitGroup
	for range slowConnections {
		wg.Go(func() {
			for host.Pause(ctx, time.Second) {
				n.Add(1)
				s.slowClient(ctx) // until the gateway has had enough of it
			}
		})
	}
	wg.Wait()
	return int(n.Load())
}

func (s *soak) slowClient(ctx context.Context) {
	conn, err := net.Dial("tcp", host.Loopback(s.port))
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	const opening = "EHLO slow.example\r\nMAIL FROM:<slow@sink.example>\r\nRCPT TO:<slow@relay.example>\r\nDATA\r\n"
	if _, err := io.WriteString(conn, opening+"Subject: slow\r\n\r\n"); err != nil {
		return
	}
	line := append(bytes.Repeat([]byte("x"), 998), '\r', '\n')
	for sent := 0; sent < slowStart; sent += len(line) {
		if _, err := conn.Write(line); err != nil {
			return
		}
	}
	for host.Pause(ctx, slowPace) {
		if _, err := conn.Write([]byte("x")); err != nil {
			return
		}
	}
}

const (
	stallEvery  = 2 * time.Minute // between two stalls; shorter runs have one in a quarter of their time
	stallLength = 20 * time.Second
)

// logReader reads what the gateway logs, keeps the errors in a file, and stalls now and then.
type logReader struct {
	r, w    *os.File
	errors  *os.File
	stalled atomic.Bool
	resumed chan struct{} // a token at the end of each stall
	done    chan struct{}
}

func newLogReader(path string) (*logReader, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	l := &logReader{errors: file, resumed: make(chan struct{}, 1), done: make(chan struct{})}
	if l.r, l.w, err = os.Pipe(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	go l.read() // ends when close has closed the pipe
	return l, nil
}

func (l *logReader) read() {
	defer close(l.done)
	for in := bufio.NewReader(l.r); ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		if !bytes.Contains(line, []byte(`"level":"INFO"`)) && !bytes.Contains(line, []byte(`"level":"WARN"`)) {
			_, _ = l.errors.Write(line) // only for the report of a failure
		}
		if l.stalled.Load() {
			<-l.resumed
		}
	}
}

// stall lets nobody read now and then until ctx ends. It returns how often.
func (l *logReader) stall(ctx context.Context, duration time.Duration) (n int) {
	every, length := min(stallEvery, duration/4), min(stallLength, duration/8)
	for host.Pause(ctx, every) {
		n++
		l.stalled.Store(true)
		host.Pause(ctx, length)
		l.stalled.Store(false)
		select {
		case l.resumed <- struct{}{}: // a token that nobody waits for ends the next wait at once
		default:
		}
	}
	return n
}

// tail returns the last lines that were no information.
func (l *logReader) tail() string {
	b, err := os.ReadFile(l.errors.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (l *logReader) close() error {
	err := l.w.Close()
	<-l.done
	return errors.Join(err, l.r.Close(), l.errors.Close())
}
