package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/test/freeport"
)

const durableMessages = 200

// durable proves with strace that each message is on stable storage before its 250.
func durable(ctx context.Context, b *rig, o *Outcome) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		o.Skipped = "strace is not installed (Debian: apt-get install strace)"
		return nil
	}
	for _, n := range []int{1, 16} {
		d, why, err := b.durable(ctx, strace, n)
		if err != nil {
			return err
		}
		if why != "" {
			o.Skipped = why
			return nil
		}
		o.Checks = append(o.Checks,
			amount("durable", fmt.Sprintf("250s before the fsync that covers them, %s", sessions(n)), "%.0f", float64(d.Promises-d.Proved)).atMost(0, 0),
			amount("durable", "fsyncs for each message", "%.2f", float64(d.Syncs)/float64(max(1, d.Promises))))
		o.note("%s: %s", sessions(n), d)
		if d.Promises < durableMessages || len(d.Broken) > 0 {
			return fmt.Errorf("%d messages were sent: %s: %s", durableMessages, d, strings.Join(d.Broken[:min(3, len(d.Broken))], "; "))
		}
	}
	return nil
}

// durable traces a server that accepts messages. why says that this machine lets nobody trace.
func (b *rig) durable(ctx context.Context, strace string, sessions int) (d durability, why string, err error) {
	dir, err := os.MkdirTemp(b.dir, "durable")
	if err != nil {
		return d, "", err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		return d, fmt.Sprintf("strace may not trace here: %v: %s", err, strings.TrimSpace(string(out))), nil
	}
	port, err := freeport.Reserve(ctx)
	if err != nil {
		return d, "", err
	}
	config, err := server.WriteConfig(dir, "", port, server.Target{Upstream: "hold", SMTP: 1})
	if err != nil {
		return d, "", err
	}
	trace := filepath.Join(dir, "trace")
	// -D: strace is the grandchild, so that the server is our child and gets our signals.
	cmd := exec.Command(strace, "-D", "-f", "-ttt", "-T", "-y", "-s", "100000", "-o", trace,
		"-e", "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync", b.binary, "serve")
	cmd.Env = append(os.Environ(), "MAILHATCH_CONFIG="+config)
	p, err := server.Start(ctx, cmd, dir, host.Loopback(port))
	if err != nil {
		return d, "", err
	}
	l := measure.Case{Size: 4096, Sessions: sessions}.LoadFor(p.Addr, 0)
	l.Messages = durableMessages
	result, err := l.Send(ctx)
	if err := errors.Join(err, p.Stop()); err != nil {
		return d, "", err
	}
	if result.Accepted < durableMessages {
		return d, "", fmt.Errorf("%d of %d messages accepted: %v", result.Accepted, durableMessages, result.Problems)
	}
	f, err := awaitTrace(ctx, trace)
	if err != nil {
		return d, "", err
	}
	defer f.Close()
	events, err := readTrace(f)
	return proveDurability(events, server.StateDir(dir)), "", err
}

// awaitTrace opens a trace once strace, which outlives the server by a moment, has written its last lines.
func awaitTrace(ctx context.Context, path string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, server.StopLimit)
	defer cancel()
	size := int64(-1)
	for {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.Size() == size && exitWritten(path, size) {
			return os.Open(path)
		}
		size = info.Size()
		if !host.Pause(ctx, 100*time.Millisecond) {
			return nil, fmt.Errorf("strace has not ended: %w", ctx.Err())
		}
	}
}

// exitWritten reports whether a trace ends with the end of its process.
func exitWritten(path string, size int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	last := make([]byte, min(size, 200))
	n, _ := f.ReadAt(last, size-int64(len(last))) // a short read is judged by what it has
	return bytes.Contains(last[:n], []byte("+++ exited with")) || bytes.Contains(last[:n], []byte("+++ killed by"))
}
