package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"mailhatch/upstream"
)

// Checked is what a check of an upstream has found. No mail is sent for it.
type Checked struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Tried  bool   `json:"tried"` // the kind has something to check
	Error  string `json:"error,omitempty"`
	Millis int64  `json:"ms,omitempty"`

	Findings []upstream.Finding `json:"findings,omitempty"` // if the kind reports in parts
}

// check checks an upstream with the secrets that the gateway has.
func (s *Server) check(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("upstream")
	if s.cfg.Check != nil {
		if found, ok := s.cfg.Check(r.Context(), name); ok {
			return writeJSON(w, http.StatusOK, found)
		}
	}
	return &requestError{http.StatusNotFound, fmt.Sprintf("the running gateway has no upstream %q", name)}
}

// Check has the gateway check an upstream of its config.
func (c *Client) Check(ctx context.Context, name string) (*Checked, error) {
	return call[Checked](ctx, c, http.MethodPost, "/api/v1/check/"+url.PathEscape(name), nil, nil)
}

// AlertTest is what came back from the receiver of an alert.
type AlertTest struct {
	Name     string `json:"name"`
	Receiver string `json:"receiver"` // without secrets
	Answer   string `json:"answer,omitempty"`
	Error    string `json:"error,omitempty"`
	Millis   int64  `json:"ms"`
}

// AlertTests are those of one request.
type AlertTests struct {
	Tests []AlertTest `json:"tests"`
}

// testAlerts sends a test to the receivers of alerts.
func (s *Server) testAlerts(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.TestAlerts == nil {
		return &requestError{http.StatusNotImplemented, "this gateway tells nobody"}
	}
	tests, err := s.cfg.TestAlerts(r.Context(), r.URL.Query().Get("name"))
	if err != nil {
		return &requestError{http.StatusNotFound, err.Error()}
	}
	return writeJSON(w, http.StatusOK, AlertTests{tests})
}

// TestAlerts has the gateway send a test to the receiver of this name, "" for all.
func (c *Client) TestAlerts(ctx context.Context, name string) ([]AlertTest, error) {
	answer, err := call[AlertTests](ctx, c, http.MethodPost, "/api/v1/alert/test", values("name", name), nil)
	if err != nil {
		return nil, err
	}
	return answer.Tests, nil
}

// completeTrailer comes behind the whole of a backup.
const completeTrailer = "Mailhatch-Complete"

// ErrBusy means that another backup is being made.
var ErrBusy = errors.New("another backup is being made")

// backup sends a backup of the state. It takes as long as it takes.
func (s *Server) backup(stopped context.Context) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.cfg.Backup == nil {
			return &requestError{http.StatusNotImplemented, "this gateway makes no backups"}
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopped, cancel)()
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
		out := &begun{w: w}
		err := s.cfg.Backup(ctx, out)
		switch {
		case errors.Is(err, ErrBusy) && !out.any:
			return &requestError{http.StatusConflict, err.Error()}
		case err != nil && !out.any:
			return err
		case err == nil:
			w.Header().Set(completeTrailer, "yes")
		default: // the trailer is missing: the client knows
			s.cfg.Log.Error("backup failed", "error", err)
		}
		return nil
	}
}

// begun is a response that remembers whether it has begun.
type begun struct {
	w   http.ResponseWriter
	any bool
}

// Write implements io.Writer.
func (b *begun) Write(p []byte) (int, error) {
	if !b.any {
		b.w.Header().Set("Content-Type", "application/x-tar")
		b.w.Header().Set("Trailer", completeTrailer)
		b.any = true
	}
	return b.w.Write(p)
}

// Backup writes a backup of the running gateway's state to w, a tar archive.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	patient := &Client{c.socket, &http.Client{Transport: c.http.Transport}}
	resp, err := patient.do(ctx, http.MethodPost, "/api/v1/backup", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the backup is cut off: %w", err)
	}
	if resp.Trailer.Get(completeTrailer) == "" {
		return errors.New("the backup is cut off: the log of the gateway says why")
	}
	return nil
}
