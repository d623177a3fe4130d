package upstream

import (
	"context"
	"fmt"
)

// Prober is implemented by upstreams that can report in parts what works and what does not, for people.
type Prober interface {
	// Probe tries network, credentials and account without sending mail. domains are those of the From
	// addresses that go there, "*.example.com" for all subdomains; none where the config has none.
	// Findings hold no secrets. It returns soon after ctx ends.
	Probe(ctx context.Context, domains []string) []Finding
}

// Level is what a finding means for the mail.
type Level string

// The levels.
const (
	Fine Level = "ok"
	Warn Level = "warn" // mail is sent, but not for ever or not all of it
	Fail Level = "fail" // mail would wait, or be refused
)

// Finding is one thing that was looked at.
type Finding struct {
	Name  string `json:"name"` // what it is about, in a word: reach, key, domain, clock, tls, login, ports
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"` // what to do about it
}

// Finef returns a finding that nothing is wrong.
func Finef(name, format string, args ...any) Finding {
	return Finding{Name: name, Level: Fine, Text: fmt.Sprintf(format, args...)}
}
