package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/server"
)

// upkeepRate is messages/s: about a tenth of what a small machine accepts, so that what is measured is not the load.
const upkeepRate = 300

// upkeep accepts at an even pace while backups are made one after the other, and the log is carried over.
func upkeep(ctx context.Context, b *rig, o *Outcome) error {
	n := b.scaled(20_000)
	got := samples{}
	for range b.rounds {
		dir, remove, err := b.full(ctx, filling{Queued: n})
		if err != nil {
			return err
		}
		err = b.upkeep(ctx, dir, got)
		remove()
		if err != nil {
			return err
		}
	}
	for _, when := range []string{"alone", "beside backups"} {
		o.Checks = append(o.Checks, ratio("upkeep", fmt.Sprintf("p99.9 of MAIL to 250, %d/s, %s", upkeepRate, when), "%.2f ms", got.median(when+" p999"), "p50", got.median(when+" p50")).atMost(5, 5))
	}
	o.Checks = append(o.Checks, amount("upkeep", fmt.Sprintf("backups of %d messages meanwhile", n), "%.0f", got.median("backups")))
	return nil
}

func (b *rig) upkeep(ctx context.Context, dir string, got samples) error {
	p, err := whenQuiet(b.servers["mailhatch"], nil)(ctx, dir, server.Target{Upstream: "hold", SMTP: 1})
	if err != nil {
		return err
	}
	for _, when := range []string{"alone", "beside backups"} {
		l := measure.Case{Size: 4096, Sessions: 16}.LoadFor(p.Addr, 3*b.timing.Load)
		l.Rate = upkeepRate
		during, over := context.WithCancel(ctx)
		var work sync.WaitGroup
		if when != "alone" {
			work.Go(func() {
				n := 0
				for during.Err() == nil {
					if err = b.backup(during, dir); err != nil {
						break
					}
					n++
				}
				got.add("backups", float64(n))
			})
		}
		result, sendErr := l.Send(ctx)
		over()
		work.Wait()
		if err = errors.Join(sendErr, err); err != nil {
			break
		}
		got.add(when+" p50", result.Latency.P50)
		got.add(when+" p999", result.Latency.P999)
	}
	return errors.Join(err, p.Stop())
}

// backup has the server of a folder make a backup; none is left.
func (b *rig) backup(ctx context.Context, dir string) error {
	file := filepath.Join(dir, "backup.tar.gz")
	cmd := exec.CommandContext(ctx, b.binary, "backup", file)
	cmd.Env = append(os.Environ(), "MAILHATCH_CONFIG="+filepath.Join(dir, "config.toml"))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = nil
	} else if err != nil {
		err = fmt.Errorf("mailhatch backup: %w: %s", err, out)
	}
	return errors.Join(err, os.RemoveAll(file))
}
