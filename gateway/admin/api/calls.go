package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/upstream"
)

// Resend asks for a message to be accepted a second time.
type Resend struct {
	To  []string `json:"to,omitempty"`  // recipients; none: those of the message
	Via string   `json:"via,omitempty"` // upstream, whatever routes say; "": by the routes
}

// Resent is a message that was accepted a second time.
type Resent struct {
	ID string   `json:"id"` // the new one
	To []string `json:"to"`
}

// Resend asks the gateway to accept a message a second time.
func (c *Client) Resend(ctx context.Context, id string, ask Resend) (*Resent, error) {
	return call[Resent](ctx, c, http.MethodPost, "/api/v1/queue/"+url.PathEscape(id)+"/resend", nil, ask)
}

// Retry is Act for the action of that name, and waits so long to tell what became of the mail.
func (c *Client) Retry(ctx context.Context, s Selection, wait time.Duration) (*Changed, error) {
	return call[Changed](ctx, c, http.MethodPost, "/api/v1/queue/retry", values("wait", wait.String()), s)
}

// Flush makes queued mail due now, ages and attempts as they are, tries closed upstreams, and waits so long to tell what
// became of the mail.
func (c *Client) Flush(ctx context.Context, wait time.Duration) (*Changed, error) {
	return call[Changed](ctx, c, http.MethodPost, "/api/v1/flush", values("wait", wait.String()), nil)
}

// Filter returns the filter that names the same parts.
func (s *Selection) Filter() *Filter {
	return &Filter{IDs: s.IDs, State: s.State, Upstream: s.Upstream, From: s.From, To: s.To, Subject: s.Subject, Older: s.Older}
}

const maxNamedIDs = 5 // that a log line shows

// String returns the selection in one line, for the record.
func (s *Selection) String() string {
	var words []string
	back := ""
	if s.Back {
		back = "to the routes"
	}
	switch n := len(s.IDs); {
	case n > maxNamedIDs:
		words = append(words, strings.Join(s.IDs[:maxNamedIDs], " ")+" …")
	case n > 0:
		words = append(words, strings.Join(s.IDs, " "))
	default:
		words = append(words, "all")
	}
	for _, w := range [][2]string{{"state", string(s.State)}, {"upstream", s.Upstream}, {"from", s.From}, {"to", s.To}, {"subject", s.Subject}, {"older", s.Older}, {"back", back}} {
		if w[1] != "" {
			words = append(words, w[0]+"="+w[1])
		}
	}
	return strings.Join(words, " ")
}

// failure is the answer to a request that failed.
type Failure struct {
	Error string `json:"error"`
}

// LoginStep is one line of the answer to a login: first what the person needs, then how it ended.
type LoginStep struct {
	Code  *upstream.LoginCode `json:"code,omitempty"`
	Done  bool                `json:"done,omitempty"`
	Error string              `json:"error,omitempty"`
}

// Login lets a person log in to an upstream of the running gateway: show is called with what they need. It returns
// once they have consented, or why they have not.
func (c *Client) Login(ctx context.Context, name string, show func(upstream.LoginCode)) error {
	patient := &Client{socket: c.socket, HTTP: &http.Client{Transport: c.HTTP.Transport}} // as long as the code is good
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

// InMaildrop is the state of mail that a sendmail left while the gateway was down and that is not taken in yet. It has no
// queue id, and no action reaches it.
const InMaildrop envelope.State = "maildrop"

// MaildropStatus counts what waits in the maildrop.
type MaildropStatus struct {
	Messages   int       `json:"messages"`
	Bytes      int64     `json:"bytes"`
	Oldest     time.Time `json:"oldest,omitzero"`       // when the oldest was left
	Refused    int       `json:"refused,omitempty"`     // messages that could not be taken in
	RefusedDir string    `json:"refused_dir,omitempty"` // where they lie
}

// Checked is what a check of an upstream has found. No mail is sent for it.
type Checked struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Tried  bool   `json:"tried"` // the kind has something to check
	Error  string `json:"error,omitempty"`
	Millis int64  `json:"ms,omitempty"`

	Findings []upstream.Finding `json:"findings,omitempty"` // if the kind reports in parts
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

// TestAlerts has the gateway send a test to the receiver of this name, "" for all.
func (c *Client) TestAlerts(ctx context.Context, name string) ([]AlertTest, error) {
	answer, err := call[AlertTests](ctx, c, http.MethodPost, "/api/v1/alert/test", values("name", name), nil)
	if err != nil {
		return nil, err
	}
	return answer.Tests, nil
}

// completeTrailer comes behind the whole of a backup.
const CompleteTrailer = "Mailhatch-Complete"

// Backup writes a backup of the running gateway's state to w, a tar archive.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	patient := &Client{socket: c.socket, HTTP: &http.Client{Transport: c.HTTP.Transport}}
	resp, err := patient.do(ctx, http.MethodPost, "/api/v1/backup", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the backup is cut off: %w", err)
	}
	if resp.Trailer.Get(CompleteTrailer) == "" {
		return errors.New("the backup is cut off: the log of the gateway says why")
	}
	return nil
}

// Link opens the page in a browser, once.
type Link struct {
	URL  string    `json:"url"`
	Ends time.Time `json:"ends"` // it is no good then
}

// Link asks for a link to the page.
func (c *Client) Link(ctx context.Context) (*Link, error) {
	return call[Link](ctx, c, http.MethodPost, "/api/v1/page", nil, nil)
}

// View is what can be seen of a gateway: a [Client] asks a running one, a [Reader] looks into the queue.
type View interface {
	// List returns a page of the queue; of its messages the parts that the filter names.
	List(ctx context.Context, f Filter) (*Page, error)
	// Show returns one message of the queue, or an error that is queue.ErrNotFound.
	Show(ctx context.Context, id string) (*Message, error)
	// Open reads a message of the queue as it is stored.
	Open(ctx context.Context, id string) (io.ReadCloser, error)
	// Log reports what became of mail, waiting mail included.
	Log(ctx context.Context, f LogFilter) (*Log, error)
	// Status reports the state of the whole gateway.
	Status(ctx context.Context) (*Status, error)
}

// UpstreamAction is what an operator can do to an upstream.
type UpstreamAction string

// The actions on upstreams.
const (
	Pause  UpstreamAction = "pause"  // it is offered nothing, over restarts too
	Resume UpstreamAction = "resume" // that ends
	Probe  UpstreamAction = "probe"  // it is tried now, if it is closed
)

// UnknownUpstreamError is about an upstream that the config does not have.
type UnknownUpstreamError struct {
	Name  string
	Known []string
}

// Error names the upstreams that there are.
func (e *UnknownUpstreamError) Error() string {
	return fmt.Sprintf("no upstream %q; the upstreams are %s", e.Name, strings.Join(e.Known, ", "))
}

// ActOn does something to an upstream of the running gateway and returns how it is then.
func (c *Client) ActOn(ctx context.Context, name string, a UpstreamAction) (*Upstream, error) {
	return call[Upstream](ctx, c, http.MethodPost, "/api/v1/upstream/"+url.PathEscape(name)+"/"+url.PathEscape(string(a)), nil, nil)
}

// Kept is a mail in an upstream of type memory.
type Kept struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	From   string    `json:"from"`          // envelope sender
	To     []string  `json:"to"`            // envelope recipients, those in Bcc included
	Source string    `json:"source"`        // header and body
	Raw    []byte    `json:"raw,omitempty"` // the same in base64, where it is not UTF-8, which JSON is made of
	Cut    bool      `json:"cut,omitempty"` // Source is only the start
}
