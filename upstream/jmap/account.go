package jmap

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

const (
	coreCapability       = "urn:ietf:params:jmap:core"
	mailCapability       = "urn:ietf:params:jmap:mail"
	submissionCapability = "urn:ietf:params:jmap:submission"
)

// account is what the server says of the account that sends.
type account struct {
	id          string
	state       string // of the session
	api, upload place
	maxUpload   int64 // bytes; 0: not told
	identities  []identity
	drafts      string // the mailboxes with these roles; "": none
	sent        string
	other       string // any mailbox, for an account with neither
}

// place is an address of the session.
type place struct{ base, path string }

// identity is who the account may be (RFC 8621 6). Email may be "*@example.com".
type identity struct {
	ID    string `json:"id"`
	Email string `json:"email"`
}

// identity returns the identity for an address in From: its own, one for all of its domain, another of its
// domain, or the first, so that the server says what it thinks of From; "" for none at all.
func (a *account) identity(from string) string {
	domain := from[strings.LastIndex(from, "@")+1:]
	for _, fits := range []func(email string) bool{
		func(email string) bool { return strings.EqualFold(email, from) },
		func(email string) bool { return strings.EqualFold(email, "*@"+domain) },
		func(email string) bool { return strings.EqualFold(email[strings.LastIndex(email, "@")+1:], domain) },
		func(string) bool { return true },
	} {
		if i := slices.IndexFunc(a.identities, func(i identity) bool { return fits(i.Email) }); i >= 0 {
			return a.identities[i].ID
		}
	}
	return ""
}

