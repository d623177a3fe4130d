package sparkpost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/raw"
)

// fault is one entry of errors; the code is a number in a string.
type fault struct {
	Message, Description string
	Code                 json.RawMessage
}

func (f fault) problem() api.Problem {
	words := f.Message
	if f.Description != "" {
		words = strings.TrimPrefix(words+": "+f.Description, ": ")
	}
	return api.Problem{Name: api.Line(strings.Trim(string(f.Code), `" `)), Message: words, Own: true}
}

// answer is what each call gets.
type answer struct {
	Errors  []fault
	Results struct {
		ID       string
		Accepted int     `json:"total_accepted_recipients"`
		Rejected int     `json:"total_rejected_recipients"`
		Faults   []fault `json:"rcpt_to_errors"`
	}
}

// Interpret reads {"results":{"id":…}}, which may say that some recipients are not served, or {"errors":[…]}.
func (p *provider) Interpret(a *api.Answer, c *api.Call) api.Verdict {
	got, problem := read(a)
	if a.Status >= 200 && a.Status < 300 {
		switch {
		case got.Results.ID != "" && got.Results.Rejected == 0:
			return api.Verdict{ID: got.Results.ID}
		case got.Results.ID != "":
			return inPart(a, got, c)
		case !problem.Own:
			return api.Verdict{Err: api.NotTheirs(a, "SparkPost")}
		}
	}
	e, rule := api.Classify(a, problem, rules)
	return api.Verdict{Err: e, Search: rule.Search}
}

// inPart sorts the recipients of a transmission that some have no part in. Where it is not told who these are, each
// may be one of them.
func inPart(a *api.Answer, got answer, c *api.Call) api.Verdict {
	refused := func(f fault) *upstream.Error {
		e := api.Errorf(upstream.Permanent, "5.1.3", "SparkPost refuses the recipient: %s", a.Words(f.problem()))
		e.Status = a.Status
		return e
	}
	if got.Results.Accepted == 0 {
		if len(got.Results.Faults) == 0 {
			got.Results.Faults = got.Errors
		}
		var f fault
		if len(got.Results.Faults) > 0 {
			f = got.Results.Faults[0]
		}
		return api.Verdict{Err: refused(f)}
	}
	told := raw.Told{}
	for _, address := range c.Addresses() {
		for _, f := range got.Results.Faults {
			if strings.Contains(strings.ToLower(f.Description), strings.ToLower(address)) {
				told.Add(address, api.Part{Err: refused(f)})
			}
		}
	}
	if len(told) == got.Results.Rejected {
		for _, key := range c.Keys {
			if _, ok := told[key]; !ok {
				told[key] = api.Part{ID: got.Results.ID}
			}
		}
	}
	return api.Verdict{ID: got.Results.ID, Parts: told.Parts(c, a.Status)}
}

// read reads an answer and the first of its errors.
func read(a *api.Answer) (got answer, problem api.Problem) {
	if !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")) || json.Unmarshal(a.Body, &got) != nil || len(got.Errors) == 0 {
		return got, problem
	}
	return got, got.Errors[0].problem()
}

// Account asks for the sending domains, https://developers.sparkpost.com/api/sending-domains/. A key that may only
// send is refused there as one without the right, a wrong one as unknown.
func (p *provider) Account(ctx context.Context) (*api.Answer, error) {
	a, err := p.client.Do(ctx, &api.Request{Method: "GET", Path: "/api/v1/sending-domains"})
	if err != nil {
		return nil, err
	}
	_, problem := read(a)
	switch {
	case a.Status == 200 && json.Valid(a.Body), a.Status == 403 && problem.Own:
		return a, nil
	case a.Status == 200:
		return a, &upstream.Error{Class: upstream.Account, Status: 200, Err: errors.New("the answer is not from SparkPost; check region and base_url")}
	}
	e, _ := api.Classify(a, problem, rules)
	return a, e
}

// Findings compares the domains.
func (p *provider) Findings(_ context.Context, a *api.Answer, domains []string) []upstream.Finding {
	if a.Status != 200 {
		return []upstream.Finding{upstream.Finef("key", "valid; it may only send"), upstream.Finef("domain", "a key that may only send is not told which domains are verified")}
	}
	list := []upstream.Finding{upstream.Finef("key", "valid")}
	var got struct {
		Results []struct {
			Domain string
			Status struct {
				Ownership  bool   `json:"ownership_verified"`
				Compliance string `json:"compliance_status"`
			}
		}
	}
	if json.Unmarshal(a.Body, &got) != nil {
		return append(list, upstream.Finding{Name: "domain", Level: upstream.Warn, Text: "the list of domains cannot be read"})
	}
	var known []api.Domain
	for _, r := range got.Results {
		d := api.Domain{Name: r.Domain, Status: "verified", Level: upstream.Fine}
		switch {
		case !r.Status.Ownership:
			d.Status, d.Level = "not verified", upstream.Fail
		case r.Status.Compliance == "blocked":
			d.Status, d.Level = "blocked", upstream.Fail
		}
		known = append(known, d)
	}
	return append(list, api.DomainFindings(domains, known, true, upstream.Fail, "verify the domain in SparkPost, in the region of this key")...)
}
