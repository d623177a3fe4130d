package listen

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/config"
)

// deaf takes no client; mute takes them and says nothing.
type deaf struct{}

func (deaf) Serve(ctx context.Context, l net.Listener) error {
	<-ctx.Done()
	return l.Close()
}

type mute struct{}

func (mute) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		defer c.Close()
	}
}

// TestSilent: a listener whose server takes no client or does not greet it is noticed; one that answers, be it with a
// refusal, and one that would refuse this machine are not.
func TestSilent(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler), func(where string, err error) { t.Errorf("%s: %v", where, err) })
	if silent := s.Silent(t.Context()); silent != nil {
		t.Errorf("before the start: %q", silent)
	}
	own := []config.Network{network("127.0.0.0/8")}
	probed := func(name string, server Server, lc *config.Listener) Endpoint {
		e := at(name, name)
		e.Server = func() (Server, error) { return server, nil }
		e.Probe = greets(lc)
		return e
	}
	err := s.Open([]Endpoint{at("not asked", "x"), probed("works", named("220 hello"), &config.Listener{Allow: own}),
		probed("deaf", deaf{}, &config.Listener{Allow: own}), probed("mute", mute{}, &config.Listener{}),
		probed("mute with TLS", mute{}, &config.Listener{Encryption: config.Encryption{TLS: "implicit"}}),
		probed("for others", deaf{}, &config.Listener{Allow: []config.Network{network("192.0.2.0/24")}})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, started := make(chan error, 1), make(chan struct{})
	go func() { done <- s.Run(ctx, func() { close(started) }) }()
	<-started
	var silent []string
	addrs, fastest := s.Addrs(), time.Hour
	for i := 0; i < 5 && fastest >= 3*probeTime; i++ { // a busy machine gets further tries
		start := time.Now()
		silent = s.Silent(ctx)
		fastest = min(fastest, time.Since(start))
	}
	if fastest < probeTime || fastest >= 3*probeTime {
		t.Errorf("it took %v: all three are to be asked at once", fastest)
	}
	if len(silent) != 3 {
		t.Errorf("silent: %q", silent)
	}
	for i, line := range silent {
		if !strings.HasPrefix(line, "listener "+addrs[i+2].String()+" does not answer: no greeting within 2s") {
			t.Errorf("silent: %q", line)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func network(prefix string) (n config.Network) {
	_ = n.UnmarshalText([]byte(prefix))
	return n
}
