package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// bench runs a command of mailbench against the fake server and gives status, stdout and stderr.
func bench(t *testing.T, mode string, args ...string) (int, string, string) {
	t.Helper()
	t.Setenv("MAILBENCH_FAKE", mode)
	var stdout, stderr strings.Builder
	status := command(t.Context(), args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// needSignals skips where the fake server cannot be ended by SIGTERM.
func needSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: the fake server ends by SIGTERM, which Windows has not")
	}
}

func TestRun(t *testing.T) {
	needSignals(t)
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
	var report Report
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
	needSignals(t)
	dir := t.TempDir()
	status, table, errs := bench(t, "fail", "run", "-binary", os.Args[0], "-dir", dir, "-quick",
		"-upstreams", "hold", "-sizes", "4096", "-sessions", "1")
	if status != 1 || !strings.Contains(table, "no such key") || !strings.Contains(table, "failed") || !strings.Contains(errs, "1 of 1 cases failed") {
		t.Errorf("exit %d: %s%s", status, table, errs)
	}
}

func TestCommandLine(t *testing.T) {
	sinkAddr := runSink(t, Faults{}).SMTPAddr().String()
	bad := runSink(t, Faults{Temporary: 1}).SMTPAddr().String()
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
			status := command(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
			if status != tt.status || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit %d\n%s\n%s", status, &stdout, &stderr)
			}
		})
	}
}

func TestConfigs(t *testing.T) {
	sink := runSink(t, Faults{})
	for upstream, want := range map[string]string{
		"smtp": `tls = "none"`, "hold": "hold = true", "resend": sink.URL(), "sendgrid": `type = "sendgrid"`, "mailgun": `domain = "`,
	} {
		got, err := mailhatchConfig("/x y", "direct", 1025, Case{Upstream: upstream, Concurrent: 7}.at(sink))
		if err != nil || !strings.Contains(got, want) || !strings.Contains(got, "address = \"127.0.0.1:1025\"\nmode = \"direct\"\n") || !strings.Contains(got, "max_concurrent = 7") {
			t.Errorf("%s: %v\n%s", upstream, err, got)
		}
	}
	if _, err := mailhatchConfig("/x", "", 1, target{Upstream: "pigeon"}); err == nil {
		t.Error("a config for no upstream")
	}
}

func TestNotes(t *testing.T) {
	row := Row{
		Server: "mailhatch", Case: Case{Upstream: "smtp", Size: 1000, Sessions: 2, PerConnection: 1, SinkDelay: time.Second}, Undrained: 3, CPUIsTotal: true, Unclean: "did not end",
		Load: &LoadResult{Accepted: 10, Broken: 1, Problems: map[string]int{"connection: EOF": 1}},
		Sink: SinkStats{Duplicates: 2, Unidentified: 4},
	}
	r := Report{Machine: Machine{Filesystem: "tmpfs", Cores: 2, Busy: 1.5}, Rows: []Row{row}}
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
	if failures(r.Rows) != 1 || failures([]Row{{}}) != 0 {
		t.Error("failures miscounted")
	}
}

func TestMachine(t *testing.T) {
	if got := cpuModel("processor : 0\nmodel name\t: Fast: 3000\nmodel name : other\n"); got != "Fast: 3000" {
		t.Errorf("cpu %q", got)
	}
	if got := cpuModel(""); got != "unknown" {
		t.Errorf("cpu %q", got)
	}
	for text, want := range map[string]float64{"1.50 0.20 0.10 1/80 7": 1.5, "": 0} {
		if got := loadAverage(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	mounts := "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/q xfs rw 0 0\nx\n"
	for dir, want := range map[string]string{"/var/q": "ext4", "/tmp": "tmpfs", "/tmp/qq": "tmpfs", "/tmp/q/1": "xfs"} {
		if got := filesystemOf(dir, mounts); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
	m, err := inspect(t.TempDir(), 5*time.Millisecond)
	if err != nil || m.FsyncsPerS <= 0 || m.Fsync.P99 <= 0 || m.Cores < 1 || m.Go == "" {
		t.Errorf("%v %+v", err, m)
	}
	if _, err := inspect(filepath.Join(t.TempDir(), "none"), time.Millisecond); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
