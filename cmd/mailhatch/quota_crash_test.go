package main

import (
	"fmt"
	"net/smtp"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mailhatch/upstream/upstreamtest"
)

// TestQuotasOverKills: 10,000 recipients and two free plans before a relay. However often the process is killed, exactly
// what the plans allow goes by them, once, and the rest by the relay.
func TestQuotasOverKills(t *testing.T) {
	messages := 200
	if testing.Short() {
		messages = 20
	}
	c := newCrash(t)
	c.calm()
	free := []*upstreamtest.Server{upstreamtest.NewResend("re_1"), upstreamtest.NewResend("re_2")}
	quotas := []int{300, 200}
	for _, f := range free {
		t.Cleanup(f.Close)
		f.Script(slices.Repeat([]upstreamtest.Fault{{Delay: 60 * time.Millisecond}}, 1000)...)
	}
	plan := func(n int) string {
		return fmt.Sprintf("[upstream.free%d]\ntype = \"resend\"\napi_key = \"re_%d\"\nbase_url = %q\nmax_recipients = 7\nmax_concurrent = 2\nquota = \"%d/month\"\n",
			n+1, n+1, free[n].URL, quotas[n])
	}
	config := fmt.Sprintf("hostname = \"gw.example.com\"\nstate_dir = %q\n[[listener]]\naddress = %q\n%s%s"+
		"[upstream.relay]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\n[[route]]\nvia = [\"free1\", \"free2\", \"relay\"]\n"+
		"[queue]\nretry = [\"50ms\", \"200ms\"]\n[admin]\naddress = \"off\"\n",
		filepath.Join(c.dir, "state"), c.addr, plan(0), plan(1), c.relay.Port)
	p := c.launch(0, config)
	client, err := smtp.Dial(c.addr)
	if err != nil {
		t.Fatal(err)
	}
	for n := range messages {
		var to []string
		for i := range 50 {
			to = append(to, fmt.Sprintf("r%d.%d@example.org", n, i))
		}
		if err := crashSend(client, fmt.Sprint("mail ", n), to, 10); err != nil {
			t.Fatal(err)
		}
	}
	_ = client.Close()
	byPlan := func(n int) map[string]int {
		got := map[string]int{}
		for _, m := range free[n].Accepted() {
			for _, to := range m.Recipients {
				got[to]++
			}
		}
		return got
	}
	relayed := func() int { _, relay := c.arrivals(); return len(relay) }
	total := messages * 50
	for life, reached := range []func() bool{
		func() bool { return len(byPlan(0)) >= 100 },
		func() bool { return len(byPlan(1)) >= 60 },
		func() bool { return relayed() >= (total-500)/4 },
		func() bool { return len(byPlan(0))+len(byPlan(1))+relayed() >= total },
	} {
		if life > 0 {
			p.kill()
			p = c.launch(life, config)
		}
		for deadline := time.Now().Add(2 * time.Minute); !reached(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				p.kill()
				t.Fatalf("life %d: %d, %d and %d have arrived; refused: %q %q\n%s", life, len(byPlan(0)), len(byPlan(1)), relayed(), free[0].Rejected(), c.relay.Faults(), p.log)
			}
		}
	}
	p.terminate(t)
	for n, want := range quotas {
		got := byPlan(n)
		if len(got) != want {
			t.Errorf("free%d took %d recipients, its quota is %d", n+1, len(got), want)
		}
		for to, times := range got {
			if times != 1 {
				t.Errorf("free%d took %s %d times", n+1, to, times)
			}
		}
	}
	if got := relayed(); got != total-500 {
		t.Errorf("the relay took %d recipients, want %d", got, total-500)
	}
}
