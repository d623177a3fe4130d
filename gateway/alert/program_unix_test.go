//go:build unix

package alert

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func script(t *testing.T, text string, timeout time.Duration) *Alerter {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tell")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return open(t, settings(func(s *Settings) { s.Exec, s.Timeout = []string{file, "$HOME `id`"}, duration(timeout) }, Disk))
}

// TestProgram: it gets the message as input, some variables, its arguments as they are, and no secret.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RESEND_API_KEY", "hidden")
	t.Setenv("TZ", "UTC")
	a := script(t, `cat >`+dir+`/input; env >`+dir+`/env; echo "$1" >`+dir+`/args; exit 0`, time.Minute)
	if answer, err := a.try(t.Context(), TypeAlert); err != nil || answer != "exit status 0" {
		t.Fatal(answer, err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var m Message
	if err := json.Unmarshal([]byte(read("input")), &m); err != nil || m.Type != TypeAlert || len(m.Data.Alerts) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	if read("args") != "$HOME `id`\n" {
		t.Errorf("a shell was at work: %q", read("args"))
	}
	env := read("env")
	for _, want := range []string{"MAILHATCH_ALERT_TYPE=alert", "MAILHATCH_ALERT_STATUS=firing", "MAILHATCH_ALERT_EVENTS=disk\n", "MAILHATCH_ALERT_HOSTNAME=app1", "MAILHATCH_ALERT_ID=msg_",
		"MAILHATCH_ALERT_TEXT=mailhatch on app1: full\n", "TZ=UTC", "PATH="} {
		if !strings.Contains(env, want) {
			t.Errorf("%s is missing in %s", want, env)
		}
	}
	if strings.Contains(env, "hidden") {
		t.Errorf("a secret was passed: %s", env)
	}
}

// TestProgramFails: what it says is told, in part.
func TestProgramFails(t *testing.T) {
	_, err := script(t, `echo "cannot  tell ann@example.com"; yes | head -c 100000 >&2; exit 3`, time.Minute).try(t.Context(), TypeAlert)
	if err == nil || !strings.HasPrefix(err.Error(), "exit status 3: cannot tell …@… y y") || len(err.Error()) > 2*maxWords {
		t.Error(err)
	}
	a := open(t, settings(func(s *Settings) { s.Exec = []string{"/no/such/program"} }, Disk))
	if _, err := a.try(t.Context(), TypeAlert); err == nil {
		t.Error("no error")
	}
}

// TestProgramHangs: it ends in time, with all that it has started.
func TestProgramHangs(t *testing.T) {
	for name, text := range map[string]string{"hung": "sleep 1000 & echo $! >PID; wait", "left behind": "sleep 1000 & echo $! >PID; exit 0",
		"without output": "sleep 1000 >/dev/null 2>&1 & echo $! >PID; exit 0"} {
		t.Run(name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			a := script(t, strings.ReplaceAll(text, "PID", pidFile), 2*time.Second)
			_, err := a.try(t.Context(), TypeAlert)
			if name == "hung" && (err == nil || !strings.HasPrefix(err.Error(), "did not end within 2s")) || name != "hung" && err != nil {
				t.Error(err)
			}
			text, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil && !isZombie(pid); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("process %d lives", pid)
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := script(t, "sleep 1000", time.Minute).try(ctx, TypeAlert); err == nil {
		t.Error("it did not end with the gateway")
	}
}

// isZombie reports whether a process has ended and nobody has asked for its status: in containers nobody may.
func isZombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
