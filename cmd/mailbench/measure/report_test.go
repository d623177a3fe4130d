package measure

import (
	"strings"
	"testing"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/sink"
)

func TestNotes(t *testing.T) {
	row := Row{
		Server: "mailhatch", Case: Case{Upstream: "smtp", Size: 1000, Sessions: 2, PerConnection: 1, SinkDelay: time.Second}, Undrained: 3, CPUIsTotal: true, Unclean: "did not end",
		Load: &load.Result{Accepted: 10, Broken: 1, Problems: map[string]int{"connection: EOF": 1}},
		Sink: sink.Stats{Duplicates: 2, Unidentified: 4},
	}
	r := Report{Machine: host.Machine{Filesystem: "tmpfs", Cores: 2, Busy: 1.5}, Rows: []Row{row}}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tmpfs, where fsync does nothing", "load average 1.5", "1000 B", "1 message(s) a connection. The upstream takes 1s for each message.\n\n|", "| n/a |", "1 messages not accepted: map[connection: EOF:1]",
		"3 of 10 accepted messages were not delivered", "2 DUPLICATES", "4 messages without X-Load-Id", "whole life", "did not end"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	if Failures(r.Rows) != 1 || Failures([]Row{{}}) != 0 {
		t.Error("failures miscounted")
	}
}
