package upstream

import "io"

// Kind is one way of handing mail on, as `type` in the config names it.
type Kind struct {
	Name string
	Doc  string          // one line for people
	New  func() Settings // settings with their defaults, ready to be decoded into
}

// Settings are the keys of one [upstream.NAME] table that its kind owns. Implementations are pointers
// to structs with `toml` tags. (timeout is the kind's own too; max_concurrent, rate, from_domains and
// rewrite_from are read by the gateway for every kind.)
type Settings interface {
	// Open checks the settings and makes the upstream. No network traffic. Errors about a key are a
	// *KeyError, several of them joined by errors.Join.
	Open(env Env) (Upstream, error)
}

// Env is what the program lends to its upstreams.
type Env struct {
	Name     string    // of the table, for messages
	Hostname string    // EHLO name
	Version  string    // for the User-Agent
	Stdout   io.Writer // where console writes
}

// KeyError is a setting that cannot be used.
type KeyError struct {
	Key     string // as in the config: "api_key"
	Problem string // "is missing", `must be "us" or "eu", not "de"`
	Hint    string // what to do; may be empty
}

// Error gives key and problem.
func (e *KeyError) Error() string { return e.Key + " " + e.Problem }

// Kinds returns a fresh table of the built-in kinds. Programs of others may append their own.
func Kinds() []Kind {
	return []Kind{
		{Name: "resend", Doc: "Resend's API (JSON)", New: newResendSettings},
		{Name: "sendgrid", Doc: "SendGrid's API v3 mail/send (JSON)", New: newSendgridSettings},
		{Name: "mailgun", Doc: "Mailgun's API messages.mime (the message as it is)", New: newMailgunSettings},
		{Name: "smtp", Doc: "an SMTP relay or submission server", New: func() Settings { return &smtpSettings{} }},
		{Name: "console", Doc: "shows mail on standard output", New: func() Settings { return &consoleSettings{} }},
		{Name: "memory", Doc: "keeps the last messages in memory, for tests", New: func() Settings { return &memorySettings{Keep: memoryKeep} }},
		{Name: "file", Doc: "stores mail in a maildir", New: func() Settings { return &fileSettings{} }},
	}
}
