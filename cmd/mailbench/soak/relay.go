package soak

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/sink"
	"mailhatch/test/freeport"
)

// relay is an SMTP server that keeps no mail, fails at random and can go away for a time.
type relay struct {
	ledger *ledger
	faults *faultPlan
	port   int

	mu     sync.Mutex
	listen net.Listener // nil while it is away
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

func startRelay(ctx context.Context, l *ledger, f *faultPlan) (*relay, error) {
	port, err := freeport.Reserve(ctx)
	if err != nil {
		return nil, err
	}
	r := &relay{ledger: l, faults: f, port: port, conns: map[net.Conn]bool{}}
	return r, r.up()
}

// up begins to listen, at the same port as before.
func (r *relay) up() error {
	listen, err := net.Listen("tcp", host.Loopback(r.port))
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.listen = listen
	r.mu.Unlock()
	r.wg.Go(func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			away := r.listen != listen
			if !away {
				r.conns[conn] = true
			}
			r.mu.Unlock()
			if away {
				_ = conn.Close()
				return
			}
			r.wg.Go(func() { r.serve(conn) })
		}
	})
	return nil
}

// down closes everything at once.
func (r *relay) down() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listen != nil {
		_ = r.listen.Close()
	}
	r.listen = nil
	for conn := range r.conns {
		_ = conn.Close()
	}
}

func (r *relay) close() error {
	r.down()
	r.wg.Wait()
	return nil
}

func (r *relay) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		r.mu.Lock()
		delete(r.conns, conn)
		r.mu.Unlock()
	}()
	d := &relayDialog{relay: r, conn: conn, r: bufio.NewReaderSize(conn, sink.LineSize), w: bufio.NewWriter(conn)}
	d.say(sink.Greeting)
	for d.next() {
	}
	if d.told != "" { // no command followed: the answer may have been lost with the connection
		r.ledger.lostReply(d.told)
	}
}

// relayDialog is one connection to the relay.
type relayDialog struct {
	relay *relay
	conn  net.Conn
	r     *bufio.Reader
	w     *bufio.Writer
	fault string // of the transaction
	told  string // id of the mail that was answered last, until the client goes on
}

func (d *relayDialog) say(words string) bool {
	_, _ = d.w.WriteString(words)
	return d.r.Buffered() > 0 || d.w.Flush() == nil
}

// next answers one command; false ends the connection.
func (d *relayDialog) next() bool {
	_ = d.conn.SetReadDeadline(time.Now().Add(sink.IdleLimit))
	line, err := d.r.ReadSlice('\n')
	if err != nil {
		return false
	}
	d.told = ""
	verb, _, _ := strings.Cut(strings.ToUpper(string(bytes.TrimRight(line, "\r\n"))), " ")
	switch verb {
	case "EHLO":
		return d.say(sink.Hello)
	case "MAIL":
		d.fault = d.relay.faults.pick("relay 421 at MAIL", "relay 451 at RCPT", "relay 451 at the dot", "relay drop at DATA",
			"relay drop during the body", "relay drop after the body", "relay reply lost", "relay slow")
		if d.fault == "relay 421 at MAIL" {
			d.say("421 4.3.2 going down\r\n")
			return false
		}
	case "RCPT":
		if d.fault == "relay 451 at RCPT" {
			return d.say("451 4.2.1 try again\r\n")
		}
	case "DATA":
		if d.fault == "relay drop at DATA" {
			return false
		}
		return d.message()
	case "QUIT":
		d.say("221 2.0.0 bye\r\n")
		return false
	}
	return d.say("250 2.0.0 OK\r\n")
}

// message takes a mail, or fails.
func (d *relayDialog) message() bool {
	if d.fault == "relay 451 at RCPT" { // no recipient was taken
		return d.say("503 5.5.1 no recipients\r\n")
	}
	_, _ = d.w.WriteString("354 go ahead\r\n")
	if d.w.Flush() != nil {
		return false
	}
	if d.fault == "relay drop during the body" {
		_, _ = d.r.ReadSlice('\n')
		return false
	}
	id, err := sink.ReadMessage(d.r)
	if err != nil {
		return false
	}
	switch d.fault {
	case "relay slow":
		host.SleepUntil(context.Background(), time.Now().Add(time.Second))
	case "relay drop after the body":
		return false
	case "relay 451 at the dot":
		return d.say("451 4.3.0 not now\r\n")
	}
	d.relay.ledger.took(id, false)
	if d.fault == "relay reply lost" {
		d.relay.ledger.lostReply(id)
		return false
	}
	_, _ = d.w.WriteString("250 2.0.0 taken\r\n")
	if err := d.w.Flush(); err != nil {
		d.relay.ledger.lostReply(id)
		return false
	}
	d.told = id
	return true
}
