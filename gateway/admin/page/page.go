// Package page is what people see of a running gateway in a browser, and steer it by: server-rendered HTML with one
// stylesheet and one small script. Everything can be read, and everything done, without the script; it adds what moves.
//
//	GET  /                        is everything well? where no config is, the messages
//	GET  /overview                the same, always
//	GET  /messages                what became of mail; ?q= (see room admin/search) &after=
//	GET  /messages/export         what ?q= finds, as a file; ?format=csv or json, a line for each recipient
//	GET  /messages/{id}           one message; ?tab=
//	GET  /messages/{id}/html      its HTML, for a frame; ?remote=1 lets the browser fetch pictures
//	GET  /messages/{id}/source    the message as it is stored, as a file
//	GET  /messages/{id}/files/{n} an attachment, as a file
//	GET  /messages/{id}/again     to whom a message is to be sent again; POST does it
//	GET  /act, POST /act          what an action will touch; then it is done
//	GET  /upstreams               how they are; POST /upstreams/{name}/{action} pauses, resumes, probes
//	GET  /routes                  the rules; what would become of a message with to=, from=, client=, user=, message=
//	GET  /suppressed, /config     addresses that get no mail, of which POST /suppressed/lift frees one; the config in force; POST /config/reload reads it again
//	GET  /live                    server-sent events: something happened
//
// Whatever comes from mail, providers and the config is text that the templates escape; mail's HTML is shown in a
// frame without scripts and network (room letter). Who may ask at all is decided before: room admin/access.
package page

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/figures"
	"mailhatch/gateway/admin/find"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Gateway is what the page shows and steers.
type Gateway interface {
	find.Source
	Status(ctx context.Context) (*api.Status, error)
	// Body opens a message in the queue, or one that has left it while its bytes are kept.
	Body(ctx context.Context, id string) (queue.Body, error)
	Events(ctx context.Context, id string) ([]queue.Event, error)
	Finished(ctx context.Context, id string) (*queue.Finished, error)
	// Waiting tells why each of these messages waits.
	Waiting(ctx context.Context, list []queue.Message) (*waiting.View, error)
	// Act does something to mail, in the name of somebody, or says to which it would.
	Act(ctx context.Context, action api.Action, s api.Selection, by string) (*api.Changed, error)
	// ActOn pauses, resumes or probes an upstream, in the name of somebody.
	ActOn(ctx context.Context, name string, action api.UpstreamAction, by string) (*api.Upstream, error)
	suppressed.Lister
	// Unsuppress takes addresses off the list of those that get no mail, in the name of somebody.
	Unsuppress(ctx context.Context, r suppressed.Removal, by string) (*suppressed.Removed, error)
	// Reload reads the config again and returns what of it waits for a restart.
	Reload(ctx context.Context) ([]string, error)
	// Render writes the request that would offer a message to these recipients at an upstream.
	Render(ctx context.Context, m *queue.Message, upstream string, to []envelope.Recipient, w io.Writer) error
	// Resend accepts a message a second time, in the name of somebody.
	Resend(ctx context.Context, id string, ask api.Resend, by string) (*api.Resent, error)
}

// Config is what a page depends on. Gateway, Figures, Caller and Config are needed.
type Config struct {
	Gateway Gateway
	Config  func() *config.Config // in force
	Figures *figures.Figures
	Caller  func(*http.Request) access.Caller
	Catcher func() bool      // there is no config: mail is caught, and the messages come first; nil: there is one
	SMTP    func() string    // an address that takes mail, for those who have none yet; may be nil
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // of what failed while a page was made; nil: nowhere
}

// Page answers browsers. Make one with New; its Run ends live updates.
type Page struct {
	cfg     Config
	mux     *http.ServeMux
	live    *live
	screens func() (*screens, error) // parsed when somebody looks for the first time
}

// New returns a page.
func New(cfg Config) *Page {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Page{cfg: cfg, mux: http.NewServeMux(), live: newLive(), screens: sync.OnceValues(parseScreens)}
	for pattern, h := range map[string]func(*view) error{
		"GET /{$}":                        p.start,
		"GET /overview":                   p.overview,
		"GET /messages":                   p.messages,
		"GET /messages/{id}":              p.message,
		"GET /messages/export":            p.export,
		"GET /messages/{id}/html":         p.letterHTML,
		"GET /messages/{id}/source":       p.source,
		"GET /messages/{id}/files/{n}":    p.file,
		"GET /messages/{id}/again":        p.askAgain,
		"POST /messages/{id}/again":       p.sendAgain,
		"GET /upstreams":                  p.upstreams,
		"GET /upstreams/{name}/{action}":  p.confirmUpstream,
		"POST /upstreams/{name}/{action}": p.actOnUpstream,
		"GET /routes":                     p.routes,
		"POST /routes":                    p.routes,
		"GET /suppressed":                 p.suppressed,
		"POST /suppressed/lift":           p.lift,
		"GET /config":                     p.config,
		"POST /config/reload":             p.reload,
		"GET /act":                        p.confirm,
		"POST /act":                       p.act,
		"GET /live":                       p.stream,
		"GET /style.css":                  p.asset,
		"GET /script.js":                  p.asset,
		"/":                               p.nothing,
	} {
		p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { p.answer(w, r, h) })
	}
	return p
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Run tells those who watch what happens until ctx ends, and then lets them go.
func (p *Page) Run(ctx context.Context) error { return p.live.run(ctx) }

// view is one request.
type view struct {
	w   http.ResponseWriter
	r   *http.Request
	ctx context.Context
	now time.Time

	live string // address of the stream of what happens from now on
}

// refusal is a request that cannot be followed, and what to do instead.
type refusal struct {
	status int
	words  string
	hint   string
}

func (e *refusal) Error() string { return e.words }

// answer serves one request; an error becomes a page of its own.
func (p *Page) answer(w http.ResponseWriter, r *http.Request, h func(*view) error) {
	v := &view{w, r, r.Context(), p.cfg.Now(), p.live.place()}
	err := h(v)
	if err == nil || v.ctx.Err() != nil {
		return
	}
	f := failure{Status: http.StatusInternalServerError, Words: err.Error()}
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		f = failure{bad.status, bad.words, bad.hint}
	case errors.Is(err, queue.ErrPlace):
		f = failure{http.StatusBadRequest, "There is no such page of the list.", "Start again from Messages."}
	case errors.Is(err, queue.ErrNotFound):
		f = failure{http.StatusNotFound, "There is no such message.", "Mail that is finished is shown for keep_sent, its contents for keep_bodies; see Config."}
	default:
		p.cfg.Log.Warn("page", "path", r.URL.Path, "error", err.Error())
	}
	if err := p.show(v, f.Status, "failure", "Not shown", f); err != nil {
		http.Error(w, f.Words, f.Status)
	}
}

// failure is the screen of a request that failed.
type failure struct {
	Status int
	Words  string
	Hint   string
}

func (p *Page) nothing(v *view) error {
	return &refusal{http.StatusNotFound, "There is no such page.", "The address may be mistyped, or of another version."}
}

// start leads to what is wanted first: whether all is well, or, where mail is only caught, the mail.
func (p *Page) start(v *view) error {
	if p.isCatcher() {
		http.Redirect(v.w, v.r, "/messages", http.StatusSeeOther)
		return nil
	}
	return p.overview(v)
}

func (p *Page) isCatcher() bool { return p.cfg.Catcher != nil && p.cfg.Catcher() }
