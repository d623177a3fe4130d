// Package server starts the servers under test: mailhatch, Postfix and a relay without a queue.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/load"
)

const (
	StartLimit = 15 * time.Second // from exec to 220
	StopLimit  = 15 * time.Second // from SIGTERM to the end
)

// processLog is the file of a server's folder that takes its output.
const processLog = "output.log"

// Process is a server under test.
type Process struct {
	Cmd     *exec.Cmd
	Addr    string
	log     string        // path of its output
	ended   chan struct{} // closed when it has
	WaitErr error         // valid after ended
	Startup time.Duration // from exec to 220
}

// Start starts cmd with its output in a file of dir, unless it has a place for that, and waits until addr says 220.
func Start(ctx context.Context, cmd *exec.Cmd, dir, addr string) (*Process, error) {
	p := &Process{Cmd: cmd, Addr: addr, log: filepath.Join(dir, processLog), ended: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if cmd.Stderr == nil {
		cmd.Stdout, cmd.Stderr = out, out
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, for which stop waits
		p.WaitErr = cmd.Wait()
		close(p.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	for {
		c, err := load.Dial(ctx, addr, time.Second)
		if err == nil {
			p.Startup = time.Since(began)
			c.Quit()
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("%s ended at once (%v):\n%s", cmd.Path, p.WaitErr, p.Tail())
		case <-ctx.Done():
			p.Stop()
			return nil, fmt.Errorf("%s does not answer at %s (%v):\n%s", cmd.Path, addr, err, p.Tail())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Stop ends the process as its operator would, by SIGTERM, or by force when it does not comply.
func (p *Process) Stop() error {
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = p.Cmd.Process.Kill() // Windows knows no SIGTERM
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(StopLimit):
	}
	_ = p.Cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("%s did not end within %s of SIGTERM", p.Cmd.Path, StopLimit)
}

// Kill ends the process as a crash would.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.ended
}

// LifetimeCPU is the CPU time of all its life, warm-up included. Only after stop.
func (p *Process) LifetimeCPU() time.Duration {
	return p.Cmd.ProcessState.UserTime() + p.Cmd.ProcessState.SystemTime()
}

// Tail returns the last lines of its output.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
}

// PSS is the proportional set size of a process and its descendants now, MiB; 0: unknown.
func (p *Process) PSS() float64 {
	u, err := host.TreeUsage(p.Cmd.Process.Pid)
	if err != nil {
		return 0
	}
	return float64(u.PSS) / (1 << 20)
}
