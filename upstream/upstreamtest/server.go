// Package upstreamtest has strict fakes of providers' APIs: they hold requests to every documented
// rule, keep what they took, and fail as they are told.
package upstreamtest

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Server is a fake of one provider. Its methods may be called from many goroutines.
type Server struct {
	URL string

	provider string
	api      API
	http     *httptest.Server
	quit     chan struct{}
	once     sync.Once

	mu       sync.Mutex
	key      string
	faults   []Fault
	accepted []Message
	rejected []string
	requests int
	serial   int
	replays  map[string]replay
	account  Account
	refused  map[string]Fault // by recipient
}

// API is what tells the providers apart.
type API interface {
	// Take holds a request to the provider's rules; it fills in msg, or says what is wrong.
	Take(s *Server, r *http.Request, body []byte, msg *Message) *Answer
	// Accepted is the answer to a mail that was taken.
	Accepted(msg *Message) *Answer
	// Authorized reports whether the credentials are these.
	Authorized(r *http.Request, key string) bool
	// Unauthorized is the answer where they are not.
	Unauthorized(r *http.Request) *Answer
	// Other answers requests that send nothing; nil: 404.
	Other(r *http.Request, acct *Account) *Answer
	// Sends reports whether a request is for sending.
	Sends(r *http.Request) bool
	// Limit is how many bytes a request may have.
	Limit() int64
	TooLarge() *Answer
}

// Answer is what the fake says; it is JSON unless the header says otherwise.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

type replay struct {
	body   []byte
	answer *Answer
}

// Option changes how a fake is made.
type Option func(*options)

type options struct{ tls bool }

// TLS makes the fake speak HTTPS with the certificate of CA.
func TLS() Option { return func(o *options) { o.tls = true } }

// NewServer starts a fake of another provider.
func NewServer(provider, key string, a API, opts []Option) *Server {
	var o options
	for _, set := range opts {
		set(&o)
	}
	s := &Server{provider: provider, api: a, key: key, quit: make(chan struct{}), replays: map[string]replay{}}
	s.http = httptest.NewUnstartedServer(s)
	if o.tls {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	s.URL = s.http.URL
	return s
}

// Close ends the fake; delayed answers are given up. It may be called again.
func (s *Server) Close() {
	s.once.Do(func() { close(s.quit) })
	s.http.CloseClientConnections()
	s.http.Close()
}

// CA returns the certificate in PEM form, for ca_file.
func (s *Server) CA() []byte {
	var cert *x509.Certificate = s.http.Certificate()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// Script reports what becomes of the next requests that send; after these the rules hold again.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Unscript forgets the faults that are still to come.
func (s *Server) Unscript() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// SetKey changes the key that is right from now on.
func (s *Server) SetKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// Accepted returns the mails that were taken, in order.
func (s *Server) Accepted() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.accepted...)
}

// Rejected returns the rules that requests broke, in order.
func (s *Server) Rejected() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.rejected...)
}

// Requests counts requests that send, whatever became of them.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Reset forgets mails, requests and faults; idempotency keys stay known.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted, s.rejected, s.faults, s.requests = nil, nil, nil, 0
}

// Forget forgets idempotency keys, as providers do after a day.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.replays)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.api.Sends(r) {
		s.serveOther(w, r)
		return
	}
	fault := s.next()
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-s.quit:
		case <-r.Context().Done():
		}
	}
	body, ok := s.read(w, r, fault)
	if !ok {
		return
	}
	if fault.Status != 0 && !fault.Accept {
		write(w, &Answer{fault.Status, fault.Header, fault.Body})
		return
	}
	a := s.judge(r, body)
	switch {
	case fault.Drop == HoldReply:
		select {
		case <-s.quit:
		case <-r.Context().Done():
		}
	case fault.Drop == DropReply:
		hangUp(w, "")
	case fault.Drop == DropHalfReply:
		hangUp(w, fmt.Sprintf("HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":", a.Status))
	case fault.Status != 0:
		write(w, &Answer{fault.Status, fault.Header, fault.Body})
	default:
		write(w, a)
	}
}

func (s *Server) next() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if len(s.faults) == 0 {
		return Fault{}
	}
	f := s.faults[0]
	s.faults = s.faults[1:]
	return f
}

// read reads the body, or as much of it as the fault allows.
func (s *Server) read(w http.ResponseWriter, r *http.Request, fault Fault) ([]byte, bool) {
	switch fault.Drop {
	case DropRest:
		write(w, &Answer{fault.Status, fault.Header, fault.Body})
		return nil, false
	case DropBeforeBody:
		hangUp(w, "")
		return nil, false
	case DropDuringBody:
		_, _ = io.CopyN(io.Discard, r.Body, 100)
		hangUp(w, "")
		return nil, false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, s.api.Limit()+1))
	if err != nil {
		return nil, false
	}
	if int64(len(body)) > s.api.Limit() {
		s.reject("the request is larger than the provider takes")
		write(w, s.api.TooLarge())
		return nil, false
	}
	if fault.Drop == DropAfterBody {
		hangUp(w, "")
		return nil, false
	}
	return body, true
}

// hangUp breaks the connection after some bytes.
func hangUp(w http.ResponseWriter, first string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, first)
	_ = conn.Close()
}

func write(w http.ResponseWriter, a *Answer) {
	for name, values := range a.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Body)
}

// judge holds a whole request to the rules and takes the mail.
func (s *Server) judge(r *http.Request, body []byte) *Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body)) // signatures are over it
	if !s.api.Authorized(r, s.key) {
		s.rejected = append(s.rejected, "the credentials are wrong")
		return s.api.Unauthorized(r)
	}
	key := r.Header.Get("Idempotency-Key")
	if old, ok := s.replays[key]; ok && s.provider == "resend" {
		if string(old.body) == string(body) {
			return old.answer
		}
		s.rejected = append(s.rejected, "the idempotency key was used with another body")
		return resendError(409, "invalid_idempotent_request", "Same idempotency key used with a different request payload.")
	}
	s.serial++
	msg := &Message{Provider: s.provider, ID: fmt.Sprintf("%s-%d", s.provider, s.serial), IdempotencyKey: key, Raw: body}
	msg.RequestHeader = r.Header.Clone()
	msg.RequestHeader.Del("Authorization")
	if a := s.api.Take(s, r, body, msg); a != nil {
		s.rejected = append(s.rejected, strings.TrimSpace(a.Body))
		return a
	}
	if a := s.refusal(msg); a != nil {
		return a
	}
	s.accepted = append(s.accepted, *msg)
	a := s.api.Accepted(msg)
	if msg.IdempotencyKey != "" {
		s.replays[msg.IdempotencyKey] = replay{body, a}
	}
	return a
}

// IsKnown reports whether a mail with this idempotency key was taken. Only [API.Take] may call it.
func (s *Server) IsKnown(key string) bool {
	_, ok := s.replays[key]
	return ok
}

func (s *Server) reject(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected = append(s.rejected, why)
}

func (s *Server) serveOther(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	ok, acct := s.api.Authorized(r, s.key), s.account
	s.mu.Unlock()
	s.date(w)
	switch a := s.api.Other(r, &acct); {
	case a == nil:
		write(w, &Answer{404, nil, `{"message":"not found"}`})
	case !ok:
		write(w, s.api.Unauthorized(r))
	default:
		write(w, a)
	}
}

// JSON returns a value in JSON.
func JSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// Sends reports whether a request is for sending.
func (s *Server) Sends(r *http.Request) bool { return s.api.Sends(r) }

// Authorized reports whether a request has the right key.
func (s *Server) Authorized(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.api.Authorized(r, s.key)
}
