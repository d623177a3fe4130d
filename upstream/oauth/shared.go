package oauth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"mailhatch/upstream"
)

// sharedStore keeps the token where all gateways on a queue find it: one of them renews it for all.
//
// Where the settings have a secret, such as client_secret, what is stored is sealed by it: a copy of the vault alone gives
// nobody a token. The device flow of a public client has none, and its token is protected by the vault alone.
type sharedStore struct {
	vault upstream.Vault
	name  string
	owner string      // see Settings.fingerprint
	seal  cipher.AEAD // nil: there is no secret
	file  fileStore   // a login from before the gateways shared theirs
}

// Share makes the source keep its token in a vault. It is called before all else.
func (s *Source) Share(v upstream.Vault) {
	owner := s.settings.fingerprint(s.purpose)
	shared := &sharedStore{vault: v, name: s.name + "/" + owner, owner: owner, file: fileStore{dir: s.tokenDir, name: s.name}}
	if secret := s.settings.secret(); len(secret) > 0 {
		// Others with another secret have a token of their own: neither could read that of the other.
		shared.name += "-" + hex.EncodeToString(derive(secret, "name", 8))
		shared.seal = newSeal(derive(secret, "seal", 32))
	}
	s.store = shared
}

// secret returns what the application proves itself with, nil for none.
func (s *Settings) secret() []byte {
	for _, path := range []string{s.KeyFile, s.ServiceAccountFile} {
		if path != "" {
			text, _ := readFile(path) // Open has read it
			return text
		}
	}
	return []byte(s.ClientSecret.Reveal())
}

func derive(secret []byte, purpose string, size int) []byte {
	key, _ := hkdf.Key(sha256.New, secret, nil, "mailhatch token "+purpose, size) // fails for far larger sizes alone
	return key
}

func newSeal(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil // the key is of a good size
	}
	seal, _ := cipher.NewGCMWithRandomNonce(block)
	return seal
}

// every is within what one gateway does is known to all.
func (s *sharedStore) every() time.Duration { return time.Second }

func (s *sharedStore) load(ctx context.Context) (t token, err error) {
	raw, version, err := s.vault.Get(ctx, s.name)
	switch {
	case err != nil:
		return t, err
	case version == 0:
		return s.earlier(ctx), nil
	}
	if s.seal != nil {
		raw, err = s.seal.Open(nil, nil, raw, []byte(s.name))
	}
	if err != nil || json.Unmarshal(raw, &t) != nil {
		t = token{} // a new one takes its place
	}
	t.version = version
	return t, nil
}

// earlier returns the token in the file. A login is one for all from now on.
func (s *sharedStore) earlier(ctx context.Context) token {
	t, err := s.file.load(ctx)
	if err != nil || t.For != s.owner {
		return token{}
	}
	t.version = 0
	if t.Refresh != "" {
		_ = s.save(ctx, &t) // else the next one who looks does
	}
	return t
}

func (s *sharedStore) save(ctx context.Context, t *token) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if s.seal != nil {
		raw = s.seal.Seal(nil, nil, raw, []byte(s.name))
	}
	version, err := s.vault.Set(context.WithoutCancel(ctx), s.name, raw, t.version)
	switch {
	case err != nil:
		return err
	case version == 0:
		return errReplaced
	}
	t.version = version
	return nil
}

func (s *sharedStore) lock(ctx context.Context) (unlock func(), err error) {
	return s.vault.Lock(ctx, s.name)
}

func (s *sharedStore) check(ctx context.Context) error {
	_, _, err := s.vault.Get(ctx, s.name)
	return err
}
