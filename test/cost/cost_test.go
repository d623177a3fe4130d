package cost

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
	"mailhatch/mime/mimetest"
	"mailhatch/mime/view"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
)

func recipients(n int) []envelope.Recipient {
	to := make([]envelope.Recipient, n)
	for i := range to {
		to[i].Address = fmt.Sprintf("ann%d@example%d.org", i, i%7)
	}
	return to
}

// work is one thing that is done with a message.
type work struct {
	name string
	do   func(tb testing.TB, to []envelope.Recipient, src mime.Source)
}

// works are the door, and an attempt and a rendering at each kind.
func (r *rig) works(ctx context.Context) []work {
	all := []work{{"acceptance", func(_ testing.TB, to []envelope.Recipient, src mime.Source) { r.accept(ctx, to, src) }}}
	for _, k := range kinds.Kinds() {
		up := r.cfg.Upstream(k.Name).Upstream
		all = append(all, work{k.Name, func(tb testing.TB, to []envelope.Recipient, src mime.Source) { up.Send(ctx, mail(tb, to, src)) }})
		if rendering, ok := up.(upstream.Renderer); ok {
			all = append(all, work{k.Name + ", rendered", func(tb testing.TB, to []envelope.Recipient, src mime.Source) {
				_ = rendering.Render(mail(tb, to, src), io.Discard) // what it refuses costs no less
			}})
		}
	}
	return all
}

// TestHostileMessages: no message costs more than in proportion to its size, at the door and at each kind.
func TestHostileMessages(t *testing.T) {
	const (
		size = 80 << 10               // texts of more than 64 KiB are streams
		most = 100 * time.Millisecond // of twice that, so that a header of 1 MB costs less than a second
	)
	skipRace(t)
	r := newRig(t)
	to := recipients(2)
	small, large := mimetest.Hostile(size), mimetest.Hostile(2*size)
	for _, w := range r.works(t.Context()) {
		most := most
		if w.name == "acceptance" {
			most *= 3 // the route names every kind, and each looks at the message
		}
		var spent time.Duration
		for _, name := range slices.Sorted(maps.Keys(small)) {
			took := mimetest.CheckLinear(t, w.name+", "+name, size, func(n int) func() {
				raw := small[name]
				if n > size {
					raw = large[name]
				}
				src := mime.NewBytesSource([]byte(raw))
				return func() { w.do(t, to, src) }
			})
			if took > most {
				t.Errorf("%s, %s: %v for %d bytes", w.name, name, took, len(large[name]))
			}
			spent += took
		}
		t.Logf("%s: %v", w.name, spent)
	}
}

// TestLargeBodies: no body below max_message costs a second at the door or at an attempt.
func TestLargeBodies(t *testing.T) {
	skipRace(t)
	const (
		share = 4 // of max_message is tried: beyond view.Together all is in proportion
		slack = 3 // for slow machines
	)
	r := newRig(t)
	for _, tt := range []struct {
		size int
		most time.Duration
	}{
		{40 << 20 / share, slack * time.Second / share},
		{view.Together, slack * time.Second},
	} {
		bodies := mimetest.HostileBodies(tt.size)
		for _, name := range slices.Sorted(maps.Keys(bodies)) {
			src := mime.NewBytesSource([]byte(bodies[name]))
			for _, w := range r.works(t.Context()) {
				most := tt.most
				switch w.name {
				case "acceptance":
					most *= 2 // the route names every kind, and each looks at the message
				case "resend", "sendgrid", "mailgun", "smtp":
				default: // they do nothing else with bodies
					continue
				}
				took := mimetest.CPU(func() { w.do(t, recipients(2), src) })
				for tries := 0; took > most && tries < 3; tries++ {
					took = min(took, mimetest.CPU(func() { w.do(t, recipients(2), src) }))
				}
				if took > most {
					t.Errorf("%s, %s: %v for %d bytes", w.name, name, took, tt.size)
				}
			}
		}
	}
}

// skipRace leaves out what is measured where the race detector would be measured: make test runs it again without.
func skipRace(t *testing.T) {
	t.Helper()
	if raceEnabled || testing.CoverMode() != "" {
		t.Skip("neither the race detector nor counting of statements is a judge of time")
	}
}

// crowds are recipients that are alike in different ways.
var crowds = map[string]func(i int) string{
	"one domain":      func(i int) string { return fmt.Sprintf("ann%d@example.org", i) },
	"many domains":    func(i int) string { return fmt.Sprintf("ann@example%d.org", i) },
	"long domains":    func(i int) string { return fmt.Sprintf("ann@%s%d.org", strings.Repeat("example.", 20), i) },
	"redirected":      func(i int) string { return fmt.Sprintf("ann%d3@example.org", i) },
	"aliases":         func(int) string { return "root" },
	"beyond ASCII":    func(i int) string { return fmt.Sprintf("ann\u00e9%d@example.org", i) },
	"no addresses":    func(i int) string { return fmt.Sprintf("ann%d@", i) },
	"quoted":          func(i int) string { return fmt.Sprintf("\"ann %d\"@example.org", i) },
	"case and number": func(i int) string { return fmt.Sprintf("%s%d@example.org", []string{"ann", "ANN"}[i%2], i/2) },
}

// TestHostileRecipients: what many recipients cost is in proportion to their number, and to the size of the
// message once.
func TestHostileRecipients(t *testing.T) {
	skipRace(t)
	const atDoor, atKind = 500, 60 // of some kinds, many recipients are many calls
	r := newRig(t)
	shown := make([]string, 5000)
	for i := range shown {
		shown[i] = fmt.Sprintf("bob%d@example.org", i)
	}
	list := strings.Join(shown, ",\r\n ")
	raw := "From: a@x.example\r\nTo: " + list + "\r\nCc: " + list + "\r\nX-A: " + strings.Repeat("=?utf-8?q?a?= ", 5000) +
		"\r\nSubject: x\r\nX-Mailgun-Tag: x\r\n\r\n" + "Hello, world!\r\n"
	src := mime.NewBytesSource([]byte(raw))
	for _, w := range r.works(t.Context()) {
		number := atKind
		if w.name == "acceptance" {
			number = atDoor
		}
		for name, address := range crowds {
			took := mimetest.CheckLinear(t, w.name+", "+name, number, func(n int) func() {
				to := make([]envelope.Recipient, n)
				for i := range to {
					to[i].Address = address(i)
				}
				return func() { w.do(t, to, src) }
			})
			if took > time.Second {
				t.Errorf("%s, %s: %v for %d recipients", w.name, name, took, 2*number)
			}
		}
	}
}
