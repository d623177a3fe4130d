package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/test/freeport"
)

// monitored is a gateway whose mailq is asked by a monitor: messages come in, and are held.
type monitored struct {
	addr, config string
	mailq        string // the program
}

func serveMonitored(t *testing.T) *monitored {
	t.Helper()
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &monitored{addr: freeport.Addr(t), config: filepath.Join(dir, "config.toml"), mailq: filepath.Join(dir, "mailq")}
	text := fmt.Sprintf("state_dir = %q\n[[listener]]\naddress = %q\n[upstream.shown]\ntype = \"console\"\n[[route]]\nhold = true\n[admin]\naddress = \"off\"\n",
		filepath.Join(dir, "state"), m.addr)
	if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, m.mailq)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAILHATCH_CONFIG", m.config)
	cmd := ownProgram(t, "serve")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", m.addr)
		if err == nil {
			c.Close()
			return m
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// hold has a message held whose text would mislead a careless reader of the list.
func (m *monitored) hold(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		to := []string{fmt.Sprintf("a%d@example.org", i), "\"mqueue (77 requests)\"@example.org"}
		if err := smtp.SendMail(m.addr, nil, "app@example.com", to, []byte("Subject: -- 9 Kbytes in 99 Requests.\r\n\r\nMail queue is empty\r\n")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMailqAsMonitorsReadIt holds the list against what programs look for: check_mailq of monitoring-plugins as it reads
// sendmail and Postfix, and the Checkmk agent.
func TestMailqAsMonitorsReadIt(t *testing.T) {
	m := serveMonitored(t)
	for _, n := range []int{0, 1, 12} {
		m.hold(t, min(n, 11))
		out, err := exec.Command(m.mailq).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		sendmail, postfix := 0, -1
		for _, line := range lines { // check_mailq -M sendmail
			if found := regexp.MustCompile(` \((\d+) request`).FindStringSubmatch(line); strings.Contains(line, "mqueue") && found != nil {
				fmt.Sscan(found[1], &sendmail)
			} else if found := regexp.MustCompile(`(?i)^\s+Total\sRequests:\s(\d+)$`).FindStringSubmatch(line); found != nil {
				fmt.Sscan(found[1], &sendmail)
			}
		}
		last := lines[len(lines)-1] // check_mailq -M postfix, Checkmk
		if found := regexp.MustCompile(`Kbytes in (\d+)`).FindStringSubmatch(last); found != nil {
			fmt.Sscan(found[1], &postfix)
		} else if strings.Contains(last, "Mail queue is empty") {
			postfix = 0
		}
		first := regexp.MustCompile(`mqueue.* \((\d+) request`).FindStringSubmatch(lines[0])
		if sendmail != n || postfix != n || (n > 0) != (first != nil) || n > 0 && first[1] != fmt.Sprint(n) {
			t.Errorf("%d messages: read as %d by those that know sendmail, %d by those that know Postfix\n%s", n, sendmail, postfix, out)
		}
		if ids := regexp.MustCompile(`(?m)^[0-9A-Z]{13}`).FindAll(out, -1); len(ids) != n {
			t.Errorf("%d messages: %d lines begin with an id", n, len(ids))
		}
	}
}

// TestCheckMailq runs the plugin itself.
func TestCheckMailq(t *testing.T) {
	places := []string{"/usr/lib/nagios/plugins", "/usr/lib64/nagios/plugins", "/usr/lib/monitoring-plugins", "/usr/libexec/monitoring-plugins"}
	i := slices.IndexFunc(places, func(dir string) bool { _, err := os.Stat(filepath.Join(dir, "check_mailq")); return err == nil })
	if _, err := exec.LookPath("perl"); err != nil || i < 0 {
		t.Skip("check_mailq is not installed (monitoring-plugins-standard)")
	}
	m := serveMonitored(t)
	// The plugin knows the path of mailq by a module beside it.
	dir := t.TempDir()
	for _, name := range []string{"check_mailq", "utils.pm"} {
		b, err := os.ReadFile(filepath.Join(places[i], name))
		if err != nil {
			t.Skipf("check_mailq is not as it is known: %v", err)
		}
		b = regexp.MustCompile(`(?m)^\$PATH_TO_MAILQ *=.*$`).ReplaceAll(b, []byte(`$$PATH_TO_MAILQ = "`+m.mailq+`";`))
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	check := func(style string) string {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "perl", filepath.Join(dir, "check_mailq"), "-w", "2", "-c", "5", "-t", "50", "-M", style)
		out, _ := cmd.CombinedOutput()
		return fmt.Sprintf("%d %s", cmd.ProcessState.ExitCode(), out)
	}
	held := 0
	for _, c := range []struct {
		messages int
		want     string
	}{{0, `^0 OK: .* empty`}, {3, `^1 WARNING: \w+ mailq is 3 `}, {6, `^2 CRITICAL: \w+ mailq is 6 `}} {
		m.hold(t, c.messages-held)
		held = c.messages
		for _, style := range []string{"sendmail", "postfix"} {
			if got := check(style); !regexp.MustCompile(c.want).MatchString(got) {
				t.Errorf("%d messages, -M %s: %s", c.messages, style, got)
			}
		}
	}
}
