package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"mailhatch/upstream"
)

// Login gets a token by the device flow: show is called with what the person needs, then Login waits until they
// have consented or refused, the code has expired or ctx ends. The token at hand is used and renewed meanwhile.
func (s *Source) Login(ctx context.Context, show func(upstream.LoginCode)) error {
	if s.settings.Flow != Device {
		return fmt.Errorf("flow = %q needs no login: only \"device\" does", s.settings.Flow)
	}
	if err := s.store.check(ctx); err != nil { // before anybody takes the trouble
		return fmt.Errorf("the token could not be stored: %w", err)
	}
	asking := context.WithValue(ctx, oauth2.HTTPClient, s.client)
	config := s.settings.config(s.purpose)
	code, err := config.DeviceAuth(asking)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return s.explain(err)
	}
	show(upstream.LoginCode{URL: code.VerificationURI, Code: code.UserCode, Expiry: code.Expiry})
	granted, err := config.DeviceAccessToken(asking, code)
	for isPassing(err) && ctx.Err() == nil && time.Now().Before(code.Expiry) { // it waits before it asks
		granted, err = config.DeviceAccessToken(asking, code)
	}
	var refused *oauth2.RetrieveError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &refused) && refused.ErrorCode == "expired_token":
		return errors.New("nobody consented in time: the code has expired")
	case refused != nil && (refused.ErrorCode == "access_denied" || refused.ErrorCode == "authorization_declined"):
		return errors.New("the person refused")
	case err != nil:
		return s.explain(err)
	case granted.RefreshToken == "":
		return &upstream.Error{Class: upstream.Account, Err: errors.New("the provider granted no refresh token: the login would last an hour; the scope offline_access asks for one")}
	}
	if err := check(granted); err != nil {
		return s.explain(err)
	}
	return s.replace(ctx, granted)
}

// isPassing reports whether the endpoint was away when it was asked for the consent (RFC 8628 3.5).
func isPassing(err error) bool {
	var network *url.Error
	var answer *oauth2.RetrieveError
	return errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &answer) && answer.Response.StatusCode >= http.StatusInternalServerError
}

// replace keeps a token that was got beside the one in use, which may be renewed meanwhile.
func (s *Source) replace(ctx context.Context, granted *oauth2.Token) error {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	err = errReplaced
	for range 3 { // nobody else renews it, unless the lock has ended by time
		if errors.Is(err, errReplaced) {
			err = s.keep(ctx, granted, &token{version: s.load(ctx).version})
		}
	}
	return err
}

// NeedsLogin reports that tokens come from a person's login, and there is none.
func (s *Source) NeedsLogin() bool {
	ctx, cancel := context.WithTimeout(context.Background(), glance)
	defer cancel()
	return s.settings.Flow == Device && s.get(ctx).Refresh == "" && s.cannotRead() == nil
}
