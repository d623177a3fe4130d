// Package top shows how a gateway is, again and again, on a terminal.
package top

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/meter"
)

// Source is what is looked at: an admin.Client.
type Source interface {
	Status(ctx context.Context) (*api.Status, error)
	Recent(ctx context.Context) ([]api.Event, error)
	Metrics(ctx context.Context) ([]meter.Sample, error)
}

// look asks for all that a frame shows. What it does not get leaves what was there.
func (v *view) look(ctx context.Context, src Source) {
	v.now = time.Now()
	status, err := src.Status(ctx)
	if err == nil {
		v.status = status
		v.events, err = src.Recent(ctx)
	}
	if err == nil {
		var samples []meter.Sample
		if samples, err = src.Metrics(ctx); err == nil {
			v.track = v.track.add(newTally(time.Now(), samples))
		}
	}
	v.err = err
}

// Snapshot writes one frame as plain text.
func Snapshot(ctx context.Context, src Source, out io.Writer) error {
	v := &view{}
	if v.look(ctx, src); v.err != nil {
		return v.err
	}
	var b strings.Builder
	for _, l := range v.frame(0, 0) {
		b.WriteString(strings.TrimRight(terminal.Plain(l.text), " ") + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// Live shows frames on the terminal tty until ctx ends or somebody at keys, the keyboard, has seen enough. The terminal is
// as it was before when Live returns.
func Live(ctx context.Context, src Source, tty, keys *os.File, every time.Duration) error {
	v := &view{live: true}
	if v.look(ctx, src); v.err != nil {
		return v.err
	}
	screen, err := terminal.TakeOver(tty, keys)
	if err != nil {
		return err
	}
	defer screen.GiveBack() //nolint:errcheck // the terminal has gone
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := v.draw(screen); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case key := <-screen.Keys():
			if key == 'q' || key == 'Q' || key == terminal.Interrupt {
				return nil
			}
		case <-screen.Resized():
			continue
		case <-tick.C:
		}
		v.look(ctx, src)
	}
}

// draw puts a frame on the screen.
func (v *view) draw(screen *terminal.Full) error {
	width, height := screen.Size()
	var b strings.Builder
	for i, l := range v.frame(width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		text := terminal.Clip(terminal.Plain(l.text), width)
		if l.style != "" {
			text = fmt.Sprintf("\x1b[%sm%s\x1b[0m", l.style, text)
		}
		b.WriteString(text + "\x1b[K") // the rest of the line goes
	}
	return screen.Show(b.String())
}
