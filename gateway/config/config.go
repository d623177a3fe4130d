package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mailhatch/gateway/alert"
	"mailhatch/gateway/canary"
	"mailhatch/gateway/config/decode"
	"mailhatch/gateway/config/environ"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/route"
	"mailhatch/gateway/suppression"
	"mailhatch/upstream"
)

// Config is a config that was read and found good: everything in it can be used.
type Config struct {
	File            string // "" for the built-in defaults
	Hostname        string
	StateDir        string // absolute
	RunDir          string // absolute
	ShutdownTimeout time.Duration
	MaxInFlight     Size // bytes of messages that are being received
	Listeners       []Listener
	Upstreams       []Upstream // in the order of the file
	Routes          *route.Table
	Rewrites        *route.Rewrites
	Aliases         *identity.Aliases
	Identity        *identity.Identity
	Queue           Queue
	BodyCount       int // of finished messages that Queue.KeepBodies keeps, the last so many stay; 0: no bound
	Suppression     suppression.Rules
	Admin           Admin
	Events          Events           // where webhooks arrive
	Alerts          []*alert.Alerter // who is told of what
	Canary          canary.Settings  // with all defaults filled in
	Log             Log
	SecretFiles     []string // that keys name by "file:"
	Warnings        []string // "file:line: key: what is odd"
	Settings        []Setting
}

// Options is what the program lends to its config.
type Options struct {
	Kinds   []upstream.Kind // usually kinds.Kinds()
	Version string          // for upstream.Env
	Stdout  io.Writer       // for upstream.Env
	Listen  string          // address of the one listener, in place of the config's; "": the config's

	// Lenient makes what is not known here, though the service may know it, a warning: an unset env:NAME, a cred:NAME, a
	// file that this account may not read. The config is good to be looked at, not to be served.
	Lenient bool
}

// Queue is the table [queue].
type Queue struct {
	Engine          string              `toml:"engine"`         // of package engines
	URL             upstream.Secret     `toml:"url"`            // of the database that gateways share
	Lease           upstream.Duration   `toml:"lease"`          // see queue.Settings
	FallbackSpool   bool                `toml:"fallback_spool"` // while the database is away, new mail is kept in the state directory
	Retry           []upstream.Duration `toml:"retry"`          // waits after the first, second… attempt; the last one repeats
	MaxAge          upstream.Duration   `toml:"max_age"`        // mail that waits longer has failed
	FailoverAfter   int                 `toml:"failover_after"` // temporary failures at one upstream before the next is tried
	WarnAfter       []upstream.Duration `toml:"warn_after"`     // notify the sender of a delay, in ascending order; empty: never
	OnFailure       string              `toml:"on_failure"`     // bounce | keep
	OnLateBounce    string              `toml:"on_late_bounce"` // bounce | log
	OnUncertain     string              `toml:"on_uncertain"`   // retry | hold | failover
	MinFree         Size                `toml:"min_free"`       // space on the disk that new mail leaves for delivery
	KeepFailed      upstream.Duration   `toml:"keep_failed"`
	KeepFailedBytes Size                `toml:"keep_failed_bytes"` // failed mail beyond it goes, the oldest first; 0: no bound
	KeepSent        upstream.Duration   `toml:"keep_sent"`
	KeepBodies      upstream.Duration   `toml:"keep_bodies"` // of finished mail; 0: none
	Privacy         string              `toml:"privacy"`     // none | subjects | addresses: what the history does not keep
}

// Log is the table [log].
type Log struct {
	Level  string `toml:"level"`  // debug | info | warn | error
	Format string `toml:"format"` // auto | text | json
}

// identityTable is the table [identity].
type identityTable struct {
	Domain       string   `toml:"domain"`
	DefaultFrom  string   `toml:"default_from"`
	LocalDomains []string `toml:"local_domains"`
}

// document is the whole file. The tables of upstreams are decoded by their kinds.
type document struct {
	Hostname        string              `toml:"hostname"`
	StateDir        string              `toml:"state_dir"`
	RunDir          string              `toml:"run_dir"`
	ShutdownTimeout upstream.Duration   `toml:"shutdown_timeout"`
	MaxInFlight     Size                `toml:"max_in_flight"`
	Listener        []Listener          `toml:"listener"`
	Upstream        map[string]any      `toml:"upstream"`
	Route           []route.Rule        `toml:"route"`
	Rewrite         []rewriteTable      `toml:"rewrite"`
	Aliases         map[string][]string `toml:"aliases"`
	AliasesFile     string              `toml:"aliases_file"`
	Identity        identityTable       `toml:"identity"`
	Queue           Queue               `toml:"queue"`
	Suppression     suppression.Rules   `toml:"suppression"`
	Admin           Admin               `toml:"admin"`
	Events          Events              `toml:"events"`
	Alert           []alert.Settings    `toml:"alert"`
	Canary          canary.Settings     `toml:"canary"`
	Log             Log                 `toml:"log"`
}

func duration(d time.Duration) upstream.Duration { return upstream.Duration{Duration: d} }

