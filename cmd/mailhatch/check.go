package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/machine"
	"mailhatch/cmd/mailhatch/machine/unit"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/gateway/queue/engines"
	"mailhatch/upstream"
)

// load reads the config that the command line and the environment name, to look at it: what is not known here is a
// warning.
func (a *app) load() (*config.Config, error) {
	opts := a.loadOptions()
	opts.Lenient = true
	return config.Load(config.Find(a.configPath), opts)
}

// loadWhole reads the config to serve by it.
func (a *app) loadWhole() (*config.Config, error) {
	return config.Load(config.Find(a.configPath), a.loadOptions())
}

func (a *app) loadOptions() config.Options {
	return config.Options{Kinds: a.upstreamKinds(), Version: versionString(), Stdout: a.stdout}
}

// config is load for commands that need no upstreams.
func (a *app) config() (*config.Config, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	return cfg, cfg.Close()
}

// checkResult is what `check --json` prints.
type checkResult struct {
	File      string             `json:"file"` // "" for the built-in config
	OK        bool               `json:"ok"`
	Problems  []config.Problem   `json:"problems,omitempty"`
	Warnings  []string           `json:"warnings,omitempty"`
	Listeners int                `json:"listeners"`
	Routes    int                `json:"routes"`
	Upstreams []api.Checked      `json:"upstreams"`
	Machine   []upstream.Finding `json:"machine,omitempty"` // with --online
}

var errOnline = errors.New("some checks failed")

// runCheck reads the config as serve would, and tries the upstreams when asked to.
func runCheck(ctx context.Context, a *app, args []string) error {
	fs := a.flags("check")
	online := fs.Bool("online", false, "check network, credentials and domains of each upstream, and this machine; no mail is sent")
	asJSON := fs.Bool("json", false, "one JSON object")
	if err := command.ParseAlone(fs, args); err != nil {
		return err
	}
	service := unit.Load(ctx, config.Find(a.configPath))
	returned, err := service.Lend()
	if err != nil {
		return err
	}
	defer returned()
	cfg, err := a.load()
	var bad *config.Error
	if *asJSON && errors.As(err, &bad) {
		return errors.Join(a.printJSON(checkResult{File: bad.File, Problems: bad.Problems}), command.ExitCode(1))
	}
	if err != nil {
		return err
	}
	defer cfg.Close() //nolint:errcheck // nothing was sent
	r := checkResult{File: cfg.File, OK: true, Warnings: cfg.Warnings, Listeners: len(cfg.Listeners), Routes: cfg.Routes.Len()}
	if *online {
		end, err := gateway.ShareTokens(ctx, cfg)
		if err != nil {
			r.Warnings = append(r.Warnings, fmt.Sprintf("the tokens of the gateways on this queue cannot be read: %v", err))
		}
		defer end() //nolint:errcheck // nothing was written
	}
	r.Warnings = append(r.Warnings, expiryWarnings(cfg, *online)...)
	for i := range cfg.Upstreams {
		u := a.checkUpstream(ctx, &cfg.Upstreams[i], *online)
		r.OK = r.OK && u.Error == ""
		r.Upstreams = append(r.Upstreams, u)
	}
	if *online {
		r.Machine = machine.Findings(ctx, cfg, service)
		r.OK = r.OK && !failed(r.Machine)
	} else {
		r.Warnings = append(r.Warnings, serviceWarnings(service.Findings(cfg))...)
	}
	switch {
	case *asJSON && !r.OK:
		return errors.Join(a.printJSON(r), command.ExitCode(1))
	case *asJSON:
		return a.printJSON(r)
	}
	a.printCheck(&r, *online)
	if !r.OK {
		return errOnline
	}
	return nil
}

// serviceWarnings are findings in a line each.
func serviceWarnings(findings []upstream.Finding) []string {
	var list []string
	for _, f := range findings {
		list = append(list, f.Text+"; hint: "+f.Hint)
	}
	return list
}

// expiryWarnings names what upstreams log in with that ends soon, and those that nobody has logged in to, which
// --online finds too; what gateways share is in their database, which is not asked without it.
func expiryWarnings(cfg *config.Config, online bool) (list []string) {
	for i := range cfg.Upstreams {
		name := cfg.Upstreams[i].Name
		if e, ok := cfg.Upstreams[i].Upstream.(upstream.Expiring); ok {
			for _, x := range e.Expiries() {
				if x.EndsSoon(time.Now()) {
					list = append(list, fmt.Sprintf("upstream.%s: its %s ends on %s", name, x.Name, x.At.Local().Format(time.DateOnly)))
				}
			}
		}
		if l, ok := cfg.Upstreams[i].Upstream.(upstream.Loginer); ok && !online && !engines.Shared(cfg.Queue.Engine) && l.NeedsLogin() {
			list = append(list, fmt.Sprintf("upstream.%s: nobody has logged in yet; hint: run mailhatch login %s", name, name))
		}
	}
	return list
}

func (a *app) printCheck(r *checkResult, online bool) {
	for _, w := range r.Warnings {
		fmt.Fprintln(a.stderr, "mailhatch: warning: "+w)
	}
	fmt.Fprintf(a.stdout, "%s is valid: %s, %s, %s\n", cmp.Or(r.File, "the built-in config"),
		terminal.Count(r.Listeners, "listener"), terminal.Count(len(r.Upstreams), "upstream"), terminal.Count(r.Routes, "route"))
	for _, u := range r.Upstreams {
		switch {
		case !online:
		case u.Error != "":
			fmt.Fprintf(a.stdout, "upstream %s (%s): FAILED: %s\n", u.Name, u.Kind, u.Error)
		case !u.Tried:
			fmt.Fprintf(a.stdout, "upstream %s (%s): nothing to check\n", u.Name, u.Kind)
		default:
			fmt.Fprintf(a.stdout, "upstream %s (%s): works (%d ms)\n", u.Name, u.Kind, u.Millis)
		}
		printFindings(a.stdout, u.Findings)
	}
	if online {
		fmt.Fprintln(a.stdout, "this machine:")
		printFindings(a.stdout, r.Machine)
	}
}

// checkUpstream checks an upstream: here, or by the running gateway where the service alone has its secrets.
func (a *app) checkUpstream(ctx context.Context, u *config.Upstream, online bool) api.Checked {
	switch {
	case !online:
		return api.Checked{Name: u.Name, Kind: u.Kind.Name}
	case len(u.Lacking) == 0:
		return gateway.Check(ctx, u)
	}
	r := api.Checked{Name: u.Name, Kind: u.Kind.Name, Tried: true}
	client, _, err := a.client(ctx)
	if err == nil {
		defer client.Close()
		var found *api.Checked
		if found, err = client.Check(ctx, u.Name); err == nil {
			return *found
		}
	}
	r.Error = fmt.Sprintf("%s, and the running gateway could not be asked: %v", strings.Join(u.Lacking, "; "), err)
	return r
}

// printFindings writes a line for each, and below it what to do.
func printFindings(w io.Writer, list []upstream.Finding) {
	for _, f := range list {
		fmt.Fprintf(w, "  %-4s  %-9s  %s\n", f.Level, terminal.Plain(f.Name), terminal.Plain(f.Text))
		if f.Hint != "" && f.Level != upstream.Fine {
			fmt.Fprintf(w, "        hint: %s\n", terminal.Plain(f.Hint))
		}
	}
}

// failed reports whether one of them is a failure.
func failed(list []upstream.Finding) bool {
	return slices.ContainsFunc(list, func(f upstream.Finding) bool { return f.Level == upstream.Fail })
}
