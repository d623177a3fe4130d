package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"mailhatch/cmd/mailbench/benchtest"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/peers"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/cmd/mailbench/sink"
)

// TestMain also plays the gateway with a clock that steps, which the soak starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "stepped" {
		main()
	}
	benchtest.Main(m)
}

func TestRun(t *testing.T) {
	benchtest.NeedSignals(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "figures.json")
	status, table, errs := bench(t, "relay", "run", "-binary", os.Args[0], "-dir", dir, "-json", out, "-quick",
		"-upstreams", "smtp", "-sizes", "4096", "-sessions", "1,4", "-load", "1s", "-drain", "10s", "-per-connection", "3", "-sink-delay", "1ms")
	if status != 0 {
		t.Fatalf("exit %d: %s%s", status, table, errs)
	}
	for _, want := range []string{"fsyncs/s", "| smtp | 4 KiB | 1 |", "| smtp | 4 KiB | 4 |", " % |"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var report measure.Report
	if err := json.Unmarshal(b, &report); err != nil || len(report.Rows) != 2 {
		t.Fatalf("%v: %s", err, b)
	}
	for _, row := range report.Rows {
		if row.Accept <= 0 || row.Delivered <= 0 || row.Ceiling <= 0 || row.Undrained != 0 || row.Startup <= 0 ||
			row.Sink.Unique != row.Load.Accepted || row.Unclean != "" {
			t.Errorf("row %+v", row)
		}
		if runtime.GOOS == "linux" && (row.CPU <= 0 || row.PSS <= 0 || row.HWM <= 0 || row.CPUIsTotal) {
			t.Errorf("row %+v", row)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "mailbench*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRunTellsFailures(t *testing.T) {
	benchtest.NeedSignals(t)
	dir := t.TempDir()
	status, table, errs := bench(t, "fail", "run", "-binary", os.Args[0], "-dir", dir, "-quick",
		"-upstreams", "hold", "-sizes", "4096", "-sessions", "1")
	if status != 1 || !strings.Contains(table, "no such key") || !strings.Contains(table, "failed") || !strings.Contains(errs, "1 of 1 cases failed") {
		t.Errorf("exit %d: %s%s", status, table, errs)
	}
}

func TestCommandLine(t *testing.T) {
	sinkAddr := benchtest.Sink(t, sink.Faults{}).SMTPAddr().String()
	bad := benchtest.Sink(t, sink.Faults{Temporary: 1}).SMTPAddr().String()
	tests := []struct {
		args   string
		status int
		stdout string
		stderr string
	}{
		{"", 2, "", "Usage: mailbench"},
		{"help", 0, "Usage: mailbench", ""},
		{"fly", 2, "", `no command "fly"`},
		{"load -h", 0, "", "-sessions"},
		{"load -fast", 2, "", "-fast"},
		{"load now", 2, "", `unexpected "now"`},
		{"load -addr 192.0.2.1:25 -messages 1", 2, "", "not a loopback"},
		{"load -addr " + sinkAddr + " -messages 3 -size 10", 1, "", "no room"},
		{"load -addr " + sinkAddr + " -messages 3 -sessions 2", 0, `"accepted": 3`, ""},
		{"load -addr " + bad + " -messages 3", 1, `"refused_temporary": 3`, "3 messages were not accepted"},
		{"sink -smtp 192.0.2.1:25", 1, "", "not a loopback"},
		{"sink -x", 2, "", "-x"},
		{"run -binary /nonexistent/mailhatch", 1, "", "make build"},
		{"run -x", 2, "", "-x"},
		{"run -upstreams pigeon", 2, "", `no upstream "pigeon"`},
		{"run -sizes 1", 2, "", `size "1"`},
		{"run -sessions 0", 2, "", `sessions "0"`},
		{"run -load 0s", 2, "", "-load and -drain"},
		{"peers -rounds 0", 2, "", "-rounds"},
		{"peers -x", 2, "", "-x"},
		{"peers -only flight", 2, "", `no line "flight"`},
		{"peers -list", 0, "lines: relay-smtp, beside-16, cpu", ""},
		{"curve -x", 2, "", "-x"},
		{"curve -rounds 0", 2, "", "-rounds"},
		{"noop -x", 2, "", "-x"},
		{"noop", 2, "", "-config is needed"},
		{"noop -config /nonexistent", 1, "", "/nonexistent"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr strings.Builder
			status := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
			if status != tt.status || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit %d\n%s\n%s", status, &stdout, &stderr)
			}
		})
	}
}

// bench runs a command of mailbench against the fake server and gives status, stdout and stderr.
func bench(t *testing.T, mode string, args ...string) (int, string, string) {
	t.Helper()
	t.Setenv("MAILBENCH_FAKE", mode)
	var stdout, stderr strings.Builder
	status := run(t.Context(), args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestPeers(t *testing.T) {
	benchtest.NeedSignals(t)
	missing := server.PostfixMissing()
	dir := t.TempDir()
	out, md := filepath.Join(dir, "figures.json"), filepath.Join(dir, "table.md")
	status, table, errs := bench(t, "relay", "peers", "-binary", os.Args[0], "-quick", "-only", "relay-smtp", "-load", "1500ms", "-json", out, "-markdown", md)
	if status != 0 {
		t.Fatalf("exit %d: %s%s", status, table, errs)
	}
	var report peers.Report
	b, err := os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(b, &report)
	}
	if err != nil || len(report.Groups) != 1 || len(report.Groups[0].Rows) < 2 || report.Groups[0].Checks[0].Ours <= 0 {
		t.Fatalf("%v: %s", err, b)
	}
	if written, err := os.ReadFile(md); err != nil || string(written) != table {
		t.Errorf("%v: %s", err, written)
	}
	if missing != "" {
		if !strings.Contains(table, "SKIPPED: Postfix: "+missing) {
			t.Errorf("%s is not told:\n%s", missing, table)
		}
		t.Skipf("SKIPPED beyond the message: %s", missing)
	}
	if strings.Contains(table, "unknown") || strings.Contains(table, "not accepted") || !strings.Contains(table, "| Postfix ") {
		t.Error(table)
	}
	for upstream, want := range map[string]string{"resend": "cannot hand mail to resend", "smtp": "may not pass through"} {
		closed := t.TempDir()
		if err := os.Chmod(filepath.Dir(closed), 0o700); err != nil {
			t.Fatal(err)
		}
		row := measure.Run(t.Context(), server.Postfix, "Postfix", closed, measure.Case{Upstream: upstream, Size: 4096, Sessions: 1}, measure.Timing{})
		if !strings.Contains(row.Failed, want) {
			t.Errorf("%s: %+v", upstream, row)
		}
	}
}

// buildMailhatch builds the program, with the flags of the Makefile so that the cache has it.
func buildMailhatch(t *testing.T) string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("skipped: the go command is not here to build mailhatch")
	}
	binary := filepath.Join(t.TempDir(), "mailhatch")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := exec.Command(goTool, "build", "-trimpath", "-ldflags", "-s -w -X main.version=soak", "-o", binary, "../mailhatch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// TestSoak is the soak in short: the same faults, an outage and some reloads.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: it takes a quarter of a minute")
	}
	binary := buildMailhatch(t)
	var out, log bytes.Buffer
	code := run(t.Context(), []string{"soak", "-binary", binary, "-dir", t.TempDir(), "-duration", "10s", "-rate", "100", "-faults", "0.1",
		"-sessions", "8"}, &out, &log)
	t.Logf("%s", &out)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, &log)
	}
	for _, want := range []string{"| **lost** | **0** |", "| reloads | ", "relay reply lost", "API reply lost"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report", want)
		}
	}
}

