package alert

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/config/hint"
	"mailhatch/upstream"
)

// Settings are one [[alert]].
type Settings struct {
	Name    string            `toml:"name"`
	On      []string          `toml:"on"`
	Events  []string          `toml:"events"` // of event: which kinds; empty: all
	After   upstream.Duration `toml:"after"`  // of upstream_closed and maildrop
	Older   upstream.Duration `toml:"older"`  // of queue_old
	Count   int               `toml:"count"`  // of failed
	Window  upstream.Duration `toml:"window"` // of failed and internal_error
	For     upstream.Duration `toml:"for"`    // of silent
	Repeat  upstream.Duration `toml:"repeat"` // 0: never
	URL     upstream.Secret   `toml:"url"`
	Secret  upstream.Secret   `toml:"secret"` // signs webhooks
	CAFile  string            `toml:"ca_file"`
	Exec    []string          `toml:"exec,secret"` // an argument may hold any character, and be a secret
	Timeout upstream.Duration `toml:"timeout"`
	Every   upstream.Duration `toml:"every"` // of heartbeats; 0: none
}

// SetDefaults fills in what the config may leave out.
func (s *Settings) SetDefaults() {
	d := func(d time.Duration) upstream.Duration { return upstream.Duration{Duration: d} }
	*s = Settings{After: d(10 * time.Minute), Older: d(time.Hour), Window: d(time.Hour), Repeat: d(4 * time.Hour), Timeout: d(10 * time.Second)}
}

// uses lists the events that a key is for.
func uses() map[string][]string {
	return map[string][]string{
		"after": {UpstreamClosed, Maildrop}, "older": {QueueOld}, "count": {Failed}, "window": {Failed, InternalError}, "for": {Silent},
		"repeat": {UpstreamClosed, QueueOld, Failed, Silent, Disk, Expiring, Maildrop, Database, Canary, InternalError}, "events": {Told},
	}
}

const (
	maxWindow  = 7 * 24 * time.Hour
	maxTimeout = 5 * time.Minute
)

// Check returns what is wrong with the settings. given reports whether the config has a key.
func (s *Settings) Check(given func(key string) bool) (problems []*upstream.KeyError) {
	report := func(key, problem, what string) {
		problems = append(problems, &upstream.KeyError{Key: key, Problem: problem, Hint: what})
	}
	if strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(s.Name) > 64 {
		report("name", "must be one word of at most 64 characters", "")
	}
	if len(s.On) == 0 && s.Every.Duration == 0 {
		report("on", "is missing: it says what to report", "write some of "+hint.Either(Events())+"; an alert of heartbeats alone has every")
	}
	for i, event := range s.On {
		var ke *upstream.KeyError
		if errors.As(upstream.OneOf(fmt.Sprintf("on[%d]", i), event, Events()...), &ke) {
			problems = append(problems, ke)
		}
	}
	understood := len(problems) == 0
	for _, key := range []string{"after", "older", "count", "window", "for", "repeat", "events"} {
		events := uses()[key]
		if understood && given(key) && !slices.ContainsFunc(events, func(event string) bool { return slices.Contains(s.On, event) }) {
			report(key, "does nothing here", "it is for on = "+hint.Either(events))
		}
	}
	for i, kind := range s.Events {
		if _, ok := upstream.ParseEventKind(kind); !ok {
			report(fmt.Sprintf("events[%d]", i), fmt.Sprintf("cannot be %q", kind), "write some of "+hint.Either(eventKinds()))
		}
	}
	s.checkTimes(report)
	s.checkReceiver(given, report)
	return problems
}

