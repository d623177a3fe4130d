// Package soak runs mailhatch for a long time with failing providers, reloads, an outage, kills, a damaged log,
// a clock that steps, slow clients and a reader of its log that stalls.
package soak

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/test/freeport"
)

// soak is one long run of mailhatch under load, with providers that fail.
type soak struct {
	binary   string
	self     string // path of this program
	dir      string
	rate     float64 // messages/s
	faults   float64 // share of offers that fail
	duration time.Duration
	drain    time.Duration // longest wait for the rest, after the load
	sessions int
	size     int // bytes of a message

	ledger  *ledger
	api     *api
	relay   *relay
	port    int
	process *server.Process
	up      sync.RWMutex // held for writing while the gateway is down
	logs    *logReader
	log     io.Writer
}

const (
	reloadEvery  = time.Minute     // between two reloads; shorter runs have one in an eighth of their time
	outageLength = 2 * time.Minute // of the relay; shorter runs have a fifth of their time
	sampleEvery  = time.Second     // between two looks at the memory
)

// Command is `mailbench soak`.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench soak", flag.ContinueOnError)
	fs.SetOutput(stderr)
	s := &soak{log: stderr}
	fs.StringVar(&s.binary, "binary", "bin/mailhatch", "`path` of mailhatch")
	fs.StringVar(&s.dir, "dir", os.TempDir(), "`folder` for the queue, on a real disk")
	fs.DurationVar(&s.duration, "duration", 10*time.Minute, "`time` of load")
	fs.DurationVar(&s.drain, "drain", 2*time.Minute, "longest `time` to wait for the rest")
	fs.Float64Var(&s.rate, "rate", 300, "messages/s")
	fs.Float64Var(&s.faults, "faults", 0.05, "`share` of offers that fail")
	fs.IntVar(&s.sessions, "sessions", 24, "connections at once")
	fs.IntVar(&s.size, "size", 4096, "message size, bytes")
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	if s.duration < time.Second || s.rate <= 0 || s.faults < 0 || s.faults > 1 || s.sessions < 1 || s.drain <= 0 {
		return fmt.Errorf("%w: -duration must be 1s or more, -rate, -sessions and -drain above 0, -faults from 0 to 1", command.ErrUsage)
	}
	var err error
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if s.binary, err = filepath.Abs(s.binary); err != nil {
		return err
	}
	if _, err := os.Stat(s.binary); err != nil {
		return fmt.Errorf("no mailhatch to run: %w (make build)", err)
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil { // the gateway takes it beside its config
		return err
	}
	if s.dir, err = os.MkdirTemp(s.dir, "soak"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir) //nolint:errcheck // what is left is in a temporary folder
	report, err := s.run(ctx)
	if report != nil {
		err = errors.Join(err, report.write(stdout), report.verdict())
	}
	return err
}

// run returns the report; its error is a rig that did not work.
func (s *soak) run(ctx context.Context) (report *outcome, err error) {
	machine, err := host.Inspect(s.dir, 300*time.Millisecond)
	if err != nil {
		return nil, err
	}
	s.ledger = newLedger()
	faults := newFaults(s.faults)
	if s.api, err = startAPI(s.ledger, faults); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.api.close()) }()
	if s.relay, err = startRelay(ctx, s.ledger, faults); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.relay.close()) }()
	if s.logs, err = newLogReader(filepath.Join(s.dir, "errors.log")); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.logs.close()) }()
	if s.port, err = freeport.Reserve(ctx); err != nil {
		return nil, err
	}
	if err := s.writeConfig(0); err != nil {
		return nil, err
	}
	if err := s.start(ctx, false); err != nil {
		return nil, err
	}
	report = &outcome{machine: machine, soak: s}
	if err := s.work(ctx, report); err != nil {
		return nil, errors.Join(err, s.process.Stop())
	}
	faults.end()
	report.drained = s.awaitAll(ctx)
	report.stopErr = s.process.Stop()
	if report.stopErr == nil && s.process.WaitErr != nil {
		report.stopErr = fmt.Errorf("it ended with %w; its last words:\n%s", s.process.WaitErr, s.logs.tail())
	}
	report.left, err = s.left(ctx)
	report.tally, report.doubled = s.ledger.tally(), s.ledger.unexplained()
	report.conflicts = s.api.conflictCount()
	return report, err
}

// start starts the gateway, by a clock that step can shift or by the machine's.
func (s *soak) start(ctx context.Context, shifted bool) (err error) {
	cmd := exec.Command(s.binary, "serve")
	if shifted { // its log goes to a file: what waits for a reader is the program's own
		cmd = exec.Command(s.self, "stepped", "-offset", s.offset())
	} else {
		cmd.Stdout, cmd.Stderr = s.logs.w, s.logs.w
	}
	cmd.Env = append(os.Environ(), "MAILHATCH_CONFIG="+s.config())
	s.process, err = server.Start(ctx, cmd, s.dir, host.Loopback(s.port))
	return err
}

