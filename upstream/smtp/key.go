package smtp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/smtp/reply"
)

// keyField is the field by which Resend recognises a repeated message, https://resend.com/docs/send-with-smtp
const keyField = "Resend-Idempotency-Key"

// Of Resend's keys, https://resend.com/docs/dashboard/emails/idempotency-keys
const (
	keyValidity = 24 * time.Hour
	maxKey      = 256
)

// keyed is a relay that recognises a repeated message by its key.
type keyed struct{ *relay }

// KeyValidity returns how long Resend recognises a repeated message.
func (keyed) KeyValidity() time.Duration { return keyValidity }

// key names the message to these recipients: with the program's own key, where that may leave, or with that of the mail.
// Whom the relay refuses is not among them, so that a repeated offer to the others has the same key.
func (j *job) key(rcpts []int) string {
	addresses := make([]string, len(rcpts))
	for i, r := range rcpts {
		addresses[i] = mime.AddressKey(j.mail.To[r].Address)
	}
	if j.given != "" {
		return j.given + strings.TrimPrefix(j.mail.Key, j.mail.ID) + "-" + upstream.KeyOfRecipients(addresses)
	}
	return j.mail.KeyStem() + "-" + upstream.KeyOfRecipients(addresses)
}

// keyLine is the field that the message to these recipients begins with, "" where the relay knows no keys.
func (j *job) keyLine(rcpts []int) string {
	if !j.keyed {
		return ""
	}
	return keyField + ": " + j.key(rcpts) + "\r\n"
}

// readKey takes over the program's own key. Its error is of a key that Resend does not take.
func (j *job) readKey(removed []string) error {
	if !upstream.MatchesField(keyField, removed) || j.mail.IsOwn(keyField) {
		j.given = strings.TrimSpace(j.mail.Message.Header.Get(keyField))
	}
	if strings.ContainsFunc(j.given, func(r rune) bool { return r < ' ' || r > '~' }) || len(j.key(j.pending)) > maxKey {
		return &upstream.Error{Class: upstream.Unrepresentable, Code: "5.6.0",
			Err: errors.New(keyField + " is too long, or contains characters outside ASCII")}
	}
	return nil
}

// digest names the message by its bytes, the key among them.
func (t *transaction) digest() (string, error) {
	h := sha256.New()
	h.Write([]byte(t.job.keyLine(t.accepted)))
	err := t.job.content.send(t.relay, func(p []byte) error { h.Write(p); return nil })
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}

// compare returns an error where the first message of an offer is not the one that may have been taken before.
func (t *transaction) compare() error {
	known := t.job.known
	if t.job.known = ""; known == "" || !t.job.keyed {
		return nil
	}
	switch digest, err := t.digest(); {
	case err != nil:
		return &upstream.Error{Class: upstream.Temporary, Err: err}
	case digest != known:
		return &upstream.Error{Class: upstream.Uncertain, Changed: true, Digest: known, Err: errors.New("the message is not the one that may have been taken")}
	}
	return nil
}

// uncertain completes an error of a message that may have been taken.
func (t *transaction) uncertain(e *upstream.Error) *upstream.Error {
	if t.job.keyed {
		e.Digest, _ = t.digest()
	}
	return e
}

// refusedKey is the meaning of a refusal for the sake of the key, nil for any other: another message had it, or the same
// one is on its way, https://resend.com/docs/dashboard/emails/idempotency-keys
func (t *transaction) refusedKey(r reply.Reply) *upstream.Error {
	words := strings.ToLower(r.Text)
	if !t.job.keyed || !slices.ContainsFunc([]string{"idempotent", "idempotency"}, func(s string) bool { return strings.Contains(words, s) }) {
		return nil
	}
	e := &upstream.Error{Class: upstream.Uncertain, Status: r.Code, Err: errors.New(r.Text)}
	if strings.Contains(words, "concurrent") || strings.Contains(words, "in progress") {
		return t.uncertain(e)
	}
	e.Changed = true
	return e
}
