package upstream

import "io"

// Kind is one way of handing mail on, as `type` in the config names it.
type Kind struct {
	Name string
	Doc  string          // one line for people
	New  func() Settings // settings with their defaults, ready to be decoded into

	// Changes lists in words what the provider changes in every mail, however well it is translated;
	// nil for kinds that change nothing but trace fields.
	Changes []string
	Traits  Traits // what people compare kinds by

	// SMTPStatus reports that the statuses of its errors are SMTP reply codes (RFC 5321 4.2).
	SMTPStatus bool
	// Setup lists what `mailhatch init` asks for an upstream of this kind; nil: init does not offer it.
	Setup []Question
}

// Traits are how a kind treats mail; doc/providers.md has a row of them for each kind.
type Traits struct {
	Apart      bool   // the message is taken apart into text, HTML and files; false: it travels as it is
	NewID      bool   // Message-ID is replaced
	MailFrom   bool   // MAIL FROM travels; false: the envelope sender is the provider's
	Bcc        Bcc    // how mail gets to recipients who are not to be seen
	Recipients int    // of one request; 0: no limit of its own
	Bytes      int64  // of a message, or where that is taken apart of a request; 0: no limit of its own
	Tells      Tells  // how later events come
	Later      string // where people find what became of mail that was taken, of kinds without later events
}

// Tells is how later events come to an upstream that is Feedback.
type Tells struct {
	Poll    bool // the provider is asked
	Webhook bool // the provider calls
	Signed  bool // and signs that; otherwise a secret in the address or the header shows who it is
}

// String returns words for a table: "polling or signed webhooks".
func (t Tells) String() string {
	hook := "webhooks with a secret in the URL"
	if t.Signed {
		hook = "signed webhooks"
	}
	switch {
	case t.Poll && t.Webhook:
		return "polling or " + hook
	case t.Poll:
		return "polling"
	case t.Webhook:
		return hook
	}
	return ""
}

// Bcc is the place of recipients who are not to be seen.
type Bcc string

// The places there are.
const (
	BccEnvelope Bcc = "in the envelope"                            // apart from the message
	BccRequest  Bcc = "as bcc, or in a separate request"           // of APIs that make To and Cc from the request
	BccHeader   Bcc = "in a Bcc field, which the provider removes" // of APIs that read the recipients from the message
)

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
	TokenDir string    // where access tokens are kept; "": nowhere
}

// KeyError is a setting that cannot be used.
type KeyError struct {
	Key     string // as in the config: "api_key"
	Problem string // "is missing", `must be "us" or "eu", not "de"`
	Hint    string // what to do; may be empty

	Value   string   // that was none of Allowed
	Allowed []string // so that the nearest can be named; may be nil
}

// Error returns key and problem.
func (e *KeyError) Error() string { return e.Key + " " + e.Problem }

// Question is one that `mailhatch init` asks, on the terminal or as a flag; the answer is the value of a key.
type Question struct {
	Key   string
	Text  string   // the question, without a mark at its end
	Words []string // the answers there are, the first being the default; nil: any
	Flag  string   // that answers it without being asked: "relay-host"
	Usage string   // of the flag; its value's name in backquotes

	// Default returns the answer where none is given, "" for none; known holds the earlier answers by key,
	// and as FromDomain the domain of the From address. nil: no default.
	Default  func(known map[string]string) string
	Optional bool // the key may be left out
	Secret   bool // not shown while it is typed; its flag takes a reference (env:NAME) only
	Number   bool // a whole number greater than zero

	// Split takes an answer that also answers other questions apart, by key, such as the name of a host with a port;
	// nil: none does.
	Split func(answer string) map[string]string

	// Skip reports by the earlier answers that this is not asked; nil: never.
	Skip func(known map[string]string) bool
}

// FromDomain is where Question.Default finds the domain of the From address.
const FromDomain = "from domain"

// Limited is implemented by Settings that know what a provider allows. Keys that every kind has and the config
// leaves out are set so.
type Limited interface {
	// Limits returns what is known once the settings are decoded.
	Limits() Limits
}

// Limits are what a provider allows; zero values are unknown.
type Limits struct {
	Rate       string // as in the config: "30/m"
	Concurrent int    // sends at once
	Recipients int    // of one message
}

// Advisor is implemented by Settings that have something to tell about themselves, which no error is.
type Advisor interface {
	// Advice returns warnings for `mailhatch check`.
	Advice() []KeyError
}
