package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

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
