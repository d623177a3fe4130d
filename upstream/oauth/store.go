package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// token is what the provider granted.
type token struct {
	Access   string    `json:"access_token"`
	Refresh  string    `json:"refresh_token,omitempty"`
	Obtained time.Time `json:"obtained"`
	Expiry   time.Time `json:"expiry"`
	For      string    `json:"for"` // the settings that it was granted to, see Settings.fingerprint

	version int64 // of what the store had when the token was read or written; more with each change
}

// valid reports whether the token can be used, with a little time to get to the far side.
func (t token) valid(now time.Time) bool {
	return t.Access != "" && now.Before(t.Expiry.Add(-slack(t)))
}

// slack is how long before its end a token is not used any more.
func slack(t token) time.Duration { return min(t.Expiry.Sub(t.Obtained)/20, 10*time.Second) }

// renewal is when the token is to be renewed: at 80 % of its life.
func (t token) renewal() time.Time { return t.Obtained.Add(t.Expiry.Sub(t.Obtained) * 4 / 5) }

func (t token) old(now time.Time) bool { return t.Access == "" || !now.Before(t.renewal()) }

// fingerprint names what a token is granted to: with other settings it is another's.
func (s *Settings) fingerprint(p Purpose) string {
	address, _ := s.endpoints()
	sum := sha256.Sum256([]byte(strings.Join(append([]string{s.Flow, address, s.ClientID, s.Subject}, s.scopes(p)...), "\x00")))
	return hex.EncodeToString(sum[:8])
}

// store keeps the token of one upstream.
type store interface {
	// load returns the token, or one without Access where there is none.
	load(ctx context.Context) (token, error)
	// save puts a token in the place of what was there at its version, and gives it its own. It is on stable storage
	// when save returns, whatever became of ctx: a refresh token that was replaced is lost with its successor. The error
	// is errReplaced where somebody else has replaced it.
	save(ctx context.Context, t *token) error
	// lock waits until nobody else renews the token: two who spend the same refresh token lock each other out.
	lock(ctx context.Context) (unlock func(), err error)
	// check reports whether a token could be stored.
	check(ctx context.Context) error
	// every is how often others may have changed it.
	every() time.Duration
}

var errReplaced = errors.New("somebody else has renewed the token")

// fileStore keeps the token in a file that only its owner reads.
type fileStore struct{ dir, name string }

func (s fileStore) every() time.Duration { return time.Minute }

func (s fileStore) path() string { return filepath.Join(s.dir, s.name+".json") }

func (s fileStore) load(context.Context) (t token, err error) {
	if s.dir == "" {
		return t, nil
	}
	raw, err := os.ReadFile(s.path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, nil
	case err != nil:
		return t, err
	}
	if json.Unmarshal(raw, &t) != nil {
		return token{}, nil // a new one takes its place
	}
	t.version = t.Obtained.UnixNano()
	return t, nil
}

// save replaces the file as a whole: who reads it finds the old token or the new one.
func (s fileStore) save(_ context.Context, t *token) error {
	t.version = t.Obtained.UnixNano()
	if s.dir == "" {
		return nil
	}
	if err := s.makeDir(); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, "."+s.name+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has its name by then, or is of no use
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	owner(s.dir, f.Name())
	if err := os.Rename(f.Name(), s.path()); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// makeDir makes the directory, as the owner's of the one that it is in. That one is the gateway's to make, where it has
// an account of its own.
func (s fileStore) makeDir() error {
	_, err := os.Stat(s.dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	state := filepath.Dir(s.dir)
	if _, err := os.Stat(state); errors.Is(err, fs.ErrNotExist) && isRoot() {
		return fmt.Errorf("%s does not exist yet: start the gateway first, or run this in its account", state)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	owner(filepath.Dir(s.dir), s.dir)
	return nil
}

func (s fileStore) check(context.Context) error {
	if s.dir == "" {
		return nil
	}
	if err := s.makeDir(); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, "."+s.name+"-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

const lockEvery = 20 * time.Millisecond

// lock keeps out other processes, and the source before a reload. Where there can be no lock, nothing can be stored either,
// and nobody is kept out. The error is that of ctx.
func (s fileStore) lock(ctx context.Context) (unlock func(), err error) {
	none := func() {}
	if s.dir == "" || s.makeDir() != nil {
		return none, nil
	}
	f, err := os.OpenFile(s.path()+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return none, nil
	}
	owner(s.dir, f.Name())
	for !lockFile(f) {
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(lockEvery):
		}
	}
	return func() { _ = f.Close() }, nil
}
