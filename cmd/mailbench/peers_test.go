package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// peerRow is a row as measure makes it, for the arithmetic.
func peerRow(server string, accept float64) Row {
	return Row{
		Server: server, Accept: accept, Delivered: accept / 2, CPU: 1e6 / accept, PSS: 1 << 20,
		Load: &LoadResult{Latency: Latency{P99: 1000 / accept}},
	}
}

func TestMedians(t *testing.T) {
	rows := []Row{
		peerRow("mailhatch", 500), peerRow("postfix", 50), peerRow("mailhatch", 100), peerRow("postfix", 100),
		peerRow("mailhatch", 400), {Server: "postfix", Failed: "no"},
	}
	ours, theirs := medians(rows, "mailhatch"), medians(rows, "postfix")
	if ours.Rounds != 3 || ours.Accept != 400 || ours.Delivered != 200 || ours.P99 != 2.5 || ours.CPU != 2500 || ours.PSS != 1<<20 {
		t.Errorf("mailhatch %+v", ours)
	}
	if theirs.Rounds != 2 || theirs.Accept != 75 {
		t.Errorf("postfix %+v", theirs)
	}
	if none := medians(rows, "other"); none != (Figures{}) {
		t.Errorf("other %+v", none)
	}
	r := PeerReport{Rounds: 3, Cases: []PeerCase{{Case: Case{Upstream: "smtp", Size: 4096, Sessions: 16}, Mailhatch: ours, Postfix: theirs, Rows: rows}, {}}}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| smtp | 4 KiB | 16 | 400 / 75 | 5.33 | 200 / 38 |", "n/a / n/a | n/a |", "- postfix,", "failed: no"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestPeers(t *testing.T) {
	needSignals(t)
	missing := postfixMissing()
	status, table, errs := bench(t, "relay", "peers", "-binary", os.Args[0], "-quick", "-rounds", "1",
		"-upstreams", "smtp", "-sizes", "4096", "-sessions", "4", "-load", "1s", "-drain", "20s")
	if status != 0 {
		t.Fatalf("exit %d: %s%s", status, table, errs)
	}
	if missing != "" {
		if !strings.Contains(table, "SKIPPED: "+missing) {
			t.Errorf("%s is not told:\n%s", missing, table)
		}
		t.Skipf("SKIPPED beyond the message: %s", missing)
	}
	if !strings.Contains(table, "| smtp | 4 KiB | 4 |") || strings.Contains(table, "n/a") || strings.Contains(table, "not accepted") {
		t.Error(table)
	}
	for upstream, want := range map[string]string{"resend": "cannot hand mail to resend", "smtp": "may not pass through"} {
		closed := t.TempDir()
		if err := os.Chmod(filepath.Dir(closed), 0o700); err != nil {
			t.Fatal(err)
		}
		row := measure(t.Context(), startPostfix, "postfix", closed, Case{Upstream: upstream, Size: 4096, Sessions: 1}, Timing{})
		if !strings.Contains(row.Failed, want) {
			t.Errorf("%s: %+v", upstream, row)
		}
	}
}
