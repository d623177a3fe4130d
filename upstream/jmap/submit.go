package jmap

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/raw"
)

// Creation ids and the ids of their method calls (RFC 8620 5.3).
const (
	emailKey      = "m"
	submissionKey = "s"
)

// submission is what the calls of one mail share: the message is uploaded and imported once.
type submission struct {
	provider *provider
	src      mime.Source
	mailFrom string
	from     string // of the header

	account     *account // that these are of
	blob, email string
}

// Compose writes the message as it is uploaded, and the calls that submit it.
func (p *provider) Compose(m *upstream.Mail) (api.Composed, *upstream.Error) {
	src, e := p.form.Message(m)
	if e != nil {
		return nil, e
	}
	from, e := api.From(m)
	if e != nil {
		return nil, e
	}
	mailFrom := m.From
	if mailFrom != "" {
		if mailFrom, e = api.SenderForm(mailFrom); e != nil {
			return nil, e
		}
	}
	s := &submission{provider: p, src: src, mailFrom: mailFrom, from: from[0].Addr}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		shown := &account{id: "{accountId}", drafts: "{drafts}", sent: "{sent}", identities: []identity{{ID: "{identityId}"}}}
		r, e := requestOf(place{path: "/{apiUrl}"}, s.calls(shown, "{blobId}", "", c))
		if e != nil {
			return nil, e
		}
		r.Before = s.upload(place{path: "/{uploadUrl}"})
		r.Exchange = func(ctx context.Context) (*api.Answer, *upstream.Error) { return s.exchange(ctx, c) }
		return r, nil
	}, nil
}

func (s *submission) upload(at place) *api.Request {
	return &api.Request{Method: "POST", Base: at.base, Path: at.path, Body: api.Payload{raw.Bytes(s.src)},
		Header: []string{"Content-Type", "message/rfc822", "Accept", "application/json"}}
}

type address struct {
	Email      string  `json:"email"`
	Parameters *string `json:"parameters"` // always null
}

// calls returns Email/import (RFC 8621 4.8), unless the email is there already, and EmailSubmission/set (7.5), with
// which the email goes from Drafts to Sent.
func (s *submission) calls(acc *account, blob, email string, c *api.Call) []call {
	type object = map[string]any
	box := cmp.Or(acc.drafts, acc.sent, acc.other)
	keywords, update := object{"$seen": true}, object{}
	if box == acc.drafts {
		keywords["$draft"], update["keywords/$draft"] = true, nil
		if acc.sent != "" {
			update["mailboxIds/"+acc.drafts], update["mailboxIds/"+acc.sent] = nil, true
		}
	}
	rcptTo := []address{}
	for _, a := range c.Addresses() {
		rcptTo = append(rcptTo, address{Email: a})
	}
	var calls []call
	if email == "" {
		calls = append(calls, call{"Email/import", object{"accountId": acc.id, "emails": object{
			emailKey: object{"blobId": blob, "mailboxIds": object{box: true}, "keywords": keywords}}}, emailKey})
		email = "#" + emailKey
	}
	set := object{"accountId": acc.id, "create": object{submissionKey: object{"identityId": acc.identity(s.from), "emailId": email,
		"envelope": object{"mailFrom": address{Email: s.mailFrom}, "rcptTo": rcptTo}}}}
	if len(update) > 0 {
		set["onSuccessUpdateEmail"] = object{"#" + submissionKey: update}
	}
	return append(calls, call{"EmailSubmission/set", set, submissionKey})
}

// exchange uploads and submits. An email that an earlier attempt has imported is used again.
func (s *submission) exchange(ctx context.Context, c *api.Call) (*api.Answer, *upstream.Error) {
	acc, e := s.prepare(ctx)
	if e != nil {
		return nil, certain(e)
	}
	known := s.email
	a, e := s.provider.post(ctx, acc, s.calls(acc, s.blob, known, c))
	if e != nil || known != "" {
		return a, e
	}
	got, _ := readResponse(a)
	set := got.set("Email/import", emailKey)
	if s.email = set.Created[emailKey].ID; s.email != "" {
		return a, nil
	}
	if not := set.NotCreated[emailKey]; not.Type == "alreadyExists" && not.ExistingID != "" {
		s.email = not.ExistingID // so nothing was submitted
		return s.provider.post(ctx, acc, s.calls(acc, s.blob, s.email, c))
	}
	return a, nil
}

