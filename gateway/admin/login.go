package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"mailhatch/upstream"
)

// LoginStep is one line of the answer to a login: first what the person needs, then how it ended.
type LoginStep struct {
	Code  *upstream.LoginCode `json:"code,omitempty"`
	Done  bool                `json:"done,omitempty"`
	Error string              `json:"error,omitempty"`
}

// login lets a person log in to an upstream. The answer takes as long as the person does; it ends when the client
// leaves or the server stops.
func (s *Server) login(stopped context.Context) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.cfg.Login == nil {
			return &requestError{http.StatusNotImplemented, "this gateway lets nobody log in"}
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopped, cancel)()
		control := http.NewResponseController(w)
		if err := errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})); err != nil {
			return err
		}
		var shown error
		began := false
		err := s.cfg.Login(ctx, r.PathValue("upstream"), func(code upstream.LoginCode) {
			began = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			shown = errors.Join(json.NewEncoder(w).Encode(LoginStep{Code: &code}), control.Flush())
		})
		switch {
		case !began && err != nil:
			return &requestError{http.StatusUnprocessableEntity, err.Error()}
		case shown != nil:
			return nil // the client is gone
		case err != nil:
			_ = json.NewEncoder(w).Encode(LoginStep{Error: err.Error()})
		default:
			_ = json.NewEncoder(w).Encode(LoginStep{Done: true})
		}
		return nil
	}
}

// Login lets a person log in to an upstream of the running gateway: show is called with what they need. It returns
// once they have consented, or why they have not.
func (c *Client) Login(ctx context.Context, name string, show func(upstream.LoginCode)) error {
	patient := &Client{c.socket, &http.Client{Transport: c.http.Transport}} // as long as the code is good
	resp, err := patient.do(ctx, http.MethodPost, "/api/v1/login/"+url.PathEscape(name), nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	steps := json.NewDecoder(resp.Body)
	for {
		var step LoginStep
		err := steps.Decode(&step)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the gateway stopped before anybody had consented")
		case err != nil:
			return fmt.Errorf("reading the answer of mailhatch: %w", err)
		case step.Error != "":
			return errors.New(step.Error)
		case step.Done:
			return nil
		case step.Code != nil:
			show(*step.Code)
		}
	}
}
