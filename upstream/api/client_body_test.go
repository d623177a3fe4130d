package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// TestHTTPAnswerBeforeTheEnd: once an attempt is over nothing reads the message any more, for its memory
// and its file are given back then. A provider that answers early must not change that.
func TestHTTPAnswerBeforeTheEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- answerEarly(l) }()
	transport := newTransport(new(net.Dialer), nil, time.Minute)
	defer transport.CloseIdleConnections()
	client := newClient(transport, "http://"+l.Addr().String())

	src := &endless{}
	body := Payload{{Open: func() io.Reader { return src }, Length: 1 << 40}}
	a, e := client.Do(t.Context(), &Request{Method: "POST", Path: "/emails", Body: body})
	reading, reads := src.reading.Load(), src.reads.Load()
	if e != nil || a.Status != http.StatusServiceUnavailable || string(a.Body) != "busy" {
		t.Fatalf("%+v, %v", a, e)
	}
	if reading != 0 {
		t.Error("the message is read still")
	}
	if err := <-served; err != nil { // the connection is closed
		t.Error(err)
	}
	if n := src.reads.Load(); n != reads {
		t.Errorf("the message was read %d times more", n-reads)
	}
}

// TestHTTPBodyIsOver: the transport may come for more before it hears that the attempt is over.
func TestHTTPBodyIsOver(t *testing.T) {
	for left, want := range map[int64]error{0: io.EOF, 1: errOver} {
		src := &endless{}
		b := &requestBody{src: src, left: left, phase: &phase{}}
		b.phase.end()
		if n, err := b.Read(make([]byte, 10)); n != 0 || err != want || src.reads.Load() != 0 {
			t.Errorf("%d bytes left: got %d, %v after %d reads of the message", left, n, err, src.reads.Load())
		}
	}
}

// answerEarly answers one request after its header and takes what comes until the client hangs up.
func answerEarly(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if _, err := http.ReadRequest(r); err != nil {
		return err
	}
	fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
	_, _ = io.Copy(io.Discard, r)
	return nil
}

// endless is a message without an end that takes its time, as a disk may.
type endless struct{ reading, reads atomic.Int32 }

func (e *endless) Read(p []byte) (int, error) {
	e.reads.Add(1)
	e.reading.Add(1)
	defer e.reading.Add(-1)
	time.Sleep(time.Millisecond)
	return len(p), nil
}
