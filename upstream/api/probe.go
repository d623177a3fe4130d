package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mailhatch/upstream"
)

// Probe tries network, key and account by a call that sends nothing.
func (u *Upstream) Probe(ctx context.Context, domains []string) []upstream.Finding {
	a, err := u.provider.Account(ctx)
	var list []upstream.Finding
	if err != nil {
		list = append(list, u.client.failure(err))
	} else {
		list = u.provider.Findings(ctx, a, domains)
	}
	if a != nil {
		list = append(list, clock(a.Header, time.Now())...)
	}
	return list
}

// failure returns what a failed call is about.
func (c *Client) failure(err error) upstream.Finding {
	f := upstream.Finding{Name: "reach", Level: upstream.Fail, Text: err.Error()}
	var e *upstream.Error
	var scope *upstream.ScopeError
	switch errors.As(err, &e); {
	case errors.As(err, &scope):
		f.Name, f.Hint = "key", scope.Hint
	case e == nil:
	case e.Status == 0:
		f.Hint = "HTTPS to " + c.host() + " must be possible: look at DNS, firewall and HTTPS_PROXY"
	case e.Class == upstream.Throttled:
		f.Name, f.Level, f.Hint = "account", upstream.Warn, "the provider takes mail again later; mail waits until then"
	case e.Status == 401 || e.Status == 403 || e.Status == 200 && e.Class == upstream.Account && e.Code != "": // an API whose errors come with 200
		f.Name, f.Hint = "key", c.service.KeyHint
	case e.Status >= 500:
		f.Hint = "the provider has an outage; mail waits until it is over"
	}
	return f
}

// host returns the host of base_url.
func (c *Client) host() string {
	u, err := url.Parse(c.base)
	if err != nil {
		return c.base
	}
	return u.Host
}

// clockTolerance is more than what networks delay.
const clockTolerance = time.Minute

// clock compares the local clock with the provider's (RFC 9110 6.6.1).
func clock(h http.Header, now time.Time) []upstream.Finding {
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return nil
	}
	off := now.Sub(theirs).Round(time.Second)
	if off.Abs() <= clockTolerance {
		return []upstream.Finding{upstream.Finef("clock", "agrees with the provider's")}
	}
	side := "fast"
	if off < 0 {
		side = "slow"
	}
	return []upstream.Finding{{Name: "clock", Level: upstream.Warn, Text: fmt.Sprintf("this machine's clock is %v %s", off.Abs(), side),
		Hint: "set it, or let NTP do so: certificates and Date fields go by it"}}
}

// Domain is a domain that the account knows.
type Domain struct {
	Name, Status string
	Level        upstream.Level // what status means
}

// DomainFindings compares the domains of the config with those of the account. all: known is the whole list;
// absent is what it means that a domain is not there.
func DomainFindings(domains []string, known []Domain, all bool, absent upstream.Level, hint string) []upstream.Finding {
	names := make([]string, len(known))
	for i, d := range known {
		names[i] = d.Name
	}
	if len(domains) == 0 {
		return []upstream.Finding{upstream.Finef("domain", "the account has %s; from_domains would name those that mail comes from", listed(names))}
	}
	var list []upstream.Finding
	for _, domain := range domains {
		before := len(list)
		for _, d := range known {
			if d.isMeantBy(domain) {
				list = append(list, d.Finding(hint))
			}
		}
		switch {
		case len(list) > before:
		case !all:
			list = append(list, upstream.Finding{Name: "domain", Level: upstream.Warn, Text: domain + " is not among the first domains that the account lists", Hint: hint})
		default:
			list = append(list, upstream.Finding{Name: "domain", Level: absent, Text: fmt.Sprintf("the account does not have %s; it has %s", domain, listed(names)), Hint: hint})
		}
	}
	return list
}

// isMeantBy reports whether a domain of the config, "*.example.com" for all subdomains, is this one.
func (d Domain) isMeantBy(domain string) bool {
	parent, wild := strings.CutPrefix(strings.ToLower(domain), "*")
	name := strings.ToLower(d.Name)
	return name == domain || wild && len(name) > len(parent) && strings.HasSuffix(name, parent)
}

// Finding returns what the status of the domain means; hint is what to do where it is not verified.
func (d Domain) Finding(hint string) upstream.Finding {
	f := upstream.Finding{Name: "domain", Level: d.Level, Text: d.Name + " is " + d.Status, Hint: hint}
	if d.Level == upstream.Fine {
		f.Hint = ""
	}
	return f
}

// listed shortens a list of names for people.
func listed(names []string) string {
	const shown = 5
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > shown:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}

// Suppressor returns the lists of addresses that the provider sends nothing to; nil where its API shows none.
func (u *Upstream) Suppressor() upstream.Suppressor {
	s, _ := u.provider.(upstream.Suppressor)
	return s
}