func (s *Settings) checkTimes(report func(key, problem, what string)) {
	if slices.Contains(s.On, Silent) && s.For.Duration <= 0 {
		report("for", `is missing: on = "silent" needs it`, `write for = "26h" where mail goes every day`)
	}
	if s.Older.Duration <= 0 {
		report("older", "must be greater than zero", `"1h" is usual`)
	}
	if s.Count < 0 {
		report("count", "must not be negative", "0 reports the first failure")
	}
	if s.Window.Duration < time.Minute || s.Window.Duration > maxWindow {
		report("window", "must be from 1m to 7d", `"1h" is usual`)
	}
	if r := s.Repeat.Duration; r != 0 && r < time.Minute {
		report("repeat", "must be at least 1m", `"4h" is usual; "0s": an alert is not repeated`)
	}
	if s.Timeout.Duration < time.Second || s.Timeout.Duration > maxTimeout {
		report("timeout", "must be from 1s to 5m", `"10s" is usual`)
	}
	if e := s.Every.Duration; e != 0 && e < time.Second {
		report("every", "must be at least 1s", `"1m" is usual`)
	}
}

func (s *Settings) checkReceiver(given func(key string) bool, report func(key, problem, what string)) {
	switch {
	case s.URL.IsZero() && len(s.Exec) == 0:
		report("url", "is missing: the alert would reach nobody", `write url = "https://…", or exec = ["program"]`)
	case !s.URL.IsZero() && len(s.Exec) > 0:
		report("exec", "cannot be combined with url", "write an [[alert]] for each of them")
	case s.URL.IsZero():
		if s.Exec[0] == "" {
			report("exec", "is empty: it must name a program", `write exec = ["/usr/local/bin/tell", "argument"]`)
		}
		for _, key := range []string{"secret", "ca_file"} {
			if given(key) {
				report(key, "does nothing with exec", "it is for url")
			}
		}
	default:
		if _, err := parseURL(s.URL); err != nil {
			report("url", err.Error(), `write "https://alerts.example.com/hook"`)
		}
		if _, err := signingKey(s.Secret); err != nil {
			report("secret", err.Error(), `whsec_ and base64, or any other text; "openssl rand -base64 32" makes one`)
		}
		if _, err := upstream.RootCAs(s.CAFile); err != nil {
			var ke *upstream.KeyError
			if errors.As(err, &ke) {
				report("ca_file", ke.Problem, ke.Hint)
			}
		}
	}
}

// Advice returns what is odd with settings that are good.
func (s *Settings) Advice() []upstream.KeyError {
	if len(s.Exec) > 0 {
		if _, err := exec.LookPath(s.Exec[0]); err != nil {
			return []upstream.KeyError{{Key: "exec", Problem: "cannot be run here: " + err.Error()}}
		}
		return nil
	}
	if u, err := parseURL(s.URL); err == nil && u.Scheme == "http" && !upstream.IsLoopback(u.Hostname()) {
		return []upstream.KeyError{{Key: "url", Problem: "is http: alerts are sent unencrypted, and anyone on the way can suppress them"}}
	}
	return nil
}

// id names the receiver in the state file. It has no secret in it.
func (s *Settings) id() string {
	sum := sha256.Sum256([]byte(s.URL.Reveal() + "\x00" + strings.Join(s.Exec, "\x00")))
	return cmp.Or(s.Name, hex.EncodeToString(sum[:8]))
}

// eventKinds are the names of what providers tell.
func eventKinds() (names []string) {
	for k := upstream.Delivered; k <= upstream.Clicked; k++ {
		names = append(names, k.String())
	}
	return names
}

// Receiver says who is told, without secrets.
func (s *Settings) Receiver() string {
	if len(s.Exec) > 0 {
		return filepath.Base(s.Exec[0])
	}
	u, err := parseURL(s.URL)
	if err != nil {
		return upstream.Redacted
	}
	return u.Scheme + "://" + u.Host + "/" + upstream.Redacted
}

// parseURL checks an address; its errors do not repeat it.
func parseURL(s upstream.Secret) (*url.URL, error) {
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("must be an https:// address")
	}
	return u, nil
}

// signingKey returns the key of a secret, nil for none: what whsec_ stands before is base64.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func signingKey(s upstream.Secret) ([]byte, error) {
	text, encoded := strings.CutPrefix(s.Reveal(), "whsec_")
	if !encoded {
		return []byte(text), nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, errors.New("has no base64 behind whsec_")
	}
	return key, nil
}

// sign returns the signature of a webhook, as Standard Webhooks has it.
func sign(key []byte, id string, at time.Time, body []byte) string {
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}
