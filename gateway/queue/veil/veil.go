// Package veil leaves out of the history what it is not to keep: subjects, or addresses too.
package veil

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"

	"mailhatch/gateway/queue"
)

// KeyName is the file in the state directory with the key of digests. Without it nobody finds the addresses again.
const KeyName = "history.key"

const keyBytes = 32

// Veil hides what is written from then on. It is used by many goroutines.
type Veil struct {
	make  func() ([]byte, error)
	state atomic.Pointer[state]
}

type state struct {
	privacy queue.Privacy
	key     []byte // nil: no address was ever hidden
}

// New returns the veil of a state directory. It hides nothing yet, but knows how addresses were hidden before.
func New(dir string) *Veil {
	path := filepath.Join(dir, KeyName)
	key, err := os.ReadFile(path)
	if err != nil {
		key = nil
	}
	return With(key, func() ([]byte, error) { return makeKey(path) })
}

// With returns a veil whose key is kept elsewhere; nil: there is none yet. The first time that one is needed, it comes
// from make, which may use NewKey.
func With(key []byte, make func() ([]byte, error)) *Veil {
	if len(key) != keyBytes {
		key = nil
	}
	v := &Veil{make: make}
	v.state.Store(&state{privacy: queue.HideNothing, key: key})
	return v
}

// Learn gives a veil the key that With did not know yet; nil: there is none. Nothing was hidden before.
func (v *Veil) Learn(key []byte) {
	if len(key) == keyBytes {
		v.state.Store(&state{privacy: v.state.Load().privacy, key: key})
	}
}

// Set says what is hidden from now on. The first time that addresses are, it makes a key.
func (v *Veil) Set(p queue.Privacy) error {
	s := state{privacy: p, key: v.state.Load().key}
	if p == queue.HideAddresses && s.key == nil {
		key, err := v.make()
		if err != nil {
			return err
		}
		s.key = key
	}
	v.state.Store(&s)
	return nil
}

// NewKey returns a key that nobody has.
func NewKey() []byte {
	key := make([]byte, keyBytes)
	rand.Read(key) //nolint:errcheck // it never fails
	return key
}

func makeKey(path string) ([]byte, error) {
	key := NewKey()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, errors.New(path + " is not a key of 32 bytes: remove it to begin with a new one")
	}
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	return key, errors.Join(err, f.Sync(), f.Close())
}

// Address is the digest of an address: the same for all that are compared as equal. "" where no address was ever hidden.
func (v *Veil) Address(address string) string {
	s := v.state.Load()
	if s.key == nil || address == "" {
		return ""
	}
	return s.digest(address)
}

func (s *state) digest(address string) string {
	if address == "" {
		return ""
	}
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(queue.AddressText(address)))
	return "~" + strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:10]))
}

// Record hides what is not to be kept of a record.
func (v *Veil) Record(r *queue.Record) {
	if !v.HidesHeader() {
		return
	}
	s := v.state.Load()
	r.Header.Subject = ""
	if s.privacy != queue.HideAddresses {
		return
	}
	r.From, r.Header.From, r.Error = s.digest(r.From), "", s.words(r.Error)
	r.Recipient.Address, r.Recipient.Given, r.Recipient.ORcpt = s.digest(r.Recipient.Address), s.digest(r.Recipient.Given), ""
}

// Event hides what is not to be kept of an event.
func (v *Veil) Event(e *queue.Event) {
	s := v.state.Load()
	if s.privacy != queue.HideAddresses {
		return
	}
	hidden := make([]string, len(e.To))
	for i, to := range e.To {
		hidden[i] = s.digest(to)
	}
	if e.Words = s.words(e.Words); e.To != nil {
		e.To = hidden
	}
}

// Suppression hides what is not to be kept of an entry of the list of suppressed addresses.
func (v *Veil) Suppression(s *queue.Suppression) {
	if v.HidesAll() && !isDigest(s.Address) {
		state := v.state.Load()
		s.Address, s.Words = state.digest(s.Address), state.words(s.Words)
	}
}

// Names are the addresses under which rows may have an address: its own and its digest.
func (v *Veil) Names(address string) []string {
	if hidden := v.Address(address); hidden != "" && !isDigest(address) {
		return []string{address, hidden}
	}
	return []string{address}
}

// isDigest reports whether an address is hidden already, such as one out of the history.
func isDigest(address string) bool { return strings.HasPrefix(address, "~") }

// HidesAll reports whether nothing of an envelope may be kept, HidesHeader whether nothing of a header.
func (v *Veil) HidesAll() bool { return v.state.Load().privacy == queue.HideAddresses }
func (v *Veil) HidesHeader() bool {
	return v.HidesAll() || v.state.Load().privacy == queue.HideSubjects
}

// words hides the addresses in a text, which a provider may have written.
func (s *state) words(text string) string {
	return regexp.MustCompile(`[^\s<>"'(),:;]+@[^\s<>"'(),:;]+`).ReplaceAllStringFunc(text, s.digest)
}

// Filter returns a filter that finds what f asks for where it is hidden; nil where that cannot be found.
func (v *Veil) Filter(f *queue.HistoryFilter) *queue.HistoryFilter {
	if v.state.Load().key == nil || f.From == "" && f.To == "" && f.Word == "" {
		return nil
	}
	hidden := *f
	for _, text := range []*string{&hidden.From, &hidden.To, &hidden.Word} {
		if strings.ContainsAny(*text, "*?") {
			return nil
		}
		*text = v.Address(*text)
	}
	return &hidden
}
