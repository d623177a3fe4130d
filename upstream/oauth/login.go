package oauth

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"mailhatch/upstream"
)

// Login gets a token by the device flow: show is called with what the person needs, then Login waits until they
// have consented, the code has expired or ctx ends.
func (s *Source) Login(ctx context.Context, show func(upstream.LoginCode)) error {
	if s.settings.Flow != Device {
		return errors.New("only flow = \"device\" needs a login; the others prove themselves")
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.client)
	config := s.settings.config(s.purpose)
	code, err := config.DeviceAuth(ctx)
	if err != nil {
		return s.explain(err)
	}
	show(upstream.LoginCode{URL: code.VerificationURI, Code: code.UserCode, Expiry: code.Expiry})
	granted, err := config.DeviceAccessToken(ctx, code)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return s.explain(err)
	case granted.RefreshToken == "":
		return &upstream.Error{Class: upstream.Account, Err: errors.New("the provider granted no refresh token: the login would last an hour; the scope offline_access asks for one")}
	}
	return s.replace(ctx, granted)
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
	return s.keep(granted, &token{})
}

// NeedsLogin reports that tokens come from a person's login, and there is none.
func (s *Source) NeedsLogin() bool { return s.settings.Flow == Device && s.get().Refresh == "" }
