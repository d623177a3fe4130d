package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// program runs a program without a shell; the message is its standard input.
type program struct {
	args    []string
	timeout time.Duration
}

// maxSaid is how much of what a program writes is looked at, in bytes.
const maxSaid = 4 << 10

// passed lists the variables of the gateway that a program gets: no other, for they may hold secrets.
func passed() []string {
	return []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SystemRoot"}
}

// send runs the program; what exits with another status than 0 has failed. It ends in time, and all that it started.
func (p *program) send(ctx context.Context, id string, body []byte, m *Message) (string, error) {
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, p.args[0], p.args[1:]...)
	cmd.Stdin = bytes.NewReader(append(body, '\n'))
	said := &head{}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Env = environment(id, m)
	cmd.WaitDelay = time.Second // for pipes that somebody else holds open
	inGroup(cmd)
	err := cmd.Run()
	endGroup(cmd)
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && limited.Err() == nil:
		return "exit status 0", nil
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("did not end within %s", p.timeout)
	}
	if words := strings.Join(strings.Fields(said.text.String()), " "); words != "" {
		err = fmt.Errorf("%w: %s", err, masked(words))
	}
	return "", err
}

// environment returns what the program gets beside its input.
func environment(id string, m *Message) []string {
	var env []string
	for _, name := range passed() {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	var events []string
	seen := map[string]bool{}
	for _, a := range m.Data.Alerts {
		if !seen[a.Event] {
			seen[a.Event] = true
			events = append(events, a.Event)
		}
	}
	return append(env, "MAILHATCH_ALERT_ID="+id, "MAILHATCH_ALERT_TYPE="+m.Type, "MAILHATCH_ALERT_STATUS="+string(m.Data.Status),
		"MAILHATCH_ALERT_EVENTS="+strings.Join(events, ","), "MAILHATCH_ALERT_HOSTNAME="+m.Data.Hostname, "MAILHATCH_ALERT_GATEWAY="+m.Data.Gateway,
		"MAILHATCH_ALERT_TEXT="+strings.ReplaceAll(m.Text, "\x00", ""))
}

// head keeps the first bytes that were written. The buffer is no part of it: it would take all at once.
type head struct{ text bytes.Buffer }

// Write takes all, and forgets what is too much.
func (h *head) Write(p []byte) (int, error) {
	if room := maxSaid - h.text.Len(); room > 0 {
		h.text.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
