package ses

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// signer signs requests by SigV4, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
type signer struct {
	provider aws.CredentialsProvider
	service  string
	region   string
	now      func() time.Time

	mu   sync.Mutex
	last aws.Credentials // that signed a request
}

// signer finds the credentials: the keys of the config, else the profile, else the usual chain of environment, shared
// config, web identity, ECS and IMDSv2. No network traffic: they are asked for with the first request.
func (s *settings) signer() (*signer, string, error) {
	out := &signer{service: "ses", region: s.Region, now: time.Now}
	switch {
	case s.AccessKeyID != "" && s.SecretAccessKey.IsZero():
		return out, s.Region, &upstream.KeyError{Key: "secret_access_key", Problem: "is missing beside access_key_id"}
	case s.AccessKeyID == "" && (!s.SecretAccessKey.IsZero() || !s.SessionToken.IsZero()):
		return out, s.Region, &upstream.KeyError{Key: "access_key_id", Problem: "is missing beside secret_access_key"}
	case s.AccessKeyID != "" && s.Profile != "":
		return out, s.Region, &upstream.KeyError{Key: "profile", Problem: "cannot be combined with access_key_id", Hint: "keep one of the two"}
	case s.AccessKeyID != "":
		out.provider = credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey.Reveal(), s.SessionToken.Reveal())
		return out, s.Region, nil
	}
	provider, region, err := chained(s.Profile, s.Region) // reads environment and files
	if err != nil {
		return out, region, &upstream.KeyError{Key: "profile", Problem: err.Error(), Hint: "look at the AWS config of the account that runs mailhatch"}
	}
	out.provider, out.region = provider, region
	return out, region, nil
}

// of returns one that signs for another service with the same credentials.
func (s *signer) of(service string) *signer {
	return &signer{provider: s.provider, service: service, region: s.region, now: s.now}
}

// Check has nothing left to say: keys were looked at when they were read.
func (s *signer) Check(string) error { return nil }

// Authorize signs the request; its body is read once for its hash.
func (s *signer) Authorize(ctx context.Context, r *http.Request, body api.Payload) *upstream.Error {
	creds, err := s.provider.Retrieve(ctx)
	if err != nil {
		e := &upstream.Error{Class: upstream.Account, Err: fmt.Errorf("no AWS credentials: %w", err)}
		if ctx.Err() != nil {
			e.Class, e.Connect = upstream.Temporary, true
		}
		return e
	}
	s.mu.Lock()
	s.last = creds
	s.mu.Unlock()
	hash := sha256.New()
	if body != nil {
		if _, err := io.Copy(hash, body.Open()); err != nil {
			return &upstream.Error{Class: upstream.Temporary, Err: err}
		}
	}
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(hash.Sum(nil)), s.service, s.region, s.now().UTC()); err != nil {
		return &upstream.Error{Class: upstream.Account, Err: err}
	}
	return nil
}

// Fields shows what kind of signature there is.
func (s *signer) Fields() []string {
	return []string{"Authorization", "AWS4-HMAC-SHA256 " + upstream.Redacted}
}

// Secrets returns those that signed last.
func (s *signer) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []string{s.last.SecretAccessKey, s.last.SessionToken}
}
