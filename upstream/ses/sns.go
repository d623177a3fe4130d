package ses

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
	"mailhatch/upstream/api/events"
)

// envelope is a message of SNS, https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
type envelope struct {
	Type, MessageID  string
	TopicArn         string
	Subject          *string
	Message          string
	Timestamp        string
	Token            string
	SubscribeURL     string
	SignatureVersion string
	Signature        string
	SigningCertURL   string
}

// text is what is signed, https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func (e *envelope) text() []byte {
	var b bytes.Buffer
	line := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	line("Message", e.Message)
	line("MessageId", e.MessageID)
	if e.Type == "Notification" {
		if e.Subject != nil {
			line("Subject", *e.Subject)
		}
	} else {
		line("SubscribeURL", e.SubscribeURL)
	}
	line("Timestamp", e.Timestamp)
	if e.Type != "Notification" {
		line("Token", e.Token)
	}
	line("TopicArn", e.TopicArn)
	line("Type", e.Type)
	return b.Bytes()
}

// snsHost are the hosts of SNS: nothing is fetched from any other, whatever a request asks for.
var snsHost = regexp.MustCompile(`^sns\.[a-z]{2,4}(-[a-z]+)+-[0-9]\.amazonaws\.com(\.cn)?$`)

// certificatePath is where SNS has its certificates. A query could make other actions of the same host answer with what a
// stranger has stored there.
var certificatePath = regexp.MustCompile(`^/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem$`)

// ofSNS returns the path of an address of SNS, "" where it is any other.
func ofSNS(address string) (host, path string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || !snsHost.MatchString(u.Host) {
		return "", ""
	}
	return u.Host, u.RequestURI()
}

// certificates are those that SNS signs with. There are few, and they change about once a year.
type certificates struct {
	mu   sync.Mutex
	keys map[string]*rsa.PublicKey // by address
}

const maxCertificates = 16

// key returns that of a certificate, which is fetched once.
func (c *certificates) key(ctx context.Context, fetch func(context.Context, string) ([]byte, error), address string) (*rsa.PublicKey, error) {
	c.mu.Lock()
	known := c.keys[address]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	raw, err := fetch(ctx, address)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, upstream.ErrSignature
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, upstream.ErrSignature
	}
	key, ok := certificate.PublicKey.(*rsa.PublicKey)
	if now := time.Now(); !ok || now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return nil, upstream.ErrSignature
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.keys) >= maxCertificates {
		clear(c.keys)
	}
	c.keys[address] = key
	return key, nil
}

// fetch gets something from SNS; from base_url where the config has one.
func (f *feedback) fetch(ctx context.Context, address string) ([]byte, error) {
	host, path := ofSNS(address)
	if host == "" {
		return nil, upstream.ErrSignature
	}
	base := "https://" + host
	if f.base != "" {
		base = f.base
	}
	a, err := f.plain.Do(ctx, &api.Request{Method: "GET", Path: path, Base: base})
	if err != nil {
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	if a.Status != 200 {
		return nil, &upstream.Error{Class: upstream.Temporary, Status: a.Status, Err: fmt.Errorf("SNS answers %d", a.Status)}
	}
	return a.Body, nil
}

// verify reports whether SNS has signed a message of this topic.
func (f *feedback) verify(ctx context.Context, e *envelope) error {
	if topic := f.listener.Secret(); topic == "" || e.TopicArn != topic { // anyone's topic is signed by SNS
		return upstream.ErrSignature
	}
	host, path := ofSNS(e.SigningCertURL)
	signature, err := base64.StdEncoding.DecodeString(e.Signature)
	at, timeErr := time.Parse(time.RFC3339, e.Timestamp)
	if host == "" || !certificatePath.MatchString(path) || err != nil || timeErr != nil || !events.IsFresh(fmt.Sprint(at.Unix()), time.Now(), events.WholeDay) {
		return upstream.ErrSignature
	}
	key, err := f.certificates.key(ctx, f.fetch, e.SigningCertURL)
	if err != nil {
		return err
	}
	switch e.SignatureVersion {
	case "1":
		sum := sha1.Sum(e.text())
		err = rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature)
	case "2":
		sum := sha256.Sum256(e.text())
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
	default:
		return upstream.ErrSignature
	}
	if err != nil {
		return upstream.ErrSignature
	}
	return nil
}

// Receive reads a message of the topic. One that asks whether the topic may send is answered with yes: it is the topic
// that the config names.
func (f *feedback) Receive(ctx context.Context, _ http.Header, body []byte) (upstream.Batch, error) {
	var e envelope
	if json.Unmarshal(body, &e) != nil {
		return upstream.Batch{}, upstream.ErrSignature
	}
	if err := f.verify(ctx, &e); err != nil {
		return upstream.Batch{}, err
	}
	page := events.NewPage(time.Now())
	switch e.Type {
	case "Notification":
		if !readNotification(page, e.Message, e.MessageID) {
			return upstream.Batch{}, upstream.ErrEvents
		}
	case "SubscriptionConfirmation":
		if _, err := f.fetch(ctx, e.SubscribeURL); err != nil {
			return upstream.Batch{}, err
		}
		page.Remark("the topic may send from now on: %s", e.TopicArn)
	}
	return page.Batch, nil
}
