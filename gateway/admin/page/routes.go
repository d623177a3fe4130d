package page

import (
	"io"
	"net/http"
	"strings"

	"mailhatch/gateway/explain"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/mime/lineend"
)

// routes is the screen of the rules, and of what would become of a message.
type routes struct {
	Rules   []route.Description
	From    string
	To      string
	Client  string
	User    string
	Source  string
	Asked   bool
	Wrong   string
	Answers []explain.Answer
	Whole   *explain.Refusal // the message as a whole
	Changes []route.RewriteVerdict
}

func (p *Page) routes(v *view) error {
	if err := v.r.ParseForm(); err != nil {
		return badForm("The form cannot be read.", err.Error())
	}
	cfg := p.cfg.Config()
	f := v.r.Form
	r := &routes{Rules: cfg.Routes.Describe(), From: f.Get("from"), To: f.Get("to"), Client: f.Get("client"), User: f.Get("user"), Source: f.Get("message"), Asked: f.Has("to")}
	if r.Asked {
		if err := r.try(p, v); err != nil {
			r.Wrong = err.Error()
		}
	}
	return p.show(v, http.StatusOK, "routes", "Routes", r)
}

// try finds out what would become of the message of the form.
func (r *routes) try(p *Page, v *view) error {
	source := "\r\n"
	sent := strings.TrimSpace(r.Source) != ""
	if sent {
		source = r.Source
	}
	raw, err := io.ReadAll(lineend.Message(strings.NewReader(source)))
	if err != nil {
		return err
	}
	msg, err := mime.Parse(mime.NewBytesSource(raw))
	if err != nil {
		return err
	}
	c := explain.Case{From: r.From, To: addresses(r.To), Client: r.Client, User: r.User}
	if r.Answers, err = c.Explain(v.ctx, p.cfg.Config(), msg, sent); err != nil {
		return err
	}
	if len(r.Answers) > 0 {
		r.Changes = r.Answers[0].Rewrites
		if r.Answers[0].Whole {
			r.Whole, r.Answers = r.Answers[0].Refused, nil
		}
	}
	return nil
}

// addresses divides what people write into addresses.
func addresses(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == ',' || r == ';' })
}
