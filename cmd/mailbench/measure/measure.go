// Package measure runs a server between load and sink, and reports what it accepts, delivers and needs.
package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/latency"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/cmd/mailbench/sink"
)

// Case is one line of the table: what is sent where.
type Case struct {
	Upstream      string        `json:"upstream"`
	Size          int           `json:"size"` // bytes
	Sessions      int           `json:"sessions"`
	PerConnection int           `json:"per_connection,omitempty"` // messages; 0: all of a session
	SinkDelay     time.Duration `json:"sink_delay_ns,omitempty"`  // before the sink's answer to each message
	Concurrent    int           `json:"max_concurrent,omitempty"` // deliveries at once; 0: as by default
}

// Timing bounds one case.
type Timing struct {
	Load  time.Duration // messages are begun
	Drain time.Duration // longest wait for the sink to have all, after the load
	Probe time.Duration // of the disk, and of each ceiling
}

// Row is what was measured in one case.
type Row struct {
	Server string `json:"server"`
	Case
	Failed     string       `json:"failed,omitempty"` // why there are no figures
	Load       *load.Result `json:"load,omitempty"`
	Sink       sink.Stats   `json:"sink"`
	Accept     float64      `json:"accept_per_s"`
	Ceiling    float64      `json:"ceiling_per_s"`     // the same load straight to the sink
	Delivered  float64      `json:"delivered_per_s"`   // from the first connection to the last arrival
	Undrained  int          `json:"undrained"`         // accepted, not yet at the sink when the drain time was over
	CPU        float64      `json:"cpu_us_per_msg"`    // accepted and delivered, user and system
	CPUIsTotal bool         `json:"cpu_is_lifetime"`   // CPU includes start and warm-up: the system tells no better
	PSS        int64        `json:"peak_pss_bytes"`    // all processes; 0: unknown
	HWM        int64        `json:"vmhwm_bytes"`       // of the main process; 0: unknown
	Startup    float64      `json:"exec_to_220_ms"`    // empty queue
	Unclean    string       `json:"unclean,omitempty"` // the server's end was not what SIGTERM asks for
}

const LoadTimeout = 30 * time.Second

// Run runs one case in a new directory below base. What goes wrong is in the row.
func Run(ctx context.Context, launch server.Launcher, server, base string, c Case, t Timing) Row {
	dir, err := os.MkdirTemp(base, server)
	if err != nil {
		return Row{Server: server, Case: c, Failed: err.Error()}
	}
	defer os.RemoveAll(dir)
	return RunIn(ctx, launch, server, dir, c, t)
}

// RunIn runs one case in a directory that may hold a queue already.
func RunIn(ctx context.Context, launch server.Launcher, server, dir string, c Case, t Timing) Row {
	host.Settle() // what the one before left to write is not this one's burden
	row := Row{Server: server, Case: c}
	if err := row.run(ctx, launch, dir, t); err != nil {
		row.Failed = err.Error()
	}
	return row
}

func (row *Row) run(ctx context.Context, launch server.Launcher, dir string, t Timing) (err error) {
	dst, stopSink, err := sink.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopSink()) }()
	p, err := launch(ctx, dir, row.At(dst))
	if err != nil {
		return err
	}
	row.Startup = latency.Milliseconds(p.Startup)
	err = row.measure(ctx, p, dst, t)
	if stopErr := p.Stop(); stopErr != nil {
		row.Unclean = stopErr.Error()
	}
	if row.CPUIsTotal && row.Load != nil {
		row.CPU = perMessage(p.LifetimeCPU(), row.Load.Accepted)
	}
	if err != nil {
		return fmt.Errorf("%w; its last words:\n%s", err, p.Tail())
	}
	return nil
}

// Run loads a running server and reads the figures.
func (row *Row) measure(ctx context.Context, p *server.Process, dst *sink.Sink, t Timing) error {
	if err := row.WarmUp(ctx, p.Addr, dst); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	m, err := host.StartMeter(ctx, p.Cmd.Process.Pid)
	if errors.Is(err, errors.ErrUnsupported) {
		row.CPUIsTotal = true
	} else if err != nil {
		return err
	}
	row.Load, err = row.LoadFor(p.Addr, t.Load).Send(ctx)
	if err == nil && row.Upstream != "hold" {
		drain, cancel := context.WithTimeout(ctx, t.Drain)
		_ = dst.Await(drain, row.Load.Accepted) // a timeout shows as Undrained
		cancel()
	}
	if m != nil {
		used, meterErr := m.Finish()
		err = errors.Join(err, meterErr)
		row.PSS, row.HWM = used.PSS, used.HWM
		if row.Load != nil {
			row.CPU = perMessage(used.CPU, row.Load.Accepted)
		}
	}
	if err != nil {
		return err
	}
	row.Accept = row.Load.PerSecond
	row.Sink = dst.Stats()
	if row.Upstream == "hold" {
		return nil
	}
	row.Undrained = max(0, row.Load.Accepted-row.Sink.Unique)
	if row.Sink.Unique > 0 {
		row.Delivered = float64(row.Sink.Unique) / row.Sink.Last.Sub(row.Load.Began).Seconds()
	}
	return nil
}

// WarmUp sends a few messages through, so that connections, pools and prepared statements are there,
// and then empties the counts. From then on the sink is as slow as the case says.
func (row *Row) WarmUp(ctx context.Context, addr string, dst *sink.Sink) error {
	l := row.LoadFor(addr, 0)
	l.Messages = 2 * row.Sessions
	result, err := l.Send(ctx)
	if err != nil {
		return err
	}
	if result.Accepted < l.Messages {
		return fmt.Errorf("%d of %d messages accepted: %v", result.Accepted, l.Messages, result.Problems)
	}
	if row.Upstream != "hold" {
		ctx, cancel := context.WithTimeout(ctx, server.StartLimit)
		defer cancel()
		if err := dst.Await(ctx, l.Messages); err != nil {
			return fmt.Errorf("%d of %d messages reached the sink within %s", dst.Stats().Unique, l.Messages, server.StartLimit)
		}
	}
	dst.Reset()
	dst.SetFaults(sink.Faults{Delay: row.SinkDelay})
	return nil
}

func (c Case) LoadFor(addr string, d time.Duration) load.Load {
	return load.Load{
		Addr: addr, Sessions: c.Sessions, Duration: d, Size: c.Size, Recipients: 1,
		PerConnection: c.PerConnection, Timeout: LoadTimeout,
	}
}

func perMessage(cpu time.Duration, messages int) float64 {
	if messages == 0 {
		return 0
	}
	return float64(cpu.Microseconds()) / float64(messages)
}

// ceiling measures the load straight to a sink: what no server between the two can exceed here.
func ceiling(ctx context.Context, c Case, d time.Duration) (perSecond float64, err error) {
	dst, stop, err := sink.Start(ctx)
	if err != nil {
		return 0, err
	}
	result, err := c.LoadFor(dst.SMTPAddr().String(), d).Send(ctx)
	if err := errors.Join(err, stop()); err != nil {
		return 0, fmt.Errorf("load straight to the sink: %w", err)
	}
	return result.PerSecond, nil
}

// At makes a sink the target of a case.
func (c Case) At(dst *sink.Sink) server.Target {
	return server.Target{Upstream: c.Upstream, SMTP: dst.SMTPAddr().Port, URL: dst.URL(), Concurrent: c.Concurrent}
}
