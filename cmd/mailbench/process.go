package main

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
)

const (
	startLimit = 15 * time.Second // from exec to 220
	stopLimit  = 15 * time.Second // from SIGTERM to the end
)

// processLog is the file of a server's folder that takes its output.
const processLog = "output.log"

// process is a server under test.
type process struct {
	cmd     *exec.Cmd
	addr    string
	log     string        // path of its output
	ended   chan struct{} // closed when it has
	waitErr error         // valid after ended
	startup time.Duration // from exec to 220
}

// startProcess starts cmd with its output in a file of dir, and waits until addr says 220.
func startProcess(ctx context.Context, cmd *exec.Cmd, dir, addr string) (*process, error) {
	p := &process{cmd: cmd, addr: addr, log: filepath.Join(dir, processLog), ended: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, for which stop waits
		p.waitErr = cmd.Wait()
		close(p.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		c, err := dial(ctx, addr, time.Second)
		if err == nil {
			p.startup = time.Since(began)
			c.quit()
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("%s ended at once (%v):\n%s", cmd.Path, p.waitErr, p.tail())
		case <-ctx.Done():
			p.stop()
			return nil, fmt.Errorf("%s does not answer at %s (%v):\n%s", cmd.Path, addr, err, p.tail())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// stop ends the process as its operator would, by SIGTERM, or by force when it does not comply.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = p.cmd.Process.Kill() // Windows knows no SIGTERM
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopLimit):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("%s did not end within %s of SIGTERM", p.cmd.Path, stopLimit)
}

// lifetimeCPU is the CPU time of all its life, warm-up included. Only after stop.
func (p *process) lifetimeCPU() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// tail gives the last lines of its output.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
}
