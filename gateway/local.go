package gateway

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	"mailhatch/gateway/admin/mailq"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/listen"
	"mailhatch/gateway/maildrop"
)

const (
	pickUpEvery = 2 * time.Second  // how often the maildrop is looked at
	pickUpPause = 30 * time.Second // after a failure
)

// pickUp accepts the mail that local programs left in the maildrop while the gateway was down.
func (g *Gateway) pickUp(ctx context.Context) error {
	box, err := maildrop.Open(g.current.Load().StateDir)
	if err != nil {
		if !errors.Is(err, maildrop.ErrUnsupported) {
			g.journal.InternalError("maildrop", err)
		}
		return nil
	}
	report := func(err error) { g.journal.InternalError("maildrop", err) }
	for {
		wait := pickUpEvery
		l := g.current.Load().SubmitListener()
		limits := maildrop.Limits{Size: int64(l.MaxMessage), Recipients: l.MaxRecipients}
		if err := box.Each(ctx, limits, func(d *maildrop.Drop) error { return g.accept.Drop(ctx, d) }, report); err != nil {
			report(err)
			wait = pickUpPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// maildrop looks at what waits in the maildrop; on systems that have none nothing does.
func (g *Gateway) maildrop(most int) (*maildrop.Waiting, error) {
	return maildrop.Look(g.current.Load().StateDir, most)
}

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
