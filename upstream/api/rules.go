package api

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api/words"
)

// Rule reports what an answer means; of a list the first that fits decides, unless it blames the mail where the words
// blame the account. Empty conditions always hold.
type Rule struct {
	Status int    // 0: any
	Name   string // the provider's name for the error
	Words  string // in its message, in lower case
	Own    bool   // only where the provider itself speaks, not something between it and us

	Class   upstream.Class
	Code    string        // RFC 3463, in place of the provider's name
	Wait    time.Duration // at least
	Sender  bool          // Error.Sender
	Changed bool          // Error.Changed
	Search  bool          // one of the call's recipients may be at fault
}

// commonRules close every provider's list, behind what package words finds in the message. A status about the account
// or the network is never the mail's fault, and 400 or 422 count against the mail only where the provider itself said so.
var commonRules = []Rule{
	{Status: 400, Own: true, Class: upstream.Permanent},
	{Status: 400, Class: upstream.Temporary},
	{Status: 401, Class: upstream.Account},
	{Status: 402, Class: upstream.Account},
	{Status: 403, Class: upstream.Account},
	{Status: 404, Class: upstream.Account},
	{Status: 405, Class: upstream.Account},
	{Status: 406, Class: upstream.Account},
	{Status: 407, Class: upstream.Account},
	{Status: 413, Class: upstream.Unrepresentable, Code: "5.3.4"},
	{Status: 415, Class: upstream.Account},
	{Status: 420, Class: upstream.Throttled}, // Mailgun
	{Status: 422, Own: true, Class: upstream.Permanent},
	{Status: 429, Class: upstream.Throttled},
	{Status: 451, Class: upstream.Account},
}

// classOf returns the class of a status that no rule knows. Before the whole request has left nothing can
// have been taken. After that a fault in the provider's own words is one of the provider; in other words it
// is that of a proxy, which does not know what the provider made of the request, unless its status says that
// the request did not get there: RFC 9110 15.6, RFC 6585 6,
// https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
func classOf(a *Answer, own bool) upstream.Class {
	switch a.Status {
	case http.StatusGatewayTimeout, 520, 524: // whoever says it, another one's answer is missing
		own = false
	case 501, 503, 505, 511, 521, 522, 523, 525, 526, 527, 529, 530:
		return upstream.Temporary
	}
	if a.Status < 500 || own || !a.Sent {
		return upstream.Temporary
	}
	return upstream.Uncertain
}

// NotTheirs returns the error for an answer of success that does not have the provider's form: that of a proxy
// or a captive portal. The request may have passed it.
func NotTheirs(a *Answer, provider string) *upstream.Error {
	e := &upstream.Error{Class: upstream.Temporary, Status: a.Status,
		Err: fmt.Errorf("the answer is not one of %s, which may have taken the mail; check base_url and proxies: %s", provider, a.Words(Problem{}))}
	if a.Sent {
		e.Class = upstream.Uncertain
	}
	return e
}

// Problem is the content of an error response.
type Problem struct {
	Name    string // the provider's name for the error, "" where it has none
	Message string
	Own     bool // it has the form of the provider's errors
}

// Classify turns an answer that is not a success into an error.
func Classify(a *Answer, w Problem, rules []Rule) (*upstream.Error, Rule) {
	e := &upstream.Error{Status: a.Status, Code: w.Name, Err: errors.New(a.Words(w))}
	if a.Status >= 300 && a.Status < 400 {
		e.Class = upstream.Account
		e.Err = fmt.Errorf("the address of the API redirects elsewhere, which is not followed; check base_url")
		return e, Rule{}
	}
	rule := decide(a, w, rules)
	if rule.Class.Closes() && a.mail != nil {
		w.Message = a.mail.WithoutEcho(w.Message)
		if !decide(a, w, rules).Class.Closes() {
			rule = &Rule{Class: upstream.Temporary} // nobody knows whose words these are
		}
	}
	e.Class, e.Sender, e.Changed = rule.Class, rule.Sender, rule.Changed
	if rule.Code != "" {
		e.Code = rule.Code
	}
	e.RetryAfter = retryAfter(a.Header, w.Message, e.Class == upstream.Throttled, time.Now())
	if e.Class.Closes() && rule.Wait > 0 {
		e.RetryAfter = max(e.RetryAfter, rule.Wait)
	} else if rule.Wait > 0 && e.RetryAfter == 0 {
		e.RetryAfter = rule.Wait
	}
	return e, *rule
}

// decide returns the rule for an answer.
func decide(a *Answer, w Problem, rules []Rule) *Rule {
	rule := findRule(a.Status, w, rules)
	if a.Status == http.StatusTooManyRequests && rule != nil && rule.yields() {
		rule = nil // RFC 6585 4: it is about the rate
	}
	tooLarge := upstream.SaysTooLarge(w.Message)
	switch {
	case rule != nil && (!rule.yields() || tooLarge && (rule.Class != upstream.Permanent || rule.Search)):
		return rule
	case tooLarge && (rule != nil || w.Own && (a.Status == 400 || a.Status == 422)):
		return &Rule{Class: upstream.Unrepresentable, Code: "5.3.4"}
	}
	return cmp.Or(ruleOfWords(a.Status, w, rule), rule, findRule(a.Status, w, commonRules), &Rule{Class: classOf(a, w.Own)})
}

