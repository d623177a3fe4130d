package gateway

import (
	"cmp"
	"log/slog"
)

// tellStarted writes what whoever reads the log from here on must know: what runs, by which config, where.
func (g *Gateway) tellStarted() {
	cfg := g.current.Load()
	var listeners []string
	for _, addr := range g.Addrs() {
		listeners = append(listeners, addr.String())
	}
	attrs := []any{"version", g.opts.Version, "config", cmp.Or(cfg.File, "built in"), "state_dir", cfg.StateDir, "listeners", listeners}
	page, err := g.pageURL()
	if err != nil {
		page = "off"
	}
	attrs = append(attrs, "admin", page)
	if waiting := g.endpoints.Waiting(); len(waiting) > 0 {
		attrs = append(attrs, slog.Any("waiting", waiting))
	}
	g.opts.Log.Info("started", attrs...)
}
