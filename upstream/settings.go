package upstream

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Secret is a value that is never printed. In the config it is literal, "env:NAME", "file:/path"
// or "cred:NAME" (a file of $CREDENTIALS_DIRECTORY, systemd.exec(5), or of the running service's).
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value itself, for the one place that sends it.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.value == "" }

// Redacted stands wherever a secret would.
const Redacted = "***"

// String, GoString, Format and MarshalText all print *** so that no verb and no encoder leaks it.
func (s Secret) String() string               { return Redacted }
func (s Secret) GoString() string             { return Redacted }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(Redacted)) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText resolves a reference. Its errors name the reference, never a value.
func (s *Secret) UnmarshalText(text []byte) (err error) {
	s.value, err = Resolve(string(text))
	return err
}

// IsReference reports whether a text of the config is "env:NAME", "file:/path" or "cred:NAME".
func IsReference(text string) bool {
	scheme, _, found := strings.Cut(text, ":")
	return found && (scheme == "env" || scheme == "file" || scheme == "cred")
}

// maxReferred is far beyond any value of a config, in bytes; it keeps a wrong path (/dev/zero) from filling the memory.
const maxReferred = 1 << 20

// ErrElsewhere marks what a reference names and this process does not have, though the service may: a variable of its
// environment, a credential, a file that this account may not read.
var ErrElsewhere = errors.New("not known here")

// elsewhere is an error that is ErrElsewhere and has words of its own.
type elsewhere struct{ error }

// Is reports whether target is ErrElsewhere.
func (elsewhere) Is(target error) bool { return target == ErrElsewhere }

// Unwrap returns the error itself.
func (e elsewhere) Unwrap() error { return e.error }

// Resolve returns what a reference stands for, a file's without the white space around it and a variable's without
// line ends, which its maker did not see; any other text stands for itself. What is not there, or empty, is an error that names the
// reference; it is ErrElsewhere where the service may have it.
func Resolve(text string) (string, error) {
	if !IsReference(text) {
		return text, nil
	}
	scheme, name, _ := strings.Cut(text, ":")
	path := name
	switch scheme {
	case "env":
		if name == "" {
			return "", errors.New("env: takes the name of an environment variable")
		}
		value := strings.Trim(os.Getenv(name), "\r\n")
		if value == "" {
			return "", elsewhere{fmt.Errorf("the environment variable %s is not set", name)}
		}
		return value, nil
	case "cred":
		dir, err := credentials(os.Getenv("CREDENTIALS_DIRECTORY"), serviceCredentials)
		if name != filepath.Base(name) || name == ".." || name == "." {
			return "", errors.New("cred: takes a plain name")
		}
		if err != nil {
			return "", elsewhere{err}
		}
		path = filepath.Join(dir, name)
	}
	f, err := os.Open(path)
	switch {
	case scheme == "cred" && errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "", elsewhere{err}
	case err != nil:
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxReferred+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxReferred {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxReferred)
	}
	value := strings.TrimSpace(string(b))
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return value, nil
}

// serviceCredentials is where systemd keeps those of the running service, for it and for root.
const serviceCredentials = "/run/credentials/mailhatch.service"

// credentials returns the directory that systemd has given to this process, else that of the running service: what a
// command checks in a shell is what the service has.
func credentials(given, service string) (string, error) {
	if given != "" {
		return given, nil
	}
	if _, err := os.Stat(service); err != nil {
		return "", errors.New("cred: needs $CREDENTIALS_DIRECTORY, which systemd sets for LoadCredential=; mailhatch.service, whose " +
			"credentials would do, does not run with any")
	}
	return service, nil
}

// Duration is a time span in the config: a number with a unit ("30s", "10m", "3h", "5d").
type Duration struct{ time.Duration }

// UnmarshalText accepts what time.ParseDuration does, and whole or fractional days ("5d").
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < 0 || n > 36500 {
			return durationError(s)
		}
		d.Duration = time.Duration(n * 24 * float64(time.Hour))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 || (v == 0 && !strings.HasSuffix(s, "s")) {
		return durationError(s)
	}
	d.Duration = v
	return nil
}

func durationError(s string) error {
	return fmt.Errorf(`must be a time with a unit, such as "30s", "10m", "3h" or "5d", not %q`, s)
}

// MarshalText returns the Go form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// OneOf returns a *KeyError where a key has another value than those allowed.
func OneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	last := len(allowed) - 1
	return &KeyError{Key: key, Value: value, Allowed: allowed, Problem: fmt.Sprintf(`must be "%s" or %q, not %q`, strings.Join(allowed[:last], `", "`), allowed[last], value)}
}