// yields reports whether what is said of the account, its domains and limits goes before the rule: it blames the mail for
// anything but its size, or is one for every error that is new here.
func (r *Rule) yields() bool {
	switch r.Class {
	case upstream.Permanent, upstream.Unrepresentable:
		return r.Code != "5.3.4"
	case upstream.Temporary:
		return r.Name == "" && r.Words == ""
	}
	return false
}

// ruleOfWords is for a refusal that a rule, or its status, counts against the mail, or against the account in general:
// the provider's words can be about something else. nil: they are not.
func ruleOfWords(status int, w Problem, rule *Rule) *Rule {
	if !w.Own || rule == nil && status >= 300 && !slices.Contains([]int{400, 401, 402, 403, 422}, status) {
		return nil
	}
	f, ok := words.Meaning(w.Message)
	if !ok {
		return nil
	}
	return &Rule{Class: f.Class, Wait: f.Wait, Sender: f.Sender}
}

func findRule(status int, w Problem, rules []Rule) *Rule {
	message := strings.ToLower(w.Message)
	for i := range rules {
		r := &rules[i]
		if (r.Status == 0 || r.Status == status) && (r.Name == "" || r.Name == w.Name) &&
			strings.Contains(message, r.Words) && (!r.Own || w.Own) {
			return r
		}
	}
	return nil
}

// wordsLimit is how much of a provider's words is passed on, in bytes.
const wordsLimit = 400

// Words returns the text of a response as one line for people.
func (a *Answer) Words(w Problem) string {
	s := w.Message
	if !w.Own {
		s = strings.TrimSpace(string(a.Body))
		if strings.HasPrefix(s, "<") {
			s = "an HTML page instead of an answer of the API"
			if title := htmlTitle(string(a.Body)); title != "" {
				s += `, titled "` + title + `"`
			}
		}
	}
	s = strings.Join(strings.Fields(Line(s)), " ")
	if len(s) > wordsLimit {
		s = strings.ToValidUTF8(s[:wordsLimit], "") + "…"
	}
	if s == "" {
		s = http.StatusText(a.Status)
	}
	if s == "" {
		s = "an answer without words"
	}
	return s
}

var htmlTitleForm = regexp.MustCompile(`(?is)<title>([^<]{1,100})</title>`)

func htmlTitle(s string) string {
	if m := htmlTitleForm.FindStringSubmatch(s); m != nil {
		return strings.TrimSpace(m[1])
	}
	return ""
}

const (
	retryAfterMax = 24 * time.Hour
	epochFrom     = 1e9 // a count of seconds beyond this is a point in time (2001)
)

// retryAfter reads when to come back, 0 where the answer does not say. Retry-After (RFC 9110
// 10.2.3) counts for every failure; the rate-limit headers stand in all answers and count when the
// limit was hit: ratelimit-reset and x-sib-ratelimit-reset (Resend and Brevo, seconds from now), X-RateLimit-Reset
// (SendGrid and Mailgun, Unix time, with a fraction at Mailgun), or words in the message (Mailgun). Of a day and
// more, a day is waited: then the provider says it again.
func retryAfter(h http.Header, message string, throttled bool, now time.Time) time.Duration {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		now = t // the provider's clock, so that a wrong one of ours does no harm
	}
	if d, ok := retrySeconds(h.Get("Retry-After"), now); ok {
		return d
	}
	if t, ok := words.Time(h.Get("Retry-After")); ok {
		return retryCapped(t.Sub(now))
	}
	if !throttled {
		return 0
	}
	if d := limitReset(h, now); d > 0 {
		return d
	}
	d, _ := words.Wait(message, now)
	return retryCapped(d)
}

func limitReset(h http.Header, now time.Time) time.Duration {
	for _, name := range []string{"Ratelimit-Reset", "X-Ratelimit-Reset", "X-Sib-Ratelimit-Reset"} {
		if d, ok := retrySeconds(h.Get(name), now); ok && d > 0 {
			return d
		}
	}
	return 0
}

// limitPause is how long to wait after an answer that took a mail but says that nothing is left of
// the rate limit's window; https://resend.com/docs/api-reference/rate-limit and
// https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits
func limitPause(h http.Header) time.Duration {
	for _, name := range []string{"Ratelimit-Remaining", "X-Ratelimit-Remaining", "X-Sib-Ratelimit-Remaining"} {
		if n, err := strconv.ParseFloat(strings.TrimSpace(h.Get(name)), 64); err == nil && n <= 0 {
			now := time.Now()
			if t, err := http.ParseTime(h.Get("Date")); err == nil {
				now = t
			}
			return limitReset(h, now)
		}
	}
	return 0
}

// retrySeconds reads seconds from now or since 1970, whole or not.
func retrySeconds(s string, now time.Time) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(n) || n < 0 {
		return 0, false
	}
	if n >= epochFrom*1000 {
		n /= 1000 // milliseconds
	}
	if n >= epochFrom {
		n -= float64(now.UnixMilli()) / 1000
	}
	return retryCapped(time.Duration(math.Min(n, 1e6) * float64(time.Second))), true
}

func retryCapped(d time.Duration) time.Duration {
	return min(max(d, 0), retryAfterMax)
}