func TestSoakUsage(t *testing.T) {
	for _, args := range [][]string{{"-rate", "0"}, {"-duration", "1ms"}, {"-faults", "2"}, {"x"}} {
		var out, log bytes.Buffer
		if code := run(t.Context(), append([]string{"soak"}, args...), &out, &log); code != 2 {
			t.Errorf("%q: exit code %d: %s", args, code, &log)
		}
	}
}

// TestDurableTraces: a program that is not a server fails, with a reason.
func TestDurableTraces(t *testing.T) {
	benchtest.NeedSignals(t)
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("SKIPPED: strace is not installed")
	}
	status, table, _ := bench(t, "fail", "peers", "-binary", "/bin/true", "-quick", "-only", "durable")
	if status != 1 || !strings.Contains(table, "durable: FAILED: ") && !strings.Contains(table, "durable: SKIPPED: ") {
		t.Errorf("exit %d: %s", status, table)
	}
}

func TestSinkCommandPrintsItsCounts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	if status := run(ctx, []string{"sink", "-smtp", "127.0.0.1:0", "-http", "127.0.0.1:0"}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit %d: %s", status, &stderr)
	}
	var st sink.Stats
	if err := json.Unmarshal([]byte(stdout.String()), &st); err != nil || st.Accepted != 0 {
		t.Errorf("%v: %s", err, &stdout)
	}
	if !strings.Contains(stderr.String(), "sink at 127.0.0.1:") {
		t.Errorf("addresses not told: %s", &stderr)
	}
}
