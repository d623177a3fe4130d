package smtpd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/smtpd/limit"
)

// front is the net.Conn between a client and go-smtp. It reads the client's bytes with limits,
// answers what go-smtp would get wrong, and hands on one sane command line at a time: whenever
// go-smtp reads, it has answered everything before. The text of DATA does not pass through go-smtp:
// the session reads it from the front (see body).
//
// Only Read, Write and Close are called by go-smtp, from one goroutine; the server reaches a front
// only by its place.
type front struct {
	srv  *Server
	cfg  *Config
	ctx  context.Context // of Serve: go-smtp hands none to a session
	raw  net.Conn        // the socket
	conn net.Conn        // the socket, or TLS over it
	peer netip.Addr

	place *limit.Conn // among those that share the server

	in    []byte // in[r:w] is read from the client and not used yet
	r, w  int
	block *[]byte // in, when it came from srv.blocks
	small []byte  // what in was before
	out   []byte  // replies not sent yet
	line  []byte  // a reply line of go-smtp that is not whole yet

	writeBy time.Time // the deadline of writes

	pending []byte // for go-smtp to read
	ended   bool   // nothing more is read from the client
	hurried bool   // replies must not wait for the client to read them
	linger  bool   // the client may be sending still: see that it gets the last reply
	started bool
	greeted bool // the event Connected was sent

	dialogue
}

// dialogue is what the front knows of the conversation.
type dialogue struct {
	verb       string // the command go-smtp is answering
	helo       string
	esmtp      bool   // EHLO rather than HELO
	introduced bool   // go-smtp has had a HELO
	unheard    bool   // its next reply is not for the client
	crlf       bool   // the client has used a CR
	tls        string // version and cipher suite
	user       string
	mail       bool               // MAIL was accepted
	utf8       bool               // with SMTPUTF8
	address    string             // of the MAIL or RCPT that go-smtp is parsing
	bare       string             // as the client wrote it, when it had no domain
	offered    *envelope.Envelope // of the last MAIL
	rcpts      int                // accepted
	refused    int                // recipients refused in this transaction
	policy     bool               // the handler refused, not the protocol
	cause      error              // what the handler said of what is being refused
	challenge  bool               // AUTH waits for a response line
	errors     int
	junk       int
	authFail   int
	authed     bool // by AUTH
}

func newFront(ctx context.Context, srv *Server, conn net.Conn) *front {
	return &front{srv: srv, cfg: &srv.cfg, ctx: ctx, raw: conn, conn: conn, place: srv.conns.New(conn)}
}

// Read returns go-smtp its next command line, or io.EOF at the end of the session.
func (f *front) Read(p []byte) (n int, err error) {
	defer f.contain(&err)
	if len(f.pending) == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n = copy(p, f.pending)
	f.pending = f.pending[:copy(f.pending, f.pending[n:])]
	return n, nil
}

// Write takes a piece of a reply from go-smtp. It never fails: a client that is gone is noticed by Read.
func (f *front) Write(p []byte) (n int, err error) {
	defer f.contain(&err)
	if !f.started {
		// go-smtp greets before it reads: the moment to look who is there, in the session's own goroutine.
		f.started = true
		f.start()
		return len(p), nil
	}
	f.receive(p)
	return len(p), nil
}

// Close sends the replies that are left and ends the session.
func (f *front) Close() (err error) {
	defer f.contain(&err)
	if !f.place.Close() {
		return nil
	}
	if f.flush() == nil && f.linger {
		f.awaitClose()
	}
	f.ended = true
	err = f.conn.Close()
	if f.conn != f.raw {
		f.raw.Close()
	}
	f.release()
	f.srv.conns.Remove(f.place)
	if f.greeted {
		f.event(Event{Kind: Closed})
	}
	return err
}

// awaitClose waits a little for the client to stop sending: closing a socket with input unread makes
// the kernel take back the reply that says why.
func (f *front) awaitClose() {
	half, ok := f.conn.(interface{ CloseWrite() error })
	if !ok {
		half, ok = f.raw.(interface{ CloseWrite() error })
	}
	if !ok || half.CloseWrite() != nil {
		return
	}
	f.raw.SetReadDeadline(time.Now().Add(lingerMax))
	io.CopyN(io.Discard, f.raw, 1<<20)
}

// LocalAddr is that of the socket.
func (f *front) LocalAddr() net.Addr { return f.raw.LocalAddr() }

