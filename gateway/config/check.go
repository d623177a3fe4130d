package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/config/decode"
	"mailhatch/gateway/config/environ"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue/engines"
	"mailhatch/mime"
	"mailhatch/mime/hostname"
	"mailhatch/upstream"
)

// checker turns a decoded file into a Config and reports what is wrong with it.
type checker struct {
	*decode.Decoder
	lines decode.Lines    // of the decoder
	bad   map[string]bool // of the decoder
	opts  Options
	file  document
}

// check looks at everything, whatever is wrong already, so that all problems come at once.
func (c *checker) check() *Config {
	cfg := &Config{
		File: c.File, ShutdownTimeout: c.file.ShutdownTimeout.Duration, MaxInFlight: c.file.MaxInFlight,
		Log: c.file.Log,
	}
	cfg.Hostname = c.hostname()
	c.dirs(cfg)
	cfg.Identity = c.identity(cfg.Hostname)
	cfg.Aliases = c.aliases()
	c.aliasLoops(cfg)
	cfg.Listeners = c.listeners()
	names := c.upstreamNames()
	cfg.Upstreams = c.upstreams(names, cfg.Hostname)
	c.hostSenders(cfg)
	cfg.Routes = c.routes(names)
	cfg.Rewrites = c.rewrites(cfg)
	c.strangers(cfg.Listeners)
	c.queue()
	cfg.Queue = c.file.Queue
	c.keyErrors("suppression", c.file.Suppression.Check())
	cfg.Suppression = c.file.Suppression
	c.admin(&c.file.Admin)
	cfg.Admin = c.file.Admin
	c.events(cfg)
	cfg.Alerts = c.alerts()
	cfg.Canary = c.canary(cfg, names)
	c.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	c.oneOf("log.format", cfg.Log.Format, "auto", "text", "json")
	c.permissions()
	c.shortName(cfg)
	return cfg
}

// hasBadKey reports whether a table or a key within it is among the bad ones.
func hasBadKey(bad map[string]bool, table string) bool {
	for path := range bad {
		if path == table || strings.HasPrefix(path, table+".") {
			return true
		}
	}
	return false
}

func (c *checker) hostname() string {
	name := c.file.Hostname
	if name == "" {
		system, _ := os.Hostname()
		hosts, _ := os.ReadFile("/etc/hosts") // there is none on some systems
		return hostname.Own(system, string(hosts))
	}
	if err := hostname.Check(name); err != nil {
		c.report("hostname", err.Error(), `write a name such as "app1.example.com"`)
	}
	return name
}

// shortName warns of a machine whose name will be seen outside and has no domain.
func (c *checker) shortName(cfg *Config) {
	outside := func(u Upstream) bool { return u.Kind.Setup != nil }
	if c.file.Hostname == "" && !strings.Contains(cfg.Hostname, ".") && slices.ContainsFunc(cfg.Upstreams, outside) {
		fix := `write hostname = "%[1]s.example.com", with your domain, above the first table`
		if c.File == Environment {
			fix = "set " + environ.Hostname + "=%[1]s.example.com, with your domain"
		}
		c.warn("hostname", "is %[1]q, the name of this machine, which has no domain: servers may refuse it, and replies to root@%[1]s get lost; "+fix, cfg.Hostname)
	}
}

func (c *checker) dirs(cfg *Config) {
	dir, err := resolveStateDir(c.File, c.file.StateDir)
	if err != nil {
		c.report("state_dir", err.Error(), "set state_dir")
	}
	cfg.StateDir = dir
	cfg.RunDir = resolveRunDir(c.File, c.file.RunDir, dir)
	if c.file.StateDir != "" && c.File == packagedConfig && dropsElsewhere(packagedConfig, dir, packagedStateDir) {
		c.warn("state_dir", "accounts that may not read this file do not know of it: their sendmail leaves mail in %[1]s, where the gateway does not look. "+
			"chmod 644 this file (secrets as file: or cred:), or make %[1]s a link to state_dir", packagedStateDir)
	}
}

func (c *checker) identity(host string) *identity.Identity {
	t := c.file.Identity
	if t.Domain == "" {
		t.Domain = host
	} else if err := hostname.Check(t.Domain); err != nil {
		c.report("identity.domain", err.Error(), `write a name such as "example.com"`)
	}
	id, err := identity.New(t.Domain, host, t.DefaultFrom)
	if err != nil {
		c.report("identity.default_from", err.Error(), `write "App <noreply@example.com>"`)
	}
	for i, d := range t.LocalDomains {
		if err := hostname.Check(d); err != nil {
			c.report(indexPath("identity.local_domains", i), err.Error(), `write names of this machine, such as "localhost" or "app1.lan"`)
		}
	}
	id.LocalDomains = t.LocalDomains
	return id
}

// aliases joins the table [aliases] and the aliases_file; the table wins.
func (c *checker) aliases() *identity.Aliases {
	a, errs := identity.NewAliases(c.file.Aliases, listsBeside(c.File))
	for _, e := range errs {
		var ke *identity.KeyError
		switch {
		case !errors.As(e, &ke):
		case ke.Mild:
			c.warn(joinPath("aliases", ke.Key), "%s", ke.Problem)
		default:
			c.report(itemPath(joinPath("aliases", ke.Key), ke.Item), ke.Problem, ke.Hint)
		}
	}
	path := c.file.AliasesFile
	if path == "" {
		return a
	}
	path = resolvePath(c.File, path)
	f, err := os.Open(path)
	if err != nil {
		c.report("aliases_file", "cannot be read: "+err.Error(), "")
		return a
	}
	defer f.Close()
	warnings, err := a.AddFile(path, f, listsBeside(path))
	if err != nil {
		c.report("aliases_file", "cannot be read: "+err.Error(), "")
	}
	c.Warnings = append(c.Warnings, warnings...)
	return a
}

