package smtp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/smtp/preset"
)

// withPreset returns the settings with the values of the preset where the config has none.
func (s *settings) withPreset() (*settings, error) {
	filled := *s
	if s.Preset == "" {
		if s.Region != "" {
			return nil, &upstream.KeyError{Key: "region", Problem: "belongs to a preset", Hint: `remove it, or add preset = "amazon-ses"`}
		}
		return &filled, nil
	}
	p, ok := preset.Find(s.Preset)
	if !ok {
		names := preset.Names()
		err := upstream.OneOf("preset", s.Preset, names...)
		if ke, is := errors.AsType[*upstream.KeyError](err); is {
			ke.Hint = preset.Meant(s.Preset)
		}
		return nil, err
	}
	if err := checkRegion(p, s.Region, s.Host); err != nil {
		return nil, err
	}
	filled.Host = cmp.Or(s.Host, p.HostIn(s.Region))
	filled.TLS = cmp.Or(s.TLS, p.TLS)
	if s.TLS == "" && s.Port != p.Port && (s.Port == submissionsPort || p.Port == submissionsPort && s.Port == submissionPort) {
		filled.TLS = defaultTLS(s.Port) // the mode of another port is another
	}
	if s.TLS == "" || s.TLS == p.TLS { // the port of another mode is another
		filled.Port = cmp.Or(s.Port, p.Port)
	}
	if !s.Password.IsZero() {
		filled.Username = cmp.Or(s.Username, p.Username)
	}
	if s.OAuth2 != nil { // a password logs in as it always does
		filled.Auth = cmp.Or(s.Auth, p.Auth)
		login := *s.OAuth2
		login.Provider = cmp.Or(login.Provider, p.OAuth2)
		filled.OAuth2 = &login
	}
	return &filled, nil
}

// checkRegion holds region against those that the service has.
func checkRegion(p preset.Preset, region, host string) error {
	switch {
	case p.Regions == nil && region != "":
		return &upstream.KeyError{Key: "region", Problem: fmt.Sprintf("does not belong to preset = %q, which has none", p.Name), Hint: "remove it"}
	case p.Regions == nil || host != "":
		return nil
	case region == "":
		return &upstream.KeyError{Key: "region", Problem: "is missing", Hint: "the one in which " + p.Service + " is set up, such as " + p.Regions[0]}
	}
	if strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return &upstream.KeyError{Key: "region", Problem: fmt.Sprintf("must be a region, not %q", region), Value: region, Allowed: p.Regions}
	}
	return nil // one that is newer than our list is the service's to know
}

// Limits returns those of the preset.
func (s *settings) Limits() upstream.Limits {
	p, _ := preset.Find(s.Preset)
	return upstream.Limits{Rate: p.Rate, Concurrent: p.Concurrent, Recipients: p.Recipients}
}

// Advice tells which keys beside a preset win over it, and what speaks against the flow of oauth2.
func (s *settings) Advice() (list []upstream.KeyError) {
	if s.OAuth2 != nil {
		list = s.OAuth2.Advice()
	}
	p, ok := preset.Find(s.Preset)
	if !ok {
		return list
	}
	if p.ByToken() && s.OAuth2 == nil && !s.Password.IsZero() {
		list = append(list, upstream.KeyError{Key: "password", Problem: fmt.Sprintf("logs in at %s no longer, or not for long; [upstream.NAME.oauth2] does: doc/oauth2.md", p.Service)})
	}
	wins := func(key, value, its string) {
		if value != "" && its != "" && value != its {
			list = append(list, upstream.KeyError{Key: key, Problem: fmt.Sprintf("%q is used in place of %q of preset %s", value, its, p.Name)})
		}
	}
	wins("host", s.Host, p.HostIn(s.Region))
	wins("tls", s.TLS, p.TLS)
	wins("auth", s.Auth, p.Auth)
	wins("username", s.Username, p.Username)
	if s.Port != 0 && s.Port != p.Port {
		list = append(list, upstream.KeyError{Key: "port", Problem: fmt.Sprintf("%d is used in place of %d of preset %s", s.Port, p.Port, p.Name)})
	}
	return list
}

// questions are those of `mailhatch init`: a preset leaves few.
func questions() []upstream.Question {
	named := func(known map[string]string) preset.Preset {
		p, _ := preset.Find(known["preset"])
		return p
	}
	isNamed := func(known map[string]string) bool { return known["preset"] != "" }
	byToken := func(known map[string]string) bool { return named(known).ByToken() }
	byPassword := func(known map[string]string) bool { return !byToken(known) }
	return []upstream.Question{
		{Key: "preset", Text: "Service (`mailhatch presets` lists them; empty: a relay by its name)", Optional: true, Flag: "preset", Usage: "`name` of a service that mailhatch presets lists"},
		{Key: "region", Text: "Region of the service", Flag: "region", Usage: "`region` of the provider's API",
			Skip: func(known map[string]string) bool { return named(known).Regions == nil }},
		{Key: "host", Text: "Name of the relay", Flag: "relay-host", Usage: "`name` of the SMTP relay, or name:port", Skip: isNamed, Split: splitHost},
		{Key: "tls", Text: "TLS?", Words: tlsModes(), Optional: true, Flag: "relay-tls", Usage: "its TLS `mode`", Skip: isNamed},
		{Key: "port", Text: "Port", Number: true, Optional: true, Flag: "relay-port", Usage: "its `port` (default: by --relay-tls)", Skip: isNamed,
			Default: func(known map[string]string) string { return strconv.Itoa(defaultPort(known["tls"])) }},
		{Key: "username", Text: "User name (empty: no login)", Optional: true, Flag: "relay-user", Usage: "user `name` at the relay",
			Skip: func(known map[string]string) bool { return named(known).Username != "" }},
		{Key: "password", Text: "Password (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "relay-password",
			Skip: func(known map[string]string) bool {
				return known["username"] == "" && named(known).Username == "" || byToken(known)
			},
			Default: func(map[string]string) string { return "env:SMTP_PASSWORD" }},
		{Key: "oauth2.tenant", Text: "Tenant: the directory's id or domain, as the Entra admin center shows it", Flag: "tenant", Usage: "`id` of the Entra directory", Skip: byPassword},
		{Key: "oauth2.client_id", Text: "Client id of the registered application", Flag: "client-id", Usage: "`id` of the registered application", Skip: byPassword},
		{Key: "oauth2.client_secret", Text: "Client secret (not shown), or where it is kept: env:NAME, file:/path", Secret: true, Flag: "client-secret", Skip: byPassword,
			Default: func(map[string]string) string { return "env:ENTRA_SECRET" }},
	}
}

// splitHost takes a relay apart as people write it: relay.example.com:587, smtps://relay.example.com.
func splitHost(answer string) map[string]string {
	scheme, rest, isURL := strings.Cut(answer, "://")
	if !isURL {
		scheme, rest = "", answer
	}
	found := map[string]string{"host": strings.Trim(rest, "/")}
	if host, port, err := net.SplitHostPort(found["host"]); err == nil {
		found["host"], found["port"] = host, port
	}
	switch {
	case scheme == "smtps" || scheme == "submissions" || scheme == "" && found["port"] == "465": // RFC 8314
		found["tls"] = tlsImplicit
	case isURL && scheme != "smtp" && scheme != "submission":
		return map[string]string{"host": answer} // it is refused
	}
	return found
}