func defaultFile() document {
	const day = 24 * time.Hour
	return document{
		ShutdownTimeout: duration(30 * time.Second), MaxInFlight: 512 << 20,
		Queue: Queue{
			Engine: engines.Default, Lease: duration(time.Minute),
			Retry: []upstream.Duration{
				duration(30 * time.Second), duration(2 * time.Minute), duration(10 * time.Minute),
				duration(30 * time.Minute), duration(time.Hour), duration(3 * time.Hour),
			},
			MaxAge: duration(5 * day), FailoverAfter: 3, OnFailure: "bounce", OnLateBounce: "bounce", OnUncertain: "retry", MinFree: 64e6, KeepFailedBytes: 1e9,
			KeepFailed: duration(30 * day), KeepSent: duration(7 * day), Privacy: "none",
		},
		Identity:    identityTable{LocalDomains: identity.LocalDomains()},
		Suppression: suppression.Default(),
		Admin:       defaultAdmin(),
		Events:      defaultEvents(),
		Canary:      canary.Default(),
		Log:         Log{Level: "info", Format: "auto"},
	}
}

// builtIn is the config of a program that was given none.
const builtIn = `
[upstream.console]
type = "console"
[[route]]
via = ["console"]
`

// builtInBodies is how many finished messages can be read where there is no config.
const builtInBodies = 500

// Environment stands for a file where the config is made of environment variables: see package environ.
const Environment = "env:" + environ.Upstream

// Find returns the file to read: flag (of -c), $MAILHATCH_CONFIG, [Environment] where that variable is set,
// ./mailhatch.toml or /etc/mailhatch/config.toml, the first that is given or exists; "" when there is none.
func Find(flag string) string {
	if flag != "" {
		return flag
	}
	if env := os.Getenv("MAILHATCH_CONFIG"); env != "" {
		return env
	}
	if os.Getenv(environ.Upstream) != "" {
		return Environment
	}
	for _, path := range []string{"mailhatch.toml", "/etc/mailhatch/config.toml"} {
		_, err := os.Stat(path)
		// A current directory that this account may not enter, such as root's after su, holds no config for it.
		here := !filepath.IsAbs(path) && errors.Is(err, os.ErrPermission)
		// A file that is there but cannot be read must be complained about, not passed over.
		if !here && !errors.Is(err, os.ErrNotExist) {
			return path
		}
	}
	return ""
}

// Load reads a config file ("" stands for the built-in defaults, Environment for variables) and opens its upstreams without any
// network traffic. What is wrong with the config is a *Error that names everything at once.
func Load(path string, opts Options) (*Config, error) {
	switch path {
	case "":
		if stray := environ.Stray(opts.Kinds, ""); stray != nil {
			return nil, fmt.Errorf("config: %w", stray)
		}
		cfg, err := parse(path, builtIn, opts)
		if err == nil { // a developer looks at what came
			cfg.Queue.KeepBodies, cfg.BodyCount = cfg.Queue.KeepSent, builtInBodies
		}
		return cfg, err
	case Environment:
		text, err := environ.Text(opts.Kinds)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		return parse(path, text, opts)
	}
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	cfg, err := parse(path, text, opts)
	if err == nil && os.Getenv(environ.Upstream) == "" {
		cfg.Warnings = append(cfg.Warnings, environ.Stray(opts.Kinds, text)...)
	}
	return cfg, err
}

// Try says what Load would say of a file at path with this text, secrets that are not known here apart.
func Try(path, text string, opts Options) error {
	opts.Lenient = true
	cfg, err := parse(path, text, opts)
	if err != nil {
		return err
	}
	return cfg.Close()
}

// maxConfigFile is far beyond any real config; it keeps a wrong path (/dev/zero) from filling the memory.
const maxConfigFile = 16 << 20

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	if len(b) > maxConfigFile {
		return "", fmt.Errorf("config: %s is larger than %d bytes", path, maxConfigFile)
	}
	return string(b), nil
}

// parse does all of Load but for reading the file.
func parse(path, text string, opts Options) (*Config, error) {
	d, root, err := decode.Parse(path, text)
	if err != nil {
		return nil, err
	}
	d.Lenient = opts.Lenient
	c := &checker{Decoder: d, lines: d.Lines, bad: d.Bad, opts: opts, file: defaultFile()}
	c.Places = keyPlaces(opts.Kinds)
	c.Table("", root, &c.file)
	cfg := c.check()
	if err := c.Err(); err != nil {
		return nil, errors.Join(err, cfg.Close())
	}
	c.file.Hostname, c.file.StateDir, c.file.RunDir = cfg.Hostname, cfg.StateDir, cfg.RunDir // as they are in force
	cfg.Warnings, cfg.SecretFiles, cfg.Settings = c.Warnings, c.SecretFiles, c.Decoder.Settings()
	return cfg, nil
}

// Upstream returns the upstream of this name; nil when there is none.
func (c *Config) Upstream(name string) *Upstream {
	for i := range c.Upstreams {
		if c.Upstreams[i].Name == name {
			return &c.Upstreams[i]
		}
	}
	return nil
}

// Loginer returns the upstream of this name, for a person to log in to.
func (c *Config) Loginer(name string) (upstream.Loginer, error) {
	u := c.Upstream(name)
	if u == nil {
		names := make([]string, len(c.Upstreams))
		for i := range c.Upstreams {
			names[i] = c.Upstreams[i].Name
		}
		return nil, fmt.Errorf("there is no upstream %q: %s", name, cmp.Or(didYouMean(name, names), "the config has "+either(names)))
	}
	l, ok := u.Upstream.(upstream.Loginer)
	if !ok {
		return nil, fmt.Errorf("nobody logs in to upstreams of type %s: only flow = \"device\" of [upstream.NAME.oauth2] needs a login", u.Kind.Name)
	}
	return l, nil
}

// Close closes the upstreams that hold connections.
func (c *Config) Close() error {
	var errs []error
	for _, u := range c.Upstreams {
		if closer, ok := u.Upstream.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(errs...)
}
