package canary

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mailhatch/gateway/config/hint"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Settings are the table [canary] of the config.
type Settings struct {
	Every     upstream.Duration `toml:"every"`     // between two canaries of an upstream; 0: none are sent
	To        string            `toml:"to"`        // address of a mailbox
	From      string            `toml:"from"`      // address; "": that of default_from, else canary@ and the domain
	Within    upstream.Duration `toml:"within"`    // what has not arrived by then has not arrived
	Upstreams []string          `toml:"upstreams"` // names; nil: all that take mail out of this machine
}

// DefaultWithin is how long a canary may take.
const DefaultWithin = 15 * time.Minute

// Bounds of the times.
const (
	everyLeast  = time.Minute
	everyMost   = 7 * 24 * time.Hour
	withinLeast = time.Second
)

// Default are the settings of a config that has none.
func Default() Settings { return Settings{Within: upstream.Duration{Duration: DefaultWithin}} }

// IsOn reports whether canaries are wanted.
func (s *Settings) IsOn() bool { return s.Every.Duration > 0 }

// Check returns what is wrong with the settings. given reports whether the config has a key; names are the upstreams.
func (s *Settings) Check(given func(key string) bool, names []string) (problems []*upstream.KeyError) {
	report := func(key, problem, what string) {
		problems = append(problems, &upstream.KeyError{Key: key, Problem: problem, Hint: what})
	}
	every, within := s.Every.Duration, s.Within.Duration
	switch {
	case every == 0 && !given("every"):
		for _, key := range []string{"to", "from", "within", "upstreams"} {
			if given(key) {
				report("every", "is missing: no canary would be sent", `write every = "1h"`)
				break
			}
		}
	case every != 0 && (every < everyLeast || every > everyMost):
		report("every", "must be from 1m to 7d", `"1h" is usual; "0s": none are sent`)
	}
	switch {
	case within < withinLeast:
		report("within", "must be at least 1s", `"15m" is usual`)
	case every >= everyLeast && within > every:
		report("within", "must not be longer than every: each canary is judged before the next", "")
	}
	if s.IsOn() && s.To == "" {
		report("to", "is missing: canaries need a mailbox", `write the address of one that takes all mail, such as "canary@example.com"`)
	}
	for key, address := range map[string]string{"to": s.To, "from": s.From} {
		if address == "" {
			continue
		}
		if path, err := mime.ParsePath(address, ""); err != nil || path.Bare != "" {
			report(key, fmt.Sprintf("%q is not an address", address), `write "canary@example.com"`)
		}
	}
	for i, name := range s.Upstreams {
		if !slices.Contains(names, name) {
			report(fmt.Sprintf("upstreams[%d]", i), fmt.Sprintf("names %q, which is no upstream", name), cmp.Or(hint.DidYouMean(name, names), "the config has "+hint.Either(names)))
		}
	}
	slices.SortStableFunc(problems, func(a, b *upstream.KeyError) int { return cmp.Compare(a.Key, b.Key) })
	return problems
}
