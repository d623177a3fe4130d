package upstream

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// apiRule says what an answer means; of a list the first that fits decides. Empty conditions always hold.
type apiRule struct {
	status int    // 0: any
	name   string // the provider's name for the error
	words  string // in its message, in lower case
	own    bool   // only where the provider itself speaks, not something between it and us

	class  Class
	code   string        // RFC 3463, in place of the provider's name
	wait   time.Duration // at least
	sender bool          // Error.Sender
	search bool          // one of the call's recipients may be at fault
}

// apiCommonRules close every provider's list. A status that tells of us or of the way is never the
// mail's fault, and 400 or 422 count against the mail only where the provider itself said so.
var apiCommonRules = []apiRule{
	{status: 400, own: true, class: Permanent},
	{status: 400, class: Temporary},
	{status: 401, class: Account},
	{status: 402, class: Account},
	{status: 403, class: Account},
	{status: 404, class: Account},
	{status: 405, class: Account},
	{status: 406, class: Account},
	{status: 407, class: Account},
	{status: 413, class: Permanent, code: "5.3.4"},
	{status: 415, class: Account},
	{status: 422, own: true, class: Permanent},
	{status: 429, class: Throttled},
	{status: 451, class: Account},
	// A gateway that got no answer in time does not know whether its backend took the mail.
	{status: 504, class: Uncertain},
}

// apiWords is what an error answer says.
type apiWords struct {
	name    string // the provider's name for the error, "" where it has none
	message string
	own     bool // it has the form of the provider's errors
}

// classify turns an answer that is no success into an error.
func classify(a *httpAnswer, w apiWords, rules []apiRule) (*Error, apiRule) {
	e := &Error{Status: a.status, Code: w.name, Err: errors.New(answerWords(a, w))}
	if a.status >= 300 && a.status < 400 {
		e.Class = Account
		e.Err = fmt.Errorf("the address of the API redirects elsewhere, which is not followed; check base_url")
		return e, apiRule{}
	}
	rule := apiFindRule(a.status, w, rules)
	if rule == nil {
		rule = apiFindRule(a.status, w, apiCommonRules)
	}
	if rule == nil {
		rule = &apiRule{class: Temporary}
	}
	e.Class, e.Sender = rule.class, rule.sender
	if rule.code != "" {
		e.Code = rule.code
	}
	e.RetryAfter = retryAfter(a.header, w.message, e.Class == Throttled, time.Now())
	if (e.Class == Throttled || e.Class == Account) && rule.wait > 0 {
		e.RetryAfter = max(e.RetryAfter, rule.wait)
	} else if rule.wait > 0 && e.RetryAfter == 0 {
		e.RetryAfter = rule.wait
	}
	return e, *rule
}

func apiFindRule(status int, w apiWords, rules []apiRule) *apiRule {
	message := strings.ToLower(w.message)
	for i := range rules {
		r := &rules[i]
		if (r.status == 0 || r.status == status) && (r.name == "" || r.name == w.name) &&
			strings.Contains(message, r.words) && (!r.own || w.own) {
			return r
		}
	}
	return nil
}

// apiWordsLimit is how much of a provider's words is passed on, in bytes.
const apiWordsLimit = 400

// answerWords is one line for people.
func answerWords(a *httpAnswer, w apiWords) string {
	s := w.message
	if !w.own {
		s = strings.TrimSpace(string(a.body))
		if strings.HasPrefix(s, "<") {
			s = "an HTML page instead of an answer of the API"
			if title := htmlTitle(string(a.body)); title != "" {
				s += `, titled "` + title + `"`
			}
		}
	}
	s = strings.Join(strings.Fields(apiLine(s)), " ")
	if len(s) > apiWordsLimit {
		s = strings.ToValidUTF8(s[:apiWordsLimit], "") + "…"
	}
	if s == "" {
		s = http.StatusText(a.status)
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

var tryAgainWords = regexp.MustCompile(`try again (?:after|in) (\d+(?:\.\d+)?)\s*(s|sec|second|m|min|minute|h|hour|d|day)?s?\b`)

// retryAfter reads when to come back, 0 where the answer does not say. Retry-After (RFC 9110
// 10.2.3) counts for every failure; the rate-limit headers stand in all answers and count when the
// limit was hit: ratelimit-reset (Resend, seconds from now), X-RateLimit-Reset (SendGrid and Mailgun,
// Unix time, with a fraction at Mailgun), or words in the message (Mailgun).
func retryAfter(h http.Header, message string, throttled bool, now time.Time) time.Duration {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		now = t // the provider's clock, so that a wrong one of ours does no harm
	}
	if d, ok := retrySeconds(h.Get("Retry-After"), now); ok {
		return d
	}
	if t, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		return retryCapped(t.Sub(now))
	}
	if !throttled {
		return 0
	}
	if d := limitReset(h, now); d > 0 {
		return d
	}
	if m := tryAgainWords.FindStringSubmatch(strings.ToLower(message)); m != nil {
		unit := time.Second
		switch {
		case strings.HasPrefix(m[2], "m"):
			unit = time.Minute
		case strings.HasPrefix(m[2], "h"):
			unit = time.Hour
		case strings.HasPrefix(m[2], "d"):
			unit = 24 * time.Hour
		}
		n, _ := strconv.ParseFloat(m[1], 64)
		return retryCapped(time.Duration(math.Min(n, 1e6) * float64(unit)))
	}
	return 0
}

func limitReset(h http.Header, now time.Time) time.Duration {
	for _, name := range []string{"Ratelimit-Reset", "X-Ratelimit-Reset"} {
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
	for _, name := range []string{"Ratelimit-Remaining", "X-Ratelimit-Remaining"} {
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
