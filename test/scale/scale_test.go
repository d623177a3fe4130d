package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// TestDocument: the tables of doc/scaling.md are those that the program prints.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../doc/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	write(&b)
	for table := range strings.SplitSeq(b.String(), "\n\n") {
		if !strings.Contains(string(text), table) {
			t.Errorf("doc/scaling.md does not have what `go run ./test/scale` prints:\n%s", table)
		}
	}
}

func TestSimulation(t *testing.T) {
	total := 0.0
	for s := range secondsOfDay {
		total += mailAt(s)
	}
	if math.Abs(total-1) > 1e-6 {
		t.Errorf("%v of a day's mail comes in a day", total)
	}
	s := usual()
	few, many := simulate(10, perDay), simulate(1000, perDay)
	if few.statements >= many.statements || few.cpu >= many.cpu || few.busiest.mail < 1000 {
		t.Errorf("more gateways cost less, or no second is busy: %+v, %+v", few, many)
	}
	if u := many.uses(s, float64(many.connections()))[0]; u.what != "connections" {
		t.Errorf("%v is used most without pgbouncer", u)
	}
	mail, limit := mostMail(10, s)
	if full := simulate(10, mail+1e6); mail <= perDay || limit.of <= 1 || full.pooled(s) != limit {
		t.Errorf("%d messages a day, %v", mail, limit)
	}
	for _, n := range []int{1, 2, 7} {
		if d := simulate(100*n/n, 10*perDay/n); (d.pooled(s).of <= busy) != (n >= databases(100, 10*perDay, s, busy)) {
			t.Errorf("%d databases: %v", n, d.pooled(s))
		}
	}
}

// TestCosts counts again, on a real server, what the simulation takes for granted.
func TestCosts(t *testing.T) {
	w := newTown(t, 1)
	w.send(8, 100) // what is new is made ready
	// A slow machine asks less often, and looks oftener what is due next.
	near := func(what string, got, want, less, more float64) {
		t.Helper()
		t.Logf("%-45s %8.1f, taken for granted %8.1f", what, got, want)
		if got < want*less || got > want*more {
			t.Errorf("%s: %.2f, the simulation takes %.2f for granted: change it, and the table in doc/scaling.md", what, got, want)
		}
	}
	const seconds = 4
	quiet := w.count(func() { time.Sleep(seconds * time.Second) })
	near("statements a second of an idle gateway", quiet.beside/seconds, idleStatements, 0, 2)
	near("questions a second of an idle gateway", quiet.watch/seconds, beside(1)-idleStatements, 0, 2)

	const single, messages = 25, 2000
	apart := w.count(func() {
		for range single {
			w.send(1, 1)
			w.settled()
		}
	})
	near("statements of a message that comes alone", apart.mail/single, acceptStatements+claimStatements+finishStatements+lookStatements, 0.7, 2)
	near("statements that accept it", apart.accept/single, acceptStatements, 0.95, 1.05)
	near("statements that finish it", apart.finish/single, finishStatements, 0.95, 1.1)

	together := w.count(func() {
		w.send(32, messages)
		w.settled()
	})
	near("bytes of log of a message", together.wal/messages, messageWAL, 0.75, 1.25)
	near("bytes of history of a message", w.number("SELECT sum(pg_total_relation_size(relid))::text FROM pg_stat_user_tables WHERE relname LIKE 'history_2%'")/
		w.number("SELECT count(*)::text FROM history"), historyBytes, 0.75, 1.3)
	w.stop()
	dead := 0.0
	for range 100 { // connections that have ended tell what they did
		if dead = w.number(deadQuery) / float64(w.taken.Load()); dead > deadRows*0.9 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	near("dead rows of a message", dead, deadRows, 0.9, 1.2)
	if together.mail > apart.mail/single*messages/2 {
		t.Errorf("%v statements for %d messages at once: they do not share transactions", together.mail, messages)
	}
}

// BenchmarkCosts reports the server's CPU that the simulation takes for granted.
func BenchmarkCosts(b *testing.B) {
	for b.Loop() {
		w := newTown(b, 1)
		w.send(8, 500)
		spend := func(do func()) (counted, time.Duration) {
			before := server.CPU()
			c := w.count(do)
			return c, server.CPU() - before
		}
		idle, quiet := spend(func() { time.Sleep(10 * time.Second) })
		one, alone := spend(func() { w.send(1, 2000) })
		all, shared := spend(func() { w.send(64, 20_000) })
		statement := (alone/2000 - shared/20_000).Seconds() / (one.mail/2000 - all.mail/20_000)
		b.ReportMetric(1e6*quiet.Seconds()/(idle.beside+idle.watch), "µs/question")
		b.ReportMetric(1e6*statement, "µs/statement")
		b.ReportMetric(1e6*((shared/20_000).Seconds()-statement*all.mail/20_000), "µs/message")
		b.ReportMetric(all.mail/20_000, "statements/message")
	}
}

// BenchmarkGateways sends mail by SMTP through gateways that deliver it at once, on either engine: the figures of doc/performance.md.
func BenchmarkGateways(b *testing.B) {
	for _, c := range []struct {
		engine             string
		gateways, sessions int
	}{
		{"sqlite", 1, 16}, {"postgres", 1, 16}, {"postgres", 3, 16}, {"sqlite", 1, 64}, {"postgres", 1, 64}, {"postgres", 3, 64},
	} {
		b.Run(fmt.Sprintf("%s/%d gateways/%d sessions", c.engine, c.gateways, c.sessions), func(b *testing.B) {
			w := &town{t: b}
			if c.engine == "postgres" {
				w = newTown(b, c.gateways)
			} else {
				w.open(c.gateways, "")
			}
			w.send(c.sessions, 1000)
			own, servers, began := cpu(), server.CPU(), time.Now()
			b.ResetTimer()
			w.send(c.sessions, b.N)
			took := time.Since(began)
			b.ReportMetric(float64(b.N)/took.Seconds(), "messages/s")
			b.ReportMetric(float64((cpu()-own).Microseconds())/float64(b.N), "µs-here/message")
			b.ReportMetric(float64((server.CPU()-servers).Microseconds())/float64(b.N), "µs-server/message")
		})
	}
}

// cpu is what this process has used: the gateways and those who send.
func cpu() time.Duration {
	sample := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	runtime.GC() // the figures are brought up to date then
	metrics.Read(sample)
	return time.Duration((sample[0].Value.Float64() - sample[1].Value.Float64()) * float64(time.Second))
}
