// Command scale prints what gateways that share a queue ask of their database, by a simulation of a day: the tables of
// doc/scaling.md. What a message and a gateway cost is measured by this package's test and benchmark against a real server.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	perDay = 10_000_000
	keep   = 7   // days of history
	busy   = 0.6 // of a server's limits, if it is to last
)

func main() { write(os.Stdout) }

func write(w io.Writer) {
	fleets := []int{10, 100, 1000}
	days := make([]day, len(fleets))
	for i, n := range fleets {
		days[i] = simulate(n, perDay)
	}
	row(w, append([]string{"10 million messages a day, with"}, each(fleets, func(n int) string { return count(n) + " gateways" })...)...)
	fmt.Fprintln(w, "|---"+strings.Repeat("|--:", len(fleets))+"|")
	line := func(name string, value func(d day) string) {
		row(w, append([]string{name}, each(days, value)...)...)
	}
	line("statements per message", func(d day) string { return fmt.Sprintf("%.1f", d.statements/float64(d.mail)) })
	line("statements per second without mail", func(d day) string { return count(int(d.questions)) })
	line("statements in the busiest second", func(d day) string { return count(int(d.busiest.statements)) })
	line("cores of the server: mean, busiest second", func(d day) string {
		return fmt.Sprintf("%.1f, %.1f", d.cpu/secondsOfDay, d.busiest.cpu)
	})
	line("log (WAL): a day, busiest second", func(d day) string { return fmt.Sprintf("%.0f GB, %.1f MB", d.wal/1e9, d.busiest.wal/1e6) })
	line("dead rows a day, vacuums of parts, messages, bodies", func(d day) string {
		return fmt.Sprintf("%.0f million, %s", d.dead/1e6, count(d.vacuums))
	})
	line("parts, messages and bodies: peak size, without waiting mail", func(d day) string { return fmt.Sprintf("%.0f MB", d.most/1e6) })
	line(fmt.Sprintf("history of %d days: partitions, size", keep), func(d day) string {
		return fmt.Sprintf("%d, %.0f GB", keep+partitionsBeside, d.history()/1e9)
	})
	line("connections: idle, most", func(d day) string { return fmt.Sprintf("%s, %s", count(d.idle()), count(d.connections())) })
	line("in a transaction at once, busiest second", func(d day) string { return count(int(d.busiest.open + 0.999)) })
	s := usual()
	line("busiest resource, without pgbouncer", func(d day) string { return d.uses(s, float64(d.connections()))[0].String() })
	line("busiest resource, with pgbouncer", func(d day) string { return d.pooled(s).String() })
	line("messages a day at full capacity, and what limits them", func(d day) string {
		mail, limit := mostMail(d.gateways, s)
		return fmt.Sprintf("%d million, %s", mail/1e6, limit.what)
	})

	fmt.Fprintln(w)
	row(w, fmt.Sprintf("databases, each used to %.0f %% at most", 100*busy), "10 million a day", "100 million", "1,000 million")
	fmt.Fprintln(w, "|---|--:|--:|--:|")
	for _, n := range []int{100, 1000, 4000} {
		row(w, append([]string{count(n) + " gateways"}, each([]int{perDay, 10 * perDay, 100 * perDay}, func(mail int) string { return count(databases(n, mail, s, busy)) })...)...)
	}
}

func row(w io.Writer, cells ...string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

func each[T any](list []T, value func(T) string) (out []string) {
	for _, v := range list {
		out = append(out, value(v))
	}
	return out
}

// count writes a number with commas.
func count(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return count(n/1000) + fmt.Sprintf(",%03d", n%1000)
}
