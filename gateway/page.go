package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/listen"
	"mailhatch/upstream"
)

// accessControl decides who may see mail at the address of [admin].
func (g *Gateway) accessControl() *access.Control {
	return access.New(access.Config{
		Token: func() upstream.Secret { return g.current.Load().Admin.Token },
		Guessed: func(client string) {
			g.journal.Rejected(journal.Rejected{Stage: "admin-token", Reason: "a wrong token for [admin]", Client: client, Listener: "admin"})
		},
		Opened: g.journal.PageOpened,
		Stolen: func(client string) {
			g.journal.Rejected(journal.Rejected{Stage: "admin-cookie", Reason: "the cookie of another account's session", Client: client, Listener: "admin"})
		},
	})
}

// adminSettings is what the server at the address of [admin] takes from the config.
type adminSettings struct {
	encryption config.Encryption
	allow      []config.Network
	hostname   string // of self_signed
}

// adminDoor is what answers at the address of [admin].
func (g *Gateway) adminDoor(cfg *config.Config) (listen.Server, error) {
	allow := cfg.Admin.Allow
	door := admin.Door{Admits: func(client netip.Addr) bool { return config.Contain(allow, client) }}
	if cfg.Admin.TLS != "none" {
		var err error
		if door.TLS, err = listen.TLS(cfg, &cfg.Admin.Encryption, g.opts.Log); err != nil {
			return nil, err
		}
	}
	return g.admin.At(door), nil
}

// pageURL is where browsers find the page, or why they do not.
func (g *Gateway) pageURL() (string, error) {
	cfg := g.current.Load()
	if cfg.Admin.Address == "off" {
		return "", errors.New(`there is no page: [admin] has address = "off"`)
	}
	for _, addr := range g.endpoints.Named("admin") {
		tcp, ok := addr.(*net.TCPAddr)
		switch {
		case !ok:
		case cfg.Admin.TLS == "none":
			return "http://" + tcp.String(), nil
		default:
			host, _, _ := net.SplitHostPort(cfg.Admin.Address)
			if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
				host = cfg.Hostname
			}
			return "https://" + net.JoinHostPort(host, fmt.Sprint(tcp.Port)), nil
		}
	}
	return "", fmt.Errorf("there is no page: %s, the address of [admin], could not be opened; another program may have it", cfg.Admin.Address)
}

// PageLink makes a link that opens the page once, for the account named by. The page must be served: see Run.
func (g *Gateway) PageLink(by string) (*api.Link, error) { return g.admin.Link(by) }
