package gateway

import (
	"errors"
	"fmt"
	"net"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/journal"
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
	})
}

// pageURL is where browsers find the page, or why they do not.
func (g *Gateway) pageURL() (string, error) {
	address := g.current.Load().Admin.Address
	if address == "off" {
		return "", errors.New(`there is no page: [admin] has address = "off"`)
	}
	for _, addr := range g.endpoints.Named("admin") {
		if tcp, ok := addr.(*net.TCPAddr); ok {
			return "http://" + tcp.String(), nil
		}
	}
	return "", fmt.Errorf("there is no page: %s, the address of [admin], could not be opened; another program may have it", address)
}

// PageLink makes a link that opens the page once, for the account named by. The page must be served: see Run.
func (g *Gateway) PageLink(by string) (*admin.Link, error) { return g.admin.Link(by) }