func (p *provider) remembered() *account {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

// remember keeps what was read; nil: it is read anew before the next mail.
func (p *provider) remember(a *account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = a
}

// account returns what is known of the account; fresh says that it was read just now.
func (p *provider) account(ctx context.Context) (acc *account, fresh bool, e *upstream.Error) {
	if acc = p.remembered(); acc != nil {
		return acc, false, nil
	}
	if acc, _, e = p.read(ctx); e != nil {
		return nil, false, certain(e)
	}
	p.remember(acc)
	return acc, true, nil
}

// certain is for what fails before the submission: nothing was taken then.
func certain(e *upstream.Error) *upstream.Error {
	if e.Class == upstream.Uncertain {
		e.Class = upstream.Temporary
	}
	return e
}

// read reads the session, then identities and mailboxes.
func (p *provider) read(ctx context.Context) (*account, *api.Answer, *upstream.Error) {
	a, e := p.readSession(ctx)
	if e != nil {
		return nil, a, e
	}
	acc, e := p.accountOf(a)
	if e != nil {
		return nil, a, e
	}
	return acc, a, p.readMailboxes(ctx, acc)
}

// readSession follows redirections from the well-known address (RFC 8620 2.2), on the same host alone: the
// token goes nowhere else.
func (p *provider) readSession(ctx context.Context) (*api.Answer, *upstream.Error) {
	const redirections = 3
	at, e := p.place(p.session.String())
	for range redirections {
		if e != nil {
			return nil, e
		}
		var a *api.Answer
		a, e = p.client.Do(ctx, &api.Request{Method: "GET", Base: at.base, Path: at.path, Header: []string{"Accept", "application/json"}})
		switch {
		case e != nil:
			return nil, e
		case a.Status == 200:
			return a, nil
		}
		next, err := p.session.Parse(a.Header.Get("Location"))
		if a.Status < 300 || a.Status >= 400 || err != nil || a.Header.Get("Location") == "" || next.Host != p.session.Host || next.Scheme != p.session.Scheme {
			e, _ = api.Classify(a, problemOf(a), rules)
			return a, e
		}
		at, e = p.place(next.String())
	}
	return nil, api.Errorf(upstream.Account, "", "the session's address redirects again and again; check session_url")
}

// place returns where an address of the session is.
func (p *provider) place(address string) (place, *upstream.Error) {
	u, err := p.session.Parse(address)
	if err != nil || address == "" || !isSafe(u) {
		return place{}, api.Errorf(upstream.Account, "", "the session has the address %q, which is none for a token; check session_url", api.Line(address))
	}
	if p.rebased {
		return place{path: u.RequestURI()}, nil
	}
	return place{base: u.Scheme + "://" + u.Host, path: u.RequestURI()}, nil
}

// accountOf reads a session (RFC 8620 2).
func (p *provider) accountOf(a *api.Answer) (*account, *upstream.Error) {
	var s struct {
		Capabilities map[string]json.RawMessage
		Accounts     map[string]struct {
			Capabilities map[string]json.RawMessage `json:"accountCapabilities"`
		}
		Primary   map[string]string `json:"primaryAccounts"`
		APIURL    string            `json:"apiUrl"`
		UploadURL string            `json:"uploadUrl"`
		State     string
	}
	if json.Unmarshal(a.Body, &s) != nil || s.APIURL == "" || s.UploadURL == "" {
		return nil, &upstream.Error{Class: upstream.Account, Status: a.Status, Err: fmt.Errorf("the answer is not a JMAP session; check session_url")}
	}
	id := s.Primary[submissionCapability]
	for _, other := range slices.Sorted(maps.Keys(s.Accounts)) {
		if _, ok := s.Accounts[other].Capabilities[submissionCapability]; ok && id == "" {
			id = other
		}
	}
	if id == "" {
		return nil, &upstream.Error{Class: upstream.Account, Status: a.Status, Err: &upstream.ScopeError{Scope: submissionCapability,
			Hint: "make a token with the right to send mail (submission)"}}
	}
	acc := &account{id: id, state: s.State}
	var core struct{ MaxSizeUpload int64 }
	if json.Unmarshal(s.Capabilities[coreCapability], &core) == nil {
		acc.maxUpload = core.MaxSizeUpload
	}
	var e *upstream.Error
	if acc.api, e = p.place(s.APIURL); e != nil {
		return nil, e
	}
	acc.upload, e = p.place(strings.ReplaceAll(s.UploadURL, "{accountId}", url.PathEscape(id)))
	return acc, e
}

// readMailboxes asks for identities (RFC 8621 6.1), and mailboxes by role (2.3).
func (p *provider) readMailboxes(ctx context.Context, acc *account) *upstream.Error {
	query := func(filter map[string]any, id string) call {
		return call{"Mailbox/query", map[string]any{"accountId": acc.id, "filter": filter, "limit": 1}, id}
	}
	a, e := p.post(ctx, acc, []call{
		{"Identity/get", map[string]any{"accountId": acc.id, "ids": nil, "properties": []string{"id", "email"}}, "identities"},
		query(map[string]any{"role": "drafts"}, "drafts"),
		query(map[string]any{"role": "sent"}, "sent"),
		query(nil, "other"),
	})
	if e != nil {
		return e
	}
	got, own := readResponse(a)
	if a.Status != 200 || !own {
		e, _ := api.Classify(a, problemOf(a), rules)
		return e
	}
	for _, r := range got.Responses {
		if r.name == "error" {
			e, _ := api.Classify(a, r.problem(), rules)
			return e
		}
		var args struct {
			List []identity
			IDs  []string `json:"ids"`
		}
		if json.Unmarshal(r.args, &args) != nil {
			continue
		}
		if r.id == "identities" {
			acc.identities = args.List
		} else if to := map[string]*string{"drafts": &acc.drafts, "sent": &acc.sent, "other": &acc.other}[r.id]; to != nil && len(args.IDs) > 0 {
			*to = args.IDs[0]
		}
	}
	if cmp.Or(acc.drafts, acc.sent, acc.other) == "" {
		return &upstream.Error{Class: upstream.Account, Status: a.Status, Err: fmt.Errorf("the account has no mailbox, which mail must be in to be sent")}
	}
	return nil
}
