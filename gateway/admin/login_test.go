package admin

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/upstream"
)

// TestLogin: the code is shown while the person has not consented; how it ends is told in words.
func TestLogin(t *testing.T) {
	code := upstream.LoginCode{URL: "https://login.example/device", Code: "ABCD", Expiry: time.Now().Add(time.Hour).Truncate(time.Second).UTC()}
	shown, ended := make(chan upstream.LoginCode, 1), make(chan error, 1)
	c, address := start(t, Config{Queue: newFake(), Login: func(ctx context.Context, name string, show func(upstream.LoginCode)) error {
		switch name {
		case "none":
			return errors.New("there is no upstream \"none\"")
		case "refused":
			show(code)
			return errors.New("the person refused")
		case "waits":
			show(code)
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		}
		show(code)
		return nil
	}})
	show := func(c upstream.LoginCode) { shown <- c }
	if err := c.Login(t.Context(), "m365", show); err != nil || <-shown != code {
		t.Errorf("a login: %v", err)
	}
	var refused *api.Error
	if err := c.Login(t.Context(), "none", show); !errors.As(err, &refused) || refused.Status != http.StatusUnprocessableEntity {
		t.Errorf("no such upstream: %v", err)
	}
	if err := c.Login(t.Context(), "refused", show); err == nil || err.Error() != "the person refused" || <-shown != code {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Login(ctx, "waits", func(upstream.LoginCode) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the gateway goes on")
	}
	if status, _ := ask(t, http.MethodPost, "http://"+address+"/api/v1/login/m365", "", "", nil); status != http.StatusForbidden {
		t.Errorf("by TCP: %d", status)
	}
}

func TestLoginWithoutOne(t *testing.T) {
	c, _ := start(t, Config{Queue: newFake()})
	var e *api.Error
	if err := c.Login(t.Context(), "m365", nil); !errors.As(err, &e) || e.Status != http.StatusNotImplemented {
		t.Error(err)
	}
}

// TestLoginAndStop: a server that stops does not wait for the person.
func TestLoginAndStop(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	s := New(Config{Queue: newFake(), Login: func(ctx context.Context, _ string, show func(upstream.LoginCode)) error {
		show(upstream.LoginCode{})
		stop()
		<-ctx.Done()
		return ctx.Err()
	}})
	w := &deadlines{header: http.Header{}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.login(stopped)(w, r); err != nil || w.flushed != 1 {
		t.Errorf("%v, flushed %d times", err, w.flushed)
	}
}

// deadlines is a response whose time limits can be lifted.
type deadlines struct {
	header  http.Header
	flushed int
}

func (d *deadlines) Header() http.Header             { return d.header }
func (d *deadlines) WriteHeader(int)                 {}
func (d *deadlines) Write(p []byte) (int, error)     { return len(p), nil }
func (d *deadlines) Flush()                          { d.flushed++ }
func (d *deadlines) SetReadDeadline(time.Time) error { return nil }
func (d *deadlines) SetWriteDeadline(time.Time) error {
	return nil
}
