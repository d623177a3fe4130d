package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"mailhatch/gateway/queue/postgres"
	"mailhatch/gateway/queue/postgres/clock"
)

// What a message of 4 KiB for one recipient costs the server, and what a gateway does, on PostgreSQL 15. TestCosts counts it again.
const (
	acceptStatements = 3 // of a transaction that accepts: messages, bodies, parts
	claimStatements  = 1
	finishStatements = 6   // of one that finishes: begin, lock, parts, history, messages with their bodies, commit
	lookStatements   = 2   // what becomes due next: before a message, and after it
	idleStatements   = 3.3 // a second, of a gateway beside its question for mail of others
	messageWAL       = 7100
	deadRows         = 4 // parts: claimed and finished; messages, bodies: finished
	partBytes        = 250
	mailBytes        = 8700 // of messages and bodies: a page for a body
	historyBytes     = 1500 // a record, with its indexes
	idleConnections  = 4    // that a gateway keeps
	mostConnections  = 12   // its pool, and the one that listens
)

// CPU of the server, measured on the machine of doc/performance.md (BenchmarkCosts), and how long things take there.
const (
	messageCPU   = 50e-6  // seconds of a core for a message beside its statements
	statementCPU = 170e-6 // for one of its statements
	questionCPU  = 270e-6 // for one of an idle gateway's: it has to wake up
	commitTime   = 2e-3   // seconds of a transaction, with a disk or a standby that is waited for
	lookTime     = 20e-3  // seconds that a look waits for others that it may serve too
)

// When tables are vacuumed: see package upkeep.
const (
	vacuumEvery      = 15 // seconds between two looks
	vacuumSoon       = 5  // after a vacuum
	partsDead        = 10_000
	mailDead         = 20_000
	partitionsBeside = 3 // today's, and two days ahead
)

const secondsOfDay = 24 * 60 * 60

// second is what the database does in one.
type second struct{ mail, statements, cpu, wal, open float64 }

// day is what it does in a day.
type day struct {
	gateways, mail                   int
	questions                        float64 // statements a second beside mail
	statements, cpu, wal, dead, most float64 // statements are those of mail; most are bytes
	vacuums                          int
	busiest                          second
}

// mailAt is the share of a day's mail that comes in one of its seconds: a curve with its top at two in the afternoon, and newsletters,
// 6 % of all, in ten minutes at ten.
func mailAt(s int) float64 {
	const newsletters, at, lasts = 0.06, 10 * 3600, 600
	share := (1 - newsletters) / secondsOfDay * (1 + 0.75*math.Cos(2*math.Pi*float64(s-14*3600)/secondsOfDay))
	if s >= at && s < at+lasts {
		share += newsletters / lasts
	}
	return share
}

// moment is one second with so much mail at so many gateways. The more mail a gateway has at once, the more of it shares a transaction.
func moment(gateways int, mail float64) second {
	own := mail / float64(gateways)
	shared, looks := 1+own*commitTime, 1+own*lookTime
	transactions := mail / shared
	statements := transactions*(acceptStatements+claimStatements+finishStatements) + mail/looks*lookStatements
	questions := beside(gateways)
	return second{
		mail: mail, statements: statements + questions, wal: mail * messageWAL, open: transactions * 3 * commitTime,
		cpu: mail*messageCPU + statements*statementCPU + questions*questionCPU,
	}
}

// beside is what gateways ask a second while there is no mail.
func beside(gateways int) float64 {
	return float64(gateways) * (idleStatements + float64(time.Second)/float64(postgres.WatchRest(gateways)))
}

// table is one whose dead rows are vacuumed.
type table struct {
	dies, many float64 // rows of a message that die; how many are worth a vacuum

	dead, most float64
	look       int // the second of the next look
	vacuums    int
}

// pass lets mail pass for a second.
func (t *table) pass(s int, mail float64) {
	t.dead += t.dies * mail
	t.most = max(t.most, t.dead)
	if s < t.look {
		return
	}
	t.look = s + vacuumEvery
	if t.dead > t.many {
		t.look = s + vacuumSoon
		t.dead = 0
		t.vacuums++
	}
}

func simulate(gateways, mail int) day {
	d := day{gateways: gateways, mail: mail, questions: beside(gateways)}
	parts, bodies := table{dies: 2, many: partsDead}, table{dies: 1, many: mailDead}
	for s := range secondsOfDay {
		now := moment(gateways, float64(mail)*mailAt(s))
		d.statements += now.statements - d.questions
		d.cpu += now.cpu
		d.wal += now.wal
		d.dead += now.mail * deadRows
		if now.mail > d.busiest.mail {
			d.busiest = now
		}
		parts.pass(s, now.mail)
		bodies.pass(s, now.mail)
	}
	d.vacuums = parts.vacuums + 2*bodies.vacuums // messages are vacuumed as often
	d.most = parts.most*partBytes + bodies.most*mailBytes
	return d
}

func (d *day) history() float64 { return float64(d.mail) * historyBytes * (keep + 1) }
func (d *day) idle() int        { return d.gateways * idleConnections }
func (d *day) connections() int { return d.gateways * mostConnections }

// machine is a database server's limits.
type machine struct {
	cores, connections int
	log, disk          float64 // bytes a second, bytes
}

// usual is the server of the tables.
func usual() machine { return machine{cores: 8, connections: 500, log: 100e6, disk: 2e12} }

// use is how much of a resource is used.
type use struct {
	what string
	of   float64
}

func (u use) String() string { return fmt.Sprintf("%s, %.0f %%", u.what, 100*u.of) }

// uses returns what a day uses of a server, most first. connections are those to the server.
func (d *day) uses(s machine, connections float64) []use {
	all := []use{
		{"cores", d.busiest.cpu / float64(s.cores)}, {"log", d.busiest.wal / s.log}, {"disk, by the history", d.history() / s.disk},
		{"connections", connections / float64(s.connections)}, {"ids of gateways", float64(d.gateways) / clock.Slots},
	}
	slices.SortStableFunc(all, func(a, b use) int { return cmp.Compare(b.of, a.of) })
	return all
}

// pooled is what a day uses most of a server behind pgbouncer, where connections are those in a transaction.
func (d *day) pooled(s machine) use { return d.uses(s, d.busiest.open)[0] }

// mostMail returns the mail a day at which a server behind pgbouncer is at a limit, in whole millions, and that limit.
func mostMail(gateways int, s machine) (mail int, limit use) {
	const million = 1_000_000
	n := sort.Search(10_000, func(n int) bool {
		d := simulate(gateways, (n+1)*million)
		return d.pooled(s).of > 1
	})
	d := simulate(gateways, (n+1)*million)
	return n * million, d.pooled(s)
}

// databases returns how many servers behind pgbouncer share gateways and mail by tenant, each at most so busy.
func databases(gateways, mail int, s machine, busy float64) int {
	return 1 + sort.Search(10_000, func(n int) bool {
		d := simulate((gateways+n)/(n+1), mail/(n+1))
		return d.pooled(s).of <= busy
	})
}
