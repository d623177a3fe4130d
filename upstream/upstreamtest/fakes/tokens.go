package fakes

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tokens is a fake of Microsoft's and Google's token endpoints (RFC 6749, 7523, 8628). It refuses what they refuse and
// counts what it is asked.
type Tokens struct {
	URL string // of the endpoint; the device endpoint is URL + "/device"

	http *httptest.Server

	mu       sync.Mutex
	Settings TokenSettings // may be changed by Set
	issued   map[string]time.Time
	refresh  string // the newest; each use makes another
	spent    string // the one that it was given for, which is good until the newest is used
	serial   int
	requests int
	grants   []time.Time
	refusals int
	codes    map[string]bool // device codes, and whether a person has consented
}

// TokenSettings is what a fake endpoint expects and does.
type TokenSettings struct {
	ClientID, Secret string
	Key              *rsa.PublicKey // of client assertions and of a service account
	Scope            string
	Subject          string // of service accounts
	Life             time.Duration
	Status           int    // answer so, with Body
	Body             string // an error of RFC 6749 5.2
	Drop             bool   // break the connection
	Granted          func() // called with a token on its way
}

// NewTokens starts a fake endpoint.
func NewTokens(s TokenSettings) *Tokens {
	t := &Tokens{Settings: s, issued: map[string]time.Time{}, codes: map[string]bool{}}
	t.http = httptest.NewServer(t)
	t.URL = t.http.URL + "/token"
	return t
}

// Close ends the fake.
func (t *Tokens) Close() { t.http.CloseClientConnections(); t.http.Close() }

// Set changes what the fake expects and does.
func (t *Tokens) Set(change func(*TokenSettings)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.Settings)
}

// Requests counts requests for tokens.
func (t *Tokens) Requests() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests
}

// Grants returns when tokens were issued.
func (t *Tokens) Grants() []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.grants)
}

// Refusals counts requests for tokens that were wrong; that a person has not consented yet is not.
func (t *Tokens) Refusals() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refusals
}

// IsValid reports whether an access token is one of ours that has not expired.
func (t *Tokens) IsValid(access string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok := t.issued[access]
	return ok && time.Now().Before(end)
}

// Revoke makes all access tokens invalid.
func (t *Tokens) Revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.issued)
}

// Codes counts the device codes that were shown.
func (t *Tokens) Codes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.codes)
}

// Consent is the person's: all codes shown so far are accepted.
func (t *Tokens) Consent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for code := range t.codes {
		t.codes[code] = true
	}
}