// prepare returns the account, with the message uploaded to it.
func (s *submission) prepare(ctx context.Context) (*account, *upstream.Error) {
	for {
		acc, fresh, e := s.provider.account(ctx)
		if e != nil {
			return nil, e
		}
		if s.account != nil && s.account.id == acc.id {
			return acc, nil
		}
		if len(acc.identities) == 0 {
			s.provider.remember(nil)
			return nil, &upstream.Error{Class: upstream.Account, Sender: true, Err: fmt.Errorf("the account has no identity to send as")}
		}
		if n := s.src.Size(); acc.maxUpload > 0 && n > acc.maxUpload {
			return nil, api.Errorf(upstream.Unrepresentable, "5.3.4", "the message has %d bytes; the server takes %d", n, acc.maxUpload)
		}
		a, e := s.provider.client.Do(ctx, s.upload(acc.upload))
		if e != nil {
			return nil, e
		}
		var got struct {
			BlobID string `json:"blobId"`
		}
		switch {
		case a.Status >= 200 && a.Status < 300 && a.Sent && json.Unmarshal(a.Body, &got) == nil && got.BlobID != "":
			s.account, s.blob, s.email = acc, got.BlobID, ""
			return acc, nil
		case a.Status >= 200 && a.Status < 300:
			return nil, api.NotTheirs(a, "JMAP")
		case isStale(a):
			s.provider.remember(nil)
			if !fresh {
				continue // by the session as it is now
			}
		}
		e, _ = api.Classify(a, problemOf(a), rules)
		return nil, e
	}
}

// made is what became of the records that a method was to make.
type made struct {
	Created    map[string]struct{ ID string }
	NotCreated map[string]setError `json:"notCreated"`
}

// set returns the answer of one of our method calls; EmailSubmission/set has a second one, of Email/set.
func (r response) set(name, id string) (m made) {
	for _, result := range r.Responses {
		if result.id == id && result.name == name {
			_ = json.Unmarshal(result.args, &m) // what cannot be read made nothing known
		}
	}
	return m
}

// Interpret reads the answer to the submission.
func (p *provider) Interpret(a *api.Answer, c *api.Call) api.Verdict {
	got, own := readResponse(a)
	if a.Status != 200 || !own {
		if a.Status >= 200 && a.Status < 300 {
			return api.Verdict{Err: api.NotTheirs(a, "JMAP")}
		}
		e, rule := api.Classify(a, problemOf(a), rules)
		return api.Verdict{Err: e, Search: rule.Search}
	}
	submitted := got.set("EmailSubmission/set", submissionKey)
	if id := submitted.Created[submissionKey].ID; id != "" {
		return api.Verdict{ID: id}
	}
	w := got.set("Email/import", emailKey).NotCreated[emailKey] // without an email the submission says nothing of use
	if w.Type == "" {
		w = submitted.NotCreated[submissionKey]
	}
	problem := w.problem()
	for _, r := range got.Responses {
		if r.name == "error" && !problem.Own {
			problem = r.problem()
		}
	}
	if !problem.Own {
		return api.Verdict{Err: api.NotTheirs(a, "JMAP")}
	}
	e, rule := api.Classify(a, problem, rules)
	v := api.Verdict{Err: e, Search: rule.Search}
	if w.Type == "invalidRecipients" {
		for i, key := range c.Keys {
			if slices.ContainsFunc(w.InvalidRecipients, func(r string) bool { return mime.AddressKey(r) == key }) {
				v.Faulty = append(v.Faulty, i)
			}
		}
	}
	return v
}
