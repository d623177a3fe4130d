package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"mailhatch/upstream"
)

// Admin is the table [admin].
type Admin struct {
	Encryption
	Address string          `toml:"address"` // host:port, or "off"
	Token   upstream.Secret `toml:"token"`   // of programs that may see who mails whom at Address; zero: none may
	Allow   []Network       `toml:"allow"`   // who may connect to Address
	Metrics string          `toml:"metrics"` // host:port of health and metrics alone; "": none

	MonitorGroup string `toml:"monitor_group"` // whose members may count the queue by mailq; "": every account of this machine
}

// DefaultAdmin is the address of a config that names none; another program may have it.
const DefaultAdmin = "127.0.0.1:8025"

func defaultAdmin() Admin {
	return Admin{Encryption: noEncryption(), Address: DefaultAdmin, Allow: networks("127.0.0.0/8", "::1/128")}
}

// minToken is the length of a token that cannot be guessed, in bytes.
const minToken = 16

func (c *checker) admin(a *Admin) {
	if !a.Token.IsZero() && len(a.Token.Reveal()) < minToken {
		c.report("admin.token", fmt.Sprintf("is too short: any local program could guess it; %d characters are needed", minToken), "openssl rand -hex 32 makes one")
	}
	if len(a.Allow) == 0 && !c.isBad("admin.allow") {
		c.report("admin.allow", "is empty: no client could connect", `address = "off" leaves admin.sock alone`)
	}
	c.encryption("admin", &a.Encryption, "implicit")
	if a.TLSMin == "1.0" || a.TLSMin == "1.1" {
		c.report("admin.tls_min", "must be \"1.2\" or \"1.3\" here", "the older ones are for devices that send mail")
	}
	if _, err := GroupID(a.MonitorGroup); err != nil {
		c.report("admin.monitor_group", fmt.Sprintf("%q is not a group of this machine", a.MonitorGroup), "")
	}
	if a.Metrics != "" && !c.isBad("admin.metrics") {
		c.hostPort("admin.metrics", a.Metrics, `write "0.0.0.0:9025", or leave it out`)
	}
	if a.Address == "off" || c.isBad("admin.address") || !c.hostPort("admin.address", a.Address, `write "127.0.0.1:8025" or "off"`) {
		return
	}
	outside := slices.ContainsFunc(a.Allow, func(n Network) bool { return n.IsValid() && !n.Addr().IsLoopback() })
	switch missing := a.missing(); {
	case isLoopback(a.Address):
		if outside {
			c.warn("admin.allow", "names other hosts, which cannot reach %s", a.Address)
		}
	case len(missing) > 0:
		c.report("admin.address", fmt.Sprintf("%q can be reached by other hosts: that needs %s", a.Address, strings.Join(missing, " and ")),
			`set what is missing and allow = ["192.168.1.0/24"], or write "127.0.0.1:8025"; for health and metrics alone, metrics = "0.0.0.0:9025"`)
	case !outside:
		c.warn("admin.address", `can be reached by other hosts, but allow names none: only this machine may ask`)
	}
}

// missing names what an address that others can reach lacks.
func (a *Admin) missing() (keys []string) {
	if a.Token.IsZero() {
		keys = append(keys, "a token")
	}
	if a.TLS == "none" {
		keys = append(keys, `tls = "implicit" (with cert_file and key_file, or self_signed = true)`)
	}
	return keys
}

// hostPort reports what is no address to listen on.
func (c *checker) hostPort(path, address, hint string) (ok bool) {
	_, port, err := net.SplitHostPort(address)
	if _, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil {
		c.report(path, fmt.Sprintf("%q is not an address to listen on", address), hint)
		return false
	}
	return true
}

// Events is the table [events]: where providers tell by webhooks what became of mail.
type Events struct {
	Encryption
	Address string `toml:"address"` // host:port; nobody listens there unless some upstream takes webhooks
}

func defaultEvents() Events { return Events{Encryption: noEncryption(), Address: "127.0.0.1:8026"} }

// TakesWebhooks reports whether some upstream does.
func (c *Config) TakesWebhooks() bool {
	for i := range c.Upstreams {
		if f, ok := c.Upstreams[i].Upstream.(upstream.Feedback); ok && f.Listening().Webhook {
			return true
		}
	}
	return false
}

func (c *checker) events(cfg *Config) {
	e := &c.file.Events
	c.encryption("events", &e.Encryption, "implicit")
	if e.TLSMin == "1.0" || e.TLSMin == "1.1" {
		c.report("events.tls_min", "must be \"1.2\" or \"1.3\" here", "no provider needs an older one")
	}
	if !c.isBad("events.address") && c.hostPort("events.address", e.Address, `write "127.0.0.1:8026"`) && !isLoopback(e.Address) && e.TLS == "none" {
		c.warn("events.address", "can be reached by other hosts without TLS: addresses of recipients, and the passwords of providers that do not sign, are sent unencrypted")
	}
	if _, given := c.lines["events.address"]; given && e.Address != defaultEvents().Address && !cfg.TakesWebhooks() {
		c.warn("events.address", `is not used: no upstream has webhooks in its events`)
	}
	cfg.Events = *e
}
