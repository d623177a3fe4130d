package gateway

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest/fleettest"
	"mailhatch/upstream/upstreamtest"
)

// inFleet is a store that shares what a fleet shares, and its mail with nobody.
type inFleet struct {
	queue.Engine
	fleet queue.Fleet
}

func (e inFleet) Fleet() queue.Fleet { return e.fleet }

// TestFleet: an upstream that one gateway finds broken is closed for the other, and each sees both.
func TestFleet(t *testing.T) {
	town := fleettest.NewMemory(time.Minute)
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if s.Stage == upstreamtest.SMTPMail {
			return upstreamtest.SMTPReaction{Reply: "530 5.7.0 Authentication required"}
		}
		return upstreamtest.SMTPReaction{}
	}})
	var houses []*house
	for range 2 {
		h := newHouse(t, relayConfig(relay, "tls = \"none\"\n"))
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
		name, err := gatewayName(h.cfg.StateDir)
		if err != nil {
			t.Fatal(err)
		}
		h.wrap = func(q queue.Engine) queue.Engine { return inFleet{q, town.Gateway(name)} }
		h.start()
		houses = append(houses, h)
	}
	a, b := houses[0], houses[1]
	a.mustSend("x@example.com", []string{"y@example.org"}, plainMail)
	b.await("that b hears what a has found out", func() bool {
		return slices.ContainsFunc(b.g.upstreamStatus(), func(u api.Upstream) bool { return u.State == "closed" && u.Reason == "account" })
	})
	b.await("both gateways", func() bool {
		own, all, err := b.g.gateways(t.Context())
		return err == nil && own != "" && len(all) == 2 && all[0].Alive && slices.Equal(all[0].Lanes, []string{"main"}) && all[0].Version == "test"
	})
	names := []string{a.g.fleet.Name(), b.g.fleet.Name()}
	list, err := a.g.queue.List(t.Context(), queue.Filter{}, queue.Page{})
	if err != nil || len(list) != 1 || list[0].Envelope.Gateway != names[0] || list[0].Parts[0].Progress.Gateway != names[0] {
		t.Errorf("who took and who offered it: %+v, %v", list, err)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	if _, all, err := a.g.gateways(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("b has left, and there is %+v, %v", all, err)
	}
}

// TestGatewayName: it stays, and a file that a power cut has emptied does not give two gateways the same one.
func TestGatewayName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	name, err := gatewayName(dir)
	if again, _ := gatewayName(dir); err != nil || name != again {
		t.Errorf("%q, then %q, %v", name, again, err)
	}
	path := filepath.Join(dir, instanceFile)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	name, err = gatewayName(dir)
	if again, _ := gatewayName(dir); err != nil || strings.HasSuffix(name, "-") || name != again {
		t.Errorf("of an empty file: %q, then %q, %v", name, again, err)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if name, err := gatewayName(dir); err == nil {
		t.Errorf("of what cannot be read: %q", name)
	}
}