// RemoteAddr is that of the socket.
func (f *front) RemoteAddr() net.Addr { return f.raw.RemoteAddr() }

// SetDeadline does nothing: the front keeps its own deadlines.
func (f *front) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: the front keeps its own deadlines.
func (f *front) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: the front keeps its own deadlines.
func (f *front) SetWriteDeadline(time.Time) error { return nil }

// contain turns a panic into the end of this session: go-smtp calls the front outside of its own recover.
func (f *front) contain(err *error) {
	p := recover()
	if p == nil {
		return
	}
	f.panicked(p)
	f.ended = true
	f.raw.Close()
	*err = io.EOF
}

func (f *front) panicked(p any) {
	f.srv.log.Error("panic in an SMTP session", "peer", f.peer, "panic", p, "stack", string(debug.Stack()))
	f.event(Event{Kind: Panicked, Err: fmt.Errorf("panic: %v", p)})
}

// event reports the operator, with what is known of the client.
func (f *front) event(e Event) {
	if f.cfg.OnEvent == nil {
		return
	}
	e.Listener, e.Addr, e.Helo = f.cfg.Name, f.peer, f.helo
	f.name(&e)
	if e.User == "" {
		e.User = f.user
	}
	f.cfg.OnEvent(e)
}

// name reports whose mail an event is about.
func (f *front) name(e *Event) {
	switch {
	case e.Kind != Rejected && e.Kind != Lost:
		return
	case e.Command == "MAIL":
		e.From = f.address
		return
	case f.offered == nil || (e.Command != "RCPT" && e.Command != "DATA"):
		return
	case e.Command == "RCPT":
		e.To = []string{f.address}
	default:
		for _, r := range f.offered.To {
			e.To = append(e.To, r.Address)
		}
	}
	e.From = f.offered.From
}

// armBoth sets the deadline of a handshake, unless somebody who ends the session has been here first.
func (f *front) armBoth(deadline time.Time) error {
	if err := f.place.ArmBoth(deadline); err != nil {
		return err
	}
	f.writeBy = deadline
	return nil
}

// client returns who limits count.
func (f *front) client() limit.Client { return limit.NewClient(f.user, f.peer) }

// refuseConn refuses a connection that exceeds a limit; go-smtp never sees it.
func (f *front) refuseConn(reply string) {
	f.peer = addrOf(f.raw.RemoteAddr())
	f.event(Event{Kind: Refused, Reply: reply})
	if f.cfg.TLS != TLSImplicit {
		// The send buffer of a fresh socket takes this without waiting.
		f.raw.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(f.raw, reply+"\r\n")
	}
	f.raw.Close()
}

// start looks at the peer and greets it, or ends the session.
func (f *front) start() {
	if err := f.identifyPeer(); err != nil {
		f.event(Event{Kind: ProxyFailed, Err: err})
		f.ended = true
		return
	}
	if f.cfg.User != nil {
		f.user = f.cfg.User(f.raw)
	}
	f.identified()
	if !f.allowed() {
		f.refuse("554 5.7.1 Connections from your address are not allowed")
		return
	}
	if !f.srv.conns.AdmitAddr(f.place, f.peer) {
		f.refuse("421 4.7.0 " + f.cfg.Hostname + " Too many connections from your address")
		return
	}
	if f.cfg.TLS == TLSImplicit && !f.handshake() {
		return
	}
	f.greeted = true
	f.event(Event{Kind: Connected})
	f.respond(strings.TrimSpace("220 " + f.cfg.Hostname + " ESMTP " + f.cfg.Banner))
}

// refuse ends a session before it began; over implicit TLS without a reply. It frees its place at
// once: refused clients must not keep others out.
func (f *front) refuse(reply string) {
	f.event(Event{Kind: Refused, Reply: reply})
	f.srv.conns.Remove(f.place)
	if f.cfg.TLS != TLSImplicit {
		f.respond(reply)
	}
	f.ended = true
}

// identified notes whether the client is known; strangers are the first to give way.
func (f *front) identified() {
	f.place.SetStranger(f.user == "" && !f.local())
}

// allowed asks the allow list; a unix socket is guarded by its file mode.
func (f *front) allowed() bool {
	if len(f.cfg.Allow) == 0 || !f.peer.IsValid() {
		return true
	}
	return contains(f.cfg.Allow, f.peer)
}
