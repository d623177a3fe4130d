package soak

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/message"
	"mailhatch/cmd/mailbench/sink"
)

// api is a fake of Resend that knows idempotency keys, keeps no mail and fails at random.
// https://resend.com/docs/dashboard/emails/idempotency-keys
type api struct {
	ledger *ledger
	faults *faultPlan
	server *http.Server
	listen net.Listener
	served chan error

	mu        sync.Mutex
	keys      map[string][sha256.Size]byte // the body that each came with
	conflicts int                          // keys that came with another body
}

func startAPI(l *ledger, f *faultPlan) (*api, error) {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &api{ledger: l, faults: f, listen: listen, served: make(chan error, 1), keys: map[string][sha256.Size]byte{}}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	go func() { a.served <- a.server.Serve(listen) }()
	return a, nil
}

func (a *api) url() string { return "http://" + a.listen.Addr().String() }

func (a *api) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		_ = a.server.Close()
	}
	if err := <-a.served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *api) conflictCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conflicts
}

// apiKinds are the faults of the API. A 429 rests the whole upstream for a second and is therefore rare.
func apiKinds() []string {
	kinds := []string{"API 429"}
	for range 4 {
		kinds = append(kinds, "API 500", "API 502 HTML", "API 504 after taking it", "API drop before the body", "API drop during the body",
			"API drop after the body", "API reply lost", "API half a reply", "API slow")
	}
	return kinds
}

// ServeHTTP takes one mail, or fails.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/emails" {
		sink.Refuse(w, http.StatusNotFound, "there is nothing here")
		return
	}
	fault := a.faults.pick(apiKinds()...)
	switch fault {
	case "API drop before the body":
		panic(http.ErrAbortHandler) // net/http's way to close without an answer
	case "API drop during the body":
		_, _ = io.CopyN(io.Discard, r.Body, 100)
		panic(http.ErrAbortHandler)
	case "API slow":
		host.SleepUntil(r.Context(), time.Now().Add(time.Second))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sink.MaxBody))
	if err != nil {
		return
	}
	switch fault {
	case "API 429":
		w.Header().Set("Retry-After", "1")
		sink.Refuse(w, http.StatusTooManyRequests, "too many requests")
		return
	case "API 500":
		sink.Refuse(w, http.StatusInternalServerError, "an unexpected error occurred")
		return
	case "API 502 HTML":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><title>Bad Gateway</title></html>")
		return
	case "API drop after the body":
		panic(http.ErrAbortHandler)
	}
	id, ok := a.take(r.Header.Get("Idempotency-Key"), body)
	switch {
	case !ok:
		sink.Refuse(w, http.StatusConflict, "same idempotency key used with a different request payload")
	case fault == "API 504 after taking it":
		sink.Refuse(w, http.StatusGatewayTimeout, "timeout")
	case fault == "API reply lost":
		panic(http.ErrAbortHandler)
	case fault == "API half a reply":
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"id":`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q}`, id)
	}
}

// take counts a mail once for each key; false: the key came with another body before.
func (a *api) take(key string, body []byte) (id string, ok bool) {
	id = message.FindID(body)
	sum := sha256.Sum256(body)
	a.mu.Lock()
	old, known := a.keys[key]
	if key != "" {
		a.keys[key] = sum
	}
	if known && old != sum {
		a.conflicts++
	}
	a.mu.Unlock()
	if known {
		return id, old == sum
	}
	a.ledger.took(id, true)
	return id, true
}