// maxList is far beyond any list of addresses, in bytes.
const maxList = 16 << 20

// listsBeside opens lists of addresses that aliases of a file include: files, not devices that never end.
func listsBeside(file string) identity.OpenList {
	return func(path string) (io.ReadCloser, error) {
		path = resolvePath(file, path)
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a file")}
		case info.Size() > maxList:
			return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("larger than %d bytes", maxList)}
		}
		return os.Open(path)
	}
}

// aliasLoops warns of aliases that lead in circles: mail for them stays with their own name.
func (c *checker) aliasLoops(cfg *Config) {
	for _, name := range cfg.Aliases.Loops(cfg.Identity) {
		path := "aliases_file"
		for own := range c.file.Aliases {
			if mime.SameAddress(own, name) {
				path = joinPath("aliases", own)
			}
		}
		c.warn(path, "%s is an alias loop: mail for it goes by the routes", name)
	}
}

// warnAfter puts the times in order; "0s" alone is none.
func (c *checker) warnAfter(q *Queue) {
	given := q.WarnAfter
	q.WarnAfter = nil
	for i, d := range given {
		switch {
		case d.Duration == 0 && len(given) > 1:
			c.report(indexPath("queue.warn_after", i), "must be greater than zero in a list", `"0s" alone means: never`)
		case d.Duration >= q.MaxAge.Duration:
			c.report(indexPath("queue.warn_after", i), "must be shorter than max_age", "")
		case d.Duration > 0:
			q.WarnAfter = append(q.WarnAfter, d)
		}
	}
	slices.SortFunc(q.WarnAfter, func(a, b upstream.Duration) int { return cmp.Compare(a.Duration, b.Duration) })
	q.WarnAfter = slices.Compact(q.WarnAfter)
}

// Bounds of lease: shorter ones end while a database fails over, longer ones keep the mail of a dead gateway for too long.
const (
	leaseLeast = 5 * time.Second
	leaseMost  = 15 * time.Minute
)

// engine checks where the queue is kept.
func (c *checker) engine(q *Queue) {
	c.oneOf("queue.engine", q.Engine, engines.Names()...)
	text := q.URL.Reveal()
	switch shared := engines.Shared(q.Engine); {
	case c.isBad("queue.engine"), c.isBad("queue.url"):
	case shared && text == "":
		c.report("queue.url", "is missing: the engine keeps the queue in a database", `url = "env:DATABASE_URL"`)
	case shared:
		if !isDatabaseURL(text) {
			c.report("queue.url", "is not the URL of a PostgreSQL database", `write "postgres://user:password@host:5432/database", better as env:, file: or cred:`)
		}
	case text != "":
		c.report("queue.url", fmt.Sprintf("is of no use: engine %q keeps the queue in state_dir", q.Engine), `engine = "postgres" shares a database`)
	}
	if q.FallbackSpool && !c.isBad("queue.engine") && !engines.Shared(q.Engine) {
		c.report("queue.fallback_spool", "is for queues in a database", `engine = "sqlite" keeps all mail in state_dir`)
	}
	if d := q.Lease.Duration; !c.isBad("queue.lease") && (d < leaseLeast || d > leaseMost) {
		c.report("queue.lease", fmt.Sprintf("must be from %s to %s", leaseLeast, leaseMost), `"60s" is usual`)
	}
}

func isDatabaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql")
}

func (c *checker) queue() {
	q := &c.file.Queue
	if len(q.Retry) == 0 {
		c.report("queue.retry", "is empty", `write times, such as ["30s", "10m", "3h"]; the last one repeats`)
	}
	for i, d := range q.Retry {
		if d.Duration <= 0 {
			c.report(indexPath("queue.retry", i), "must be greater than zero", "")
		}
	}
	if d := q.MaxAge.Duration; d <= 0 {
		c.report("queue.max_age", "must be greater than zero", `"5d" is usual`)
	}
	c.warnAfter(q)
	c.engine(q)
	if q.FailoverAfter < 1 {
		c.report("queue.failover_after", "must be a number of attempts, 1 or more", "")
	}
	if q.KeepBodies.Duration > q.KeepSent.Duration {
		c.report("queue.keep_bodies", "must not be longer than keep_sent: messages go with their history", "")
	}
	c.oneOf("queue.privacy", q.Privacy, "none", "subjects", "addresses")
	if q.Privacy == "addresses" && q.KeepBodies.Duration > 0 {
		c.report("queue.privacy", "hides addresses, but keep_bodies keeps the messages that hold them", "")
	}
	c.oneOf("queue.on_failure", q.OnFailure, "bounce", "keep")
	c.oneOf("queue.on_late_bounce", q.OnLateBounce, "bounce", "log")
	c.oneOf("queue.on_uncertain", q.OnUncertain, "retry", "hold", "failover")
}

// permissions warns of secrets that every user of the machine can read.
func (c *checker) permissions() {
	if len(c.LiteralSecrets) == 0 || c.File == "" {
		return
	}
	info, err := os.Stat(c.File)
	if err == nil && worldReadable(info.Mode()) {
		for _, path := range c.LiteralSecrets {
			c.warn(path, "holds a secret, and this file is readable by every user: chmod 640, or use env:, file: or cred:")
		}
	}
}