// ServeHTTP answers one request.
func (t *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	s := t.Settings
	t.mu.Unlock()
	if s.Drop {
		panic(http.ErrAbortHandler)
	}
	_ = r.ParseForm() // an empty form is refused below
	answer, status := t.answer(r, s)
	if status == 0 && s.Granted != nil {
		s.Granted()
	}
	w.Header().Set("Content-Type", "application/json")
	if status != 0 {
		w.WriteHeader(status)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

type fault map[string]string

func refuse(code, format string, args ...any) (any, int) {
	return fault{"error": code, "error_description": fmt.Sprintf(format, args...)}, http.StatusBadRequest
}

func (t *Tokens) answer(r *http.Request, s TokenSettings) (answer any, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() {
		if f, ok := answer.(fault); ok && f["error"] != "authorization_pending" {
			t.refusals++
		}
	}()
	device := strings.HasSuffix(r.URL.Path, "/device")
	if !device {
		t.requests++
	}
	if s.Status != 0 {
		var body any = s.Body
		if json.Valid([]byte(s.Body)) {
			body = json.RawMessage(s.Body)
		}
		return body, s.Status
	}
	if ct := r.Header.Get("Content-Type"); r.Method != http.MethodPost || ct != "application/x-www-form-urlencoded" {
		return refuse("invalid_request", "the request is no form")
	}
	grant := r.PostForm.Get("grant_type")
	if grant != "urn:ietf:params:oauth:grant-type:jwt-bearer" && r.PostForm.Get("client_id") != s.ClientID {
		return refuse("unauthorized_client", "AADSTS700016: the application %q was not found", r.PostForm.Get("client_id"))
	}
	if device {
		t.serial++
		code := fmt.Sprint("device-", t.serial)
		t.codes[code] = false
		return map[string]any{"device_code": code, "user_code": "ABCD-EFGH", "verification_uri": "https://login.example/device", "expires_in": 900, "interval": 1}, 0
	}
	switch grant {
	case "client_credentials":
		return t.clientCredentials(r, s)
	case "refresh_token":
		return t.renew(r.PostForm.Get("refresh_token"), s)
	case "urn:ietf:params:oauth:grant-type:device_code":
		consented, known := t.codes[r.PostForm.Get("device_code")]
		switch {
		case !known:
			return refuse("invalid_grant", "there is no such code")
		case !consented:
			return refuse("authorization_pending", "the person has not consented yet")
		}
		return t.grant(s, true)
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		return t.serviceAccount(r, s)
	}
	return refuse("unsupported_grant_type", "%q", grant)
}

func (t *Tokens) clientCredentials(r *http.Request, s TokenSettings) (any, int) {
	if r.PostForm.Get("scope") != s.Scope {
		return refuse("invalid_scope", "AADSTS1002012: the scope %q is not valid", r.PostForm.Get("scope"))
	}
	if s.Key == nil {
		if r.PostForm.Get("client_secret") != s.Secret {
			return fault{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided: " + r.PostForm.Get("client_secret")}, 401
		}
		return t.grant(s, false)
	}
	claims, err := checkJWT(r.PostForm.Get("client_assertion"), s.Key, "PS256")
	if err != nil || r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return fault{"error": "invalid_client", "error_description": fmt.Sprint("AADSTS700027: the assertion: ", err)}, 401
	}
	if claims["iss"] != s.ClientID || claims["sub"] != s.ClientID || claims["aud"] != t.URL {
		return refuse("invalid_client", "the claims are %v", claims)
	}
	return t.grant(s, false)
}

func (t *Tokens) serviceAccount(r *http.Request, s TokenSettings) (any, int) {
	claims, err := checkJWT(r.PostForm.Get("assertion"), s.Key, "RS256")
	switch {
	case err != nil:
		return refuse("invalid_grant", "Invalid JWT: %v", err)
	case claims["aud"] != t.URL || claims["iss"] != s.ClientID:
		return refuse("invalid_grant", "the claims are %v", claims)
	case claims["sub"] != s.Subject:
		return refuse("invalid_grant", "Not a valid email or user ID.")
	case claims["scope"] != s.Scope:
		return refuse("unauthorized_client", "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.")
	}
	return t.grant(s, false)
}

// renew is the grant of RFC 6749 6. A refresh token whose successor was never used is good still: its answer may have
// been lost. One that is older is a thief's, or its owner does not store what they are given.
func (t *Tokens) renew(refresh string, s TokenSettings) (any, int) {
	switch {
	case refresh == "" || refresh != t.refresh && refresh != t.spent:
		return refuse("invalid_grant", "AADSTS70008: the refresh token was used, or has expired")
	case refresh == t.refresh:
		t.spent = refresh
	}
	return t.grant(s, true)
}

// grant issues a token, and with refresh another refresh token.
func (t *Tokens) grant(s TokenSettings, refresh bool) (any, int) {
	t.serial++
	access := fmt.Sprintf("access-token-%06d", t.serial)
	t.issued[access] = time.Now().Add(s.Life)
	t.grants = append(t.grants, time.Now())
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(s.Life / time.Second)}
	if refresh {
		t.refresh = fmt.Sprintf("refresh-token-%06d", t.serial)
		answer["refresh_token"] = t.refresh
	}
	return answer, 0
}

// checkJWT returns the claims of a token that the key signed and that is good now.
func checkJWT(jwt string, key *rsa.PublicKey, alg string) (map[string]any, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%d parts", len(parts))
	}
	var head, claims map[string]any
	for i, into := range []*map[string]any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, err
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if head["alg"] != alg {
		return nil, fmt.Errorf("alg is %v", head["alg"])
	}
	if alg == "PS256" {
		err = rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, nil)
	} else {
		err = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
	}
	if err != nil {
		return nil, err
	}
	if exp, ok := claims["exp"].(float64); !ok || time.Now().After(time.Unix(int64(exp), 0)) || time.Until(time.Unix(int64(exp), 0)) > time.Hour+time.Minute {
		return nil, fmt.Errorf("exp is %v", claims["exp"])
	}
	return claims, nil
}
