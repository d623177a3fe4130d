package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Prober is implemented by upstreams that can tell in parts what works and what does not, for people.
type Prober interface {
	// Probe tries network, credentials and account without sending mail. domains are those of the From
	// addresses that go there, "*.example.com" for all subdomains; none where the config does not say.
	// Findings hold no secrets. It returns soon after ctx ends.
	Probe(ctx context.Context, domains []string) []Finding
}

// Level says what a finding means for the mail.
type Level string

// The levels.
const (
	Fine Level = "ok"
	Warn Level = "warn" // mail goes, but not for ever or not all of it
	Fail Level = "fail" // mail would wait, or be refused
)

// Finding is one thing that was looked at.
type Finding struct {
	Name  string `json:"name"` // what it is about, in a word: reach, key, domain, clock, tls, login, ports
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"` // what to do about it
}

func fine(name, format string, args ...any) Finding {
	return Finding{Name: name, Level: Fine, Text: fmt.Sprintf(format, args...)}
}

// errNoSendScope is a key that is right and may not send.
var errNoSendScope = errors.New("the key lacks the scope mail.send")

// probe makes findings of a call that asks for the account. more looks at an answer that was good.
func (c *httpClient) probe(ctx context.Context, call func(context.Context) (*httpAnswer, error), more func(*httpAnswer) []Finding) []Finding {
	a, err := call(ctx)
	var list []Finding
	if err != nil {
		list = append(list, c.failure(err))
	} else {
		list = more(a)
	}
	if a != nil {
		list = append(list, clock(a.header, time.Now())...)
	}
	return list
}

// failure says what a failed call is about.
func (c *httpClient) failure(err error) Finding {
	f := Finding{Name: "reach", Level: Fail, Text: err.Error()}
	var e *Error
	switch errors.As(err, &e); {
	case errors.Is(err, errNoSendScope):
		f.Name, f.Hint = "key", "give it the permission Mail Send"
	case e == nil:
	case e.Status == 0:
		f.Hint = "HTTPS to " + c.host() + " must be possible: look at DNS, firewall and HTTPS_PROXY"
	case e.Class == Throttled:
		f.Name, f.Level, f.Hint = "account", Warn, "the provider takes mail again later; mail waits till then"
	case e.Status == 401 || e.Status == 403:
		f.Name, f.Hint = "key", c.keyHint
	case e.Status >= 500:
		f.Hint = "the provider has trouble of its own; mail waits till it is over"
	}
	return f
}

// host gives the host of base_url.
func (c *httpClient) host() string {
	u, err := url.Parse(c.base)
	if err != nil {
		return c.base
	}
	return u.Host
}

// clockTolerance is beyond what networks delay.
const clockTolerance = time.Minute

// clock holds the local clock against the provider's (RFC 9110 6.6.1).
func clock(h http.Header, now time.Time) []Finding {
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return nil
	}
	off := now.Sub(theirs).Round(time.Second)
	if off.Abs() <= clockTolerance {
		return []Finding{fine("clock", "agrees with the provider's")}
	}
	side := "fast"
	if off < 0 {
		side = "slow"
	}
	return []Finding{{"clock", Warn, fmt.Sprintf("this machine's clock is %v %s", off.Abs(), side),
		"set it, or let NTP do so: certificates and Date fields go by it"}}
}

// domainsOf gives those names that a domain of the config stands for.
func domainsOf(domain string, names []string) []string {
	parent, wild := strings.CutPrefix(strings.ToLower(domain), "*")
	var found []string
	for _, name := range names {
		n := strings.ToLower(name)
		if n == domain || wild && len(n) > len(parent) && strings.HasSuffix(n, parent) {
			found = append(found, name)
		}
	}
	return found
}

// apiDomain is a domain that the account knows.
type apiDomain struct {
	name, status string
	level        Level // what status means
}

// domainFindings holds the domains of the config against those of the account. all says that known is
// the whole list; absent is what it means that a domain is not there.
func domainFindings(domains []string, known []apiDomain, all bool, absent Level, hint string) []Finding {
	names := make([]string, len(known))
	for i, d := range known {
		names[i] = d.name
	}
	if len(domains) == 0 {
		return []Finding{fine("domain", "the account has %s; from_domains would tell which of them mail comes from", listed(names))}
	}
	var list []Finding
	for _, domain := range domains {
		found := domainsOf(domain, names)
		switch {
		case len(found) > 0:
			for _, d := range known {
				if slices.Contains(found, d.name) {
					list = append(list, d.finding(hint))
				}
			}
		case !all:
			list = append(list, Finding{"domain", Warn, domain + " is not among the first domains that the account tells of", hint})
		default:
			list = append(list, Finding{"domain", absent, fmt.Sprintf("the account does not have %s; it has %s", domain, listed(names)), hint})
		}
	}
	return list
}

func (d apiDomain) finding(hint string) Finding {
	f := Finding{"domain", d.level, d.name + " is " + d.status, hint}
	if d.level == Fine {
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