func (s *soak) config() string { return filepath.Join(s.dir, "config.toml") }
func (s *soak) offset() string { return filepath.Join(s.dir, "offset") }

// writeConfig writes the config of one time between two reloads; each differs from the one before.
func (s *soak) writeConfig(generation int) error {
	text := fmt.Sprintf(`hostname = "soak.example"
state_dir = %s
run_dir = %s
[[listener]]
address = "127.0.0.1:%d"
[upstream.api]
type = "resend"
api_key = "soak"
base_url = %q
max_concurrent = %d
[upstream.relay]
type = "smtp"
host = "127.0.0.1"
port = %d
tls = "none"
[[route]]
to = ["*@api.example"]
via = ["api"]
[[route]]
to = ["*@relay.example"]
via = ["relay"]
[[route]]
via = ["relay", "api"]
[queue]
retry = ["1s", "2s", "5s"]
on_failure = "keep"
[admin]
address = "off"
[log]
level = "info"
`, server.Quote(server.StateDir(s.dir)), server.Quote(s.dir), s.port, s.api.url(), 16+generation%4, s.relay.port)
	draft := s.config() + ".new"
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, s.config())
}

// work sends the load while the gateway is reloaded, measured, and loses its relay for a time.
func (s *soak) work(ctx context.Context, report *outcome) error {
	ctx, cancel := context.WithTimeout(ctx, s.duration+time.Minute)
	defer cancel()
	during, over := context.WithCancel(ctx)
	defer over()
	var wg sync.WaitGroup
	var reloadErr, outageErr, crashErr error
	wg.Go(func() { report.reloads, reloadErr = s.reload(during) })
	wg.Go(func() { report.outage, outageErr = s.outage(during) })
	wg.Go(func() { report.crashes, crashErr = s.crash(during) })
	wg.Go(func() { report.slow = s.slowClients(during) })
	wg.Go(func() { report.stalls = s.logs.stall(during, s.duration) })
	wg.Go(func() { report.memory = s.sample(during) })
	err := s.load(ctx, report)
	over()
	wg.Wait()
	return errors.Join(err, reloadErr, outageErr, crashErr)
}

// reload changes the config and has it read, by command and by signal in turn.
func (s *soak) reload(ctx context.Context) (n int, err error) {
	every := min(reloadEvery, s.duration/8)
	for host.SleepUntil(ctx, time.Now().Add(every)) {
		n++
		if err := s.reloadOnce(ctx, n); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *soak) reloadOnce(ctx context.Context, n int) error {
	s.up.RLock()
	defer s.up.RUnlock()
	if err := s.writeConfig(n); err != nil {
		return err
	}
	if n%2 == 0 && s.process.Cmd.Process.Signal(syscall.SIGHUP) == nil {
		return nil
	}
	if out, err := s.command(ctx, "reload"); err != nil && ctx.Err() == nil {
		return fmt.Errorf("reload %d: %w: %s", n, err, out)
	}
	return nil
}

// command runs a subcommand of mailhatch with the config of the soak.
func (s *soak) command(ctx context.Context, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, s.binary, append([]string{"-c", s.config()}, args...)...).CombinedOutput()
}

// outage takes the relay away after two fifths of the time.
func (s *soak) outage(ctx context.Context) (took time.Duration, err error) {
	if !host.SleepUntil(ctx, time.Now().Add(s.duration*2/5)) {
		return 0, nil
	}
	began := time.Now()
	s.relay.down()
	host.SleepUntil(ctx, began.Add(min(outageLength, s.duration/5)))
	took = time.Since(began)
	return took, s.relay.up()
}

// sample looks at the memory of the gateway until ctx ends. It gives none where the system does not tell.
func (s *soak) sample(ctx context.Context) (pss []int64) {
	for host.SleepUntil(ctx, time.Now().Add(sampleEvery)) {
		s.up.RLock()
		pid := s.process.Cmd.Process.Pid
		s.up.RUnlock()
		if now, err := host.TreeUsage(pid); err == nil && now.PSS > 0 {
			pss = append(pss, now.PSS)
		}
	}
	return pss
}

// awaitAll waits for all that was acknowledged, and for an empty queue: mail whose reply was lost has
// arrived and waits for its next offer. It says how long that took; below 0: in vain.
func (s *soak) awaitAll(ctx context.Context) time.Duration {
	began := time.Now()
	for {
		if s.ledger.missing() == 0 {
			if left, err := s.left(ctx); err == nil && len(left) == 0 {
				return time.Since(began)
			}
		}
		if time.Since(began) > s.drain || !host.SleepUntil(ctx, time.Now().Add(200*time.Millisecond)) {
			return -1
		}
	}
}
