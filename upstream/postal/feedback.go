package postal

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api/events"
)

var ways = events.Ways{Tells: upstream.Tells{Webhook: true, Signed: true}}

// feedback reads the webhooks of a Postal server.
type feedback struct{ listener *events.Listener }

// Listening returns how the settings want events.
func (f *feedback) Listening() upstream.Listening { return f.listener.Listening() }

// Poll is not offered: Postal's API shows a message by an id that is in webhooks alone.
func (f *feedback) Poll(context.Context, upstream.Ask) (upstream.Batch, error) {
	return upstream.Batch{}, &upstream.Error{Class: upstream.Account, Err: events.ErrNoPolling}
}

// message is one of Postal's.
type message struct {
	ID   events.Text `json:"id"`
	Mail events.Text `json:"message_id"`
	To   events.Text `json:"to"`
}

// record is a webhook, https://docs.postalserver.io/developer/webhooks
type record struct {
	Event   events.Text `json:"event"`
	Time    events.Text `json:"timestamp"`
	UUID    events.Text `json:"uuid"`
	Payload struct {
		Message  message     `json:"message"`
		Original message     `json:"original_message"` // of MessageBounced
		Status   events.Text `json:"status"`
		Details  events.Text `json:"details"`
		Output   events.Text `json:"output"`
	} `json:"payload"`
}

var kinds = map[string]upstream.EventKind{"MessageSent": upstream.Delivered, "MessageDelayed": upstream.Deferred, "MessageDeliveryFailed": upstream.Bounced,
	"MessageHeld": upstream.Deferred, "MessageBounced": upstream.Bounced, "MessageLinkClicked": upstream.Clicked, "MessageLoaded": upstream.Opened,
	"DomainDNSError": 0, "SendLimitApproaching": 0, "SendLimitExceeded": 0}

func (r *record) read(page *events.Page) {
	kind := page.KindOf(kinds, r.Event)
	if kind == 0 {
		return
	}
	p := &r.Payload
	if r.Event == "MessageHeld" && strings.Contains(strings.ToLower(string(p.Details)), "suppression list") {
		kind = upstream.Suppressed
	}
	of := p.Message
	if p.Original.Mail != "" {
		of = p.Original
	}
	e := upstream.Event{Kind: kind, ProviderID: strings.Trim(string(of.Mail), "<>"), Recipient: string(of.To), At: events.Moment(r.Time), Words: string(cmp.Or(p.Output, p.Details)), Key: string(r.UUID)}
	if e.Key == "" && e.ProviderID != "" {
		e.Key = upstream.EventKey(e.ProviderID, e.Recipient, string(r.Event), string(r.Time))
	}
	page.Add(e)
}

// publicKey reads the server's signing key: PEM, the base64 in it, or what its DNS record for DKIM has as p=.
func publicKey(secret string) *rsa.PublicKey {
	der := []byte(nil)
	if block, _ := pem.Decode([]byte(secret)); block != nil {
		der = block.Bytes
	} else if _, p, ok := strings.Cut(secret, "p="); ok {
		secret, _, _ = strings.Cut(p, ";")
	}
	if der == nil {
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(secret), ""))
		if err != nil {
			return nil
		}
		der = b
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil
	}
	public, _ := key.(*rsa.PublicKey)
	return public
}

// Receive reads a webhook, signed by RSA over the body, without a time: what is sent again is known by its key.
func (f *feedback) Receive(_ context.Context, h http.Header, body []byte) (upstream.Batch, error) {
	key := publicKey(f.listener.Secret())
	signature, err := base64.StdEncoding.DecodeString(h.Get("X-Postal-Signature-256"))
	sum := sha256.Sum256(body)
	if key == nil || err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return upstream.Batch{}, upstream.ErrSignature
	}
	var r record
	if json.Unmarshal(body, &r) != nil {
		return upstream.Batch{}, upstream.ErrEvents
	}
	page := events.NewPage(time.Now())
	r.read(page)
	return page.Batch, nil
}
