package events

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MAC returns the HMAC-SHA256 of the parts, one after another.
func MAC(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// Ages of signatures. Where a provider signs each attempt anew, a signature need not be older than clocks differ; where
// its documentation leaves that open, its last retry must be believed too.
const (
	EachAttempt = 5 * time.Minute
	WholeDay    = 25 * time.Hour
)

// IsFresh reports whether a signature's time, in seconds since 1970, is near enough to now.
func IsFresh(seconds string, now time.Time, age time.Duration) bool {
	n, err := strconv.ParseInt(strings.TrimSpace(seconds), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return false
	}
	past := now.Sub(time.Unix(n, 0))
	return past <= age && past >= -EachAttempt
}

// Shows reports whether a request shows the secret of the settings: as the whole user and password of RFC 7617,
// "user:password", or as the token of RFC 6750. Providers that sign nothing are given an address with user and password in it.
func (l *Listener) Shows(h http.Header) bool {
	scheme, given, _ := strings.Cut(h.Get("Authorization"), " ")
	given = strings.TrimSpace(given)
	secret := l.Secret()
	switch {
	case secret == "":
		return false
	case strings.EqualFold(scheme, "Basic"):
		b, err := base64.StdEncoding.DecodeString(given)
		if err != nil {
			return false
		}
		given = string(b)
	case !strings.EqualFold(scheme, "Bearer"):
		return false
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

// Login returns the user and the password that a provider which signs nothing is to show: those of the secret, or new ones.
func (l *Listener) Login() (user, password string) {
	if user, password, ok := strings.Cut(l.Secret(), ":"); ok {
		return user, password
	}
	return "mailhatch", rand.Text()
}
