package deliver

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue"
)

// TestReleasedMailFollowsAliases: those that were written after the message was accepted.
func TestReleasedMailFollowsAliases(t *testing.T) {
	aliases, errs := identity.NewAliases(map[string][]string{
		"root": {"ops@example.org"}, "both": {`\both`, "ops@example.org"}, "null": {"/dev/null"}, "list": {":include:/none"},
	}, func(string) (io.ReadCloser, error) { return nil, fs.ErrNotExist })
	if len(errs) != 1 { // the list
		t.Fatal(errs)
	}
	id, err := identity.New("example.com", "web01", "")
	if err != nil {
		t.Fatal(err)
	}
	follow := func(to []envelope.Recipient) ([]envelope.Recipient, []identity.Ending) { return aliases.Expand(id, to) }
	released := envelope.Progress{Released: true}
	for _, c := range []struct {
		name     string
		progress envelope.Progress
		to       string
		sent     string
		ended    string
	}{
		{"released", released, "root@web01 ann@example.net", "ann@example.net ops@example.org", ""},
		{"not released", envelope.Progress{}, "root@web01", "root@web01", ""},
		{"followed already", envelope.Progress{Released: true, Followed: true}, "root@web01", "root@web01", ""},
		{"who may have it", envelope.Progress{Released: true, Uncertain: true, Upstream: "a"}, "root@web01", "root@web01", ""},
		{"an alias with itself", released, "both@web01", "both@example.com ops@example.org", ""},
		{"a recipient already", released, "ops@example.org root@web01", "ops@example.org", "root@web01=discarded"},
		{"discarded", released, "null@web01 ann@example.net", "ann@example.net", "null@web01=discarded"},
		{"nobody is left", released, "null@web01", "", "null@web01=discarded"},
		{"still no list", released, "list@web01", "", "list@web01=held"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := &scripted{}
			r := newRig(t, func(cfg *Config) { cfg.Aliases = follow }, map[string]*scripted{"a": up})
			r.putPart("sender@example.com", "a", time.Now(), queue.Part{Progress: c.progress}, strings.Fields(c.to)...)
			r.start()
			settled := func() string {
				var list []string
				for _, rec := range r.history(envelope.Sent) {
					list = append(list, rec.Recipient.Address)
				}
				slices.Sort(list)
				return strings.Join(list, " ")
			}
			ended := func() string {
				var list []string
				for _, rec := range r.history(envelope.Discarded) {
					list = append(list, rec.Recipient.Address+"=discarded")
				}
				for _, p := range r.parts() {
					if p.State == envelope.Held {
						list = append(list, p.To[0].Address+"=held")
					}
				}
				return strings.Join(list, " ")
			}
			r.await(c.sent+" and "+c.ended, func() bool { return settled() == c.sent && ended() == c.ended })
			if got := strings.Join(up.offered(), " "); got != c.sent {
				t.Errorf("offered to %q", got)
			}
		})
	}
}

// TestReleasedForRefusedAlias: the sender hears of an alias that names what mailhatch does not do, and an operator
// who has mended it may try again.
func TestReleasedForRefusedAlias(t *testing.T) {
	ending := identity.Ending{State: envelope.Failed, Why: "its alias names a command", Enhanced: [3]int{5, 7, 1}}
	r := newRig(t, func(cfg *Config) {
		cfg.Aliases = func(to []envelope.Recipient) ([]envelope.Recipient, []identity.Ending) {
			ending.Recipient = to[0]
			return nil, []identity.Ending{ending}
		}
	}, map[string]*scripted{"a": {}})
	r.putPart("sender@example.com", "", time.Now(), queue.Part{Progress: envelope.Progress{Released: true}}, "prog@web01")
	r.start()
	p := r.awaitState(envelope.Failed)
	if p.Progress.Error != "prog@web01: its alias names a command" || len(r.bounced()) != 1 {
		t.Errorf("%+v, bounces %q", p.Progress, r.bounced())
	}
}
