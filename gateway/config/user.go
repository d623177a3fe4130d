package config

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
	"mailhatch/upstream"
)

// User is one [[listener.user]].
type User struct {
	Name      string          `toml:"name"`       // AUTH name, name in a client certificate, or "uid:NAME" on a unix socket
	Password  upstream.Secret `toml:"password"`   // a bcrypt hash ("$2…") or the password itself; zero: no AUTH
	AllowFrom []string        `toml:"allow_from"` // patterns for the envelope sender; empty: any

	senders *route.Table // what AllowFrom matches is discarded, all else has no route; nil: any sender
}

// Verify reports whether the password is right. It takes as long for a wrong one.
func (u *User) Verify(password string) bool {
	want := u.Password.Reveal()
	switch {
	case want == "":
		return false
	case isBcrypt(want):
		return bcrypt.CompareHashAndPassword([]byte(want), []byte(password)) == nil
	}
	return subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1
}

func isBcrypt(s string) bool { return strings.HasPrefix(s, "$2") }

// MaySend reports whether the user may use this envelope sender.
func (u *User) MaySend(env *envelope.Envelope) bool {
	return u.senders == nil || u.senders.Decide(&route.Input{Envelope: env}).Action == route.Discard
}

// User returns a user by name; nil when there is none.
func (l *Listener) User(name string) *User {
	for i := range l.Users {
		if l.Users[i].Name == name {
			return &l.Users[i]
		}
	}
	return nil
}

// HasPasswords reports whether a user of the listener can log in by AUTH.
func (l *Listener) HasPasswords() bool {
	return slices.ContainsFunc(l.Users, func(u User) bool { return !u.Password.IsZero() })
}

// Latest returns the listener as c has it now, for users change with a reload even where the server
// goes on; l itself where c has no such address, or may have several (port 0).
func (c *Config) Latest(l *Listener) *Listener {
	if i := slices.IndexFunc(c.Listeners, func(now Listener) bool { return now.Address == l.Address }); i >= 0 && !strings.HasSuffix(l.Address, ":0") {
		return &c.Listeners[i]
	}
	return l
}

var errCredentials = errors.New("wrong user name or password")

// Authenticate checks a name and password.
func (l *Listener) Authenticate(name, password string) error {
	u := l.User(name)
	if u == nil {
		// The time it takes must not reveal whether the user exists.
		if len(l.Users) > 0 {
			l.Users[0].Verify(password)
		}
		return errCredentials
	}
	if !u.Verify(password) {
		return errCredentials
	}
	return nil
}

func (c *checker) users(path string, l *Listener) {
	usersPath := path + ".user"
	network, _ := l.Network()
	named := network == "unix" || network == "fd" || l.ClientCAFile != "" // users may be known without AUTH
	switch {
	case c.isBad(usersPath) || c.isBad(path+".auth"):
	case l.Auth == "none" && len(l.Users) > 0 && !named:
		c.report(usersPath, `does nothing with auth = "none"`, `set auth = "required" or "optional"`)
	case l.Auth != "none" && len(l.Users) == 0 && l.ClientCAFile == "" && !l.AnyAuth:
		c.report(path+".auth", fmt.Sprintf("is %q, but the listener has no users", l.Auth), "add [[listener.user]] with name and password below this listener")
	}
	seen := map[string]bool{}
	for i := range l.Users {
		u := &l.Users[i]
		at := indexPath(usersPath, i)
		if u.Name == "" {
			c.report(at+".name", "is missing", "")
		}
		if seen[u.Name] {
			c.report(at+".name", fmt.Sprintf("%q is used twice", u.Name), "")
		}
		seen[u.Name] = true
		c.password(at+".password", u, l.ClientCAFile != "")
		u.senders = c.senders(at+".allow_from", u.AllowFrom)
	}
}

// password checks a user's password. Those who log in otherwise need none.
func (c *checker) password(path string, u *User, certificates bool) {
	secret := u.Password.Reveal()
	switch _, err := bcrypt.Cost([]byte(secret)); {
	case secret == "" && !certificates && !strings.HasPrefix(u.Name, "uid:"):
		c.report(path, "is missing", "")
	case isBcrypt(secret) && err != nil:
		c.report(path, "looks like a bcrypt hash but is not valid", "mailhatch hash-password makes one")
	}
}

// senders compiles allow_from: the patterns are those of routes.
func (c *checker) senders(path string, patterns []string) *route.Table {
	if len(patterns) == 0 {
		if _, given := c.lines[path]; given {
			c.report(path, "is empty: the user could send nothing", "leave it out to allow any sender")
		}
		return nil
	}
	table, err := route.Compile([]route.Rule{{Match: route.Match{From: patterns}, Discard: true}})
	for _, e := range flatten(err) {
		var ke *route.KeyError
		if errors.As(e, &ke) {
			c.report(itemPath(path, ke.Item), ke.Problem, ke.Hint)
		}
	}
	return table
}
