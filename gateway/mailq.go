package gateway

import (
	"net"
	"os"
	"path/filepath"

	"mailhatch/gateway/admin/mailq"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/listen"
)

// mailqServer answers accounts of this machine.
func (g *Gateway) mailqServer() *mailq.Server {
	return mailq.New(mailq.Config{Queue: g.queue, Why: g.waiting, Maildrop: g.maildrop, Counts: g.mayCount,
		Hostname: func() string { return g.current.Load().Hostname }, Log: g.opts.Log})
}

// mailqEndpoint is the socket where accounts ask for their own mail.
func (g *Gateway) mailqEndpoint(cfg *config.Config) listen.Endpoint {
	return listen.Endpoint{Name: "mailq", Address: mailq.SocketName, Optional: true,
		Server: func() (listen.Server, error) { return g.mailq, nil },
		Bind: func() ([]net.Listener, error) {
			l, err := listen.ForAll(filepath.Join(cfg.RunDir, mailq.SocketName))
			if err != nil {
				return nil, err
			}
			return []net.Listener{listen.Accounts(l)}, nil
		}}
}

// mayCount reports whether an account may know how much mail there is.
func (g *Gateway) mayCount(account string) bool {
	group := g.current.Load().Admin.MonitorGroup
	if group == "" || account == envelope.Account(0) || account == envelope.Account(uint32(max(0, os.Geteuid()))) {
		return true
	}
	gid, err := config.GroupID(group)
	return err == nil && mailq.IsMember(account, gid)
}
