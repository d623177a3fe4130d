package listen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"mailhatch/gateway/config"
	"mailhatch/gateway/systemd"
)

// unclaimed are endpoints for the sockets that the service manager passed and that no listener of cfg wants. The manager
// holds them open: without an answer their clients would wait for a greeting until they give up.
func (s *SMTP) unclaimed(cfg *config.Config) []Endpoint {
	wanted := map[string]bool{}
	for i := range cfg.Listeners {
		if network, name := cfg.Listeners[i].Network(); network == "fd" {
			wanted[name] = true
		}
	}
	names := slices.DeleteFunc(systemd.Passed(), func(name string) bool { return wanted[name] })
	list := make([]Endpoint, len(names))
	for i, name := range names {
		answer := refuser{cfg.Hostname, s.Log.With("socket", name)}
		list[i] = Endpoint{Name: "unclaimed socket", Address: "fd:" + name, Settings: cfg.Hostname, Optional: true,
			Server: func() (Server, error) { return answer, nil },
			Bind: func() ([]net.Listener, error) {
				s.Log.Warn(`systemd passes a socket that no listener uses; its clients get 421; `+
					`add a [[listener]] with address = "fd:`+name+`", or stop and disable the socket unit`, "socket", name)
				return systemd.Listeners(name)
			}}
	}
	return list
}

// refuser turns away the clients of a socket.
type refuser struct {
	hostname string
	log      *slog.Logger
}

// refusalTime is how long a client may take to read why.
const refusalTime = 5 * time.Second

// Serve answers 421 (RFC 5321, 3.8) until ctx ends.
func (r refuser) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // no mail comes this way: others go on
			r.log.Warn("a socket that no listener uses has failed", "error", err)
			return nil
		}
		_ = c.SetDeadline(time.Now().Add(refusalTime))
		_, _ = io.WriteString(c, "421 4.3.2 "+r.hostname+" No listener is configured for this socket\r\n")
		_ = c.Close()
	}
}
