// Package events is what kinds share whose provider reports later events: settings, the stretch of a log that is
// read, signatures, and the bounds of what is believed.
package events

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mailhatch/upstream"
)

// Settings are the keys of [upstream.NAME.events].
type Settings struct {
	Mode   string            `toml:"mode"`   // off, poll, webhook or both
	Every  upstream.Duration `toml:"every"`  // between two polls
	Secret upstream.Secret   `toml:"secret"` // of webhooks; "": the one that `mailhatch events setup` keeps
	URL    string            `toml:"url"`    // where the provider reaches POST /events/NAME
}

// Defaults returns the settings of a table that has no keys.
func Defaults() Settings {
	return Settings{Mode: "off", Every: upstream.Duration{Duration: time.Minute}}
}

// Bounds of every: a provider's API is for sending first, and a log is not an archive.
const (
	leastEvery = 10 * time.Second
	mostEvery  = 24 * time.Hour
)

// Ways are those in which a provider reports.
type Ways struct {
	upstream.Tells
	Pace time.Duration // least time between two requests of polls
}

// Listener is how an upstream listens. A nil one does not.
type Listener struct {
	listening upstream.Listening
	secret    upstream.Secret
	file      string
}

// Open checks the settings; its errors are *KeyErrors.
func (s *Settings) Open(env upstream.Env, ways Ways) (*Listener, error) {
	words := []string{"off"}
	if ways.Poll {
		words = append(words, "poll")
	}
	if ways.Webhook {
		words = append(words, "webhook")
	}
	if ways.Poll && ways.Webhook {
		words = append(words, "both")
	}
	if err := upstream.OneOf("events.mode", s.Mode, words...); err != nil {
		return nil, err
	}
	if s.Every.Duration < leastEvery || s.Every.Duration > mostEvery {
		return nil, &upstream.KeyError{Key: "events.every", Problem: fmt.Sprintf(`must be from "10s" to "1d", not %q`, s.Every.Duration), Hint: `the default is "1m"`}
	}
	if err := CheckURL("events.url", s.URL); err != nil {
		return nil, err
	}
	l := &Listener{secret: s.Secret, file: SecretFile(env)}
	l.listening.Webhook = s.Mode == "webhook" || s.Mode == "both"
	if s.Mode == "poll" || s.Mode == "both" {
		l.listening.Every = s.Every.Duration
	}
	l.listening.URL, l.listening.Pace = s.URL, ways.Pace
	return l, nil
}

// CheckURL returns a *KeyError where a provider could not call this address, or would in clear.
func CheckURL(key, address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Fragment != "" || u.Scheme != "https" && !(u.Scheme == "http" && upstream.IsLoopback(u.Hostname())) {
		return &upstream.KeyError{Key: key, Problem: "must be an https:// address", Hint: `as the provider reaches it: "https://mail.example.com/events/main"`}
	}
	return nil
}

// SecretFile is where the secret of an upstream's webhooks is kept that was made by the provider; "": nowhere.
func SecretFile(env upstream.Env) string {
	if env.TokenDir == "" || env.Name == "" || env.Name != filepath.Base(env.Name) {
		return ""
	}
	return filepath.Join(env.TokenDir, env.Name+".webhook")
}

// KeepSecret writes the secret that a provider made, for the account of the service alone.
func KeepSecret(env upstream.Env, secret upstream.Secret) error {
	file := SecretFile(env)
	if file == "" {
		return errors.New("there is no place for the secret: the config has no state_dir")
	}
	if _, err := os.Stat(env.TokenDir); err != nil {
		if err := os.MkdirAll(env.TokenDir, 0o700); err != nil {
			return err
		}
		owner(filepath.Dir(env.TokenDir), env.TokenDir)
	}
	tmp, err := os.CreateTemp(env.TokenDir, ".webhook-*") // 0600
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(secret.Reveal() + "\n")
	for _, step := range []func() error{tmp.Sync, tmp.Close} {
		if e := step(); err == nil {
			err = e
		}
	}
	if err == nil {
		owner(env.TokenDir, tmp.Name())
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// Listening returns what the settings want.
func (l *Listener) Listening() upstream.Listening {
	if l == nil {
		return upstream.Listening{}
	}
	return l.listening
}

// Secret returns the secret of webhooks, "" where there is none.
func (l *Listener) Secret() string {
	if !l.secret.IsZero() || l.file == "" {
		return l.secret.Reveal()
	}
	b, err := fs.ReadFile(os.DirFS(filepath.Dir(l.file)), filepath.Base(l.file))
	if err != nil || len(b) > 64<<10 {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// ErrNoPolling is for kinds whose provider has no log to ask.
var ErrNoPolling = errors.New("the provider has no log that can be polled; it reports by webhooks")
