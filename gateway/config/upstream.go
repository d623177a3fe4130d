package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/config/decode"
	"mailhatch/gateway/config/hint"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/quota"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/mime/hostname"
	"mailhatch/upstream"
)

// Upstream is one [upstream.NAME]: the opened upstream and the keys that are the same for every kind.
type Upstream struct {
	Name          string
	Kind          upstream.Kind
	Upstream      upstream.Upstream
	MaxConcurrent int
	Together      int                    // offers at once of all gateways on a shared queue; 0: no limit
	Rate          Rate                   // zero: no limit
	MaxRecipients int                    // of one offer; 0: no limit
	RatePerDomain Rate                   // of offers to the recipients of one domain; zero: no limit
	Quota         []quota.Limit          // of recipients in windows of the calendar; nil: none
	QuotaZone     *time.Location         // of that calendar
	ThrottleOn    []string               // patterns of refusals that mean: too fast
	Sender        *identity.SenderPolicy // nil: mail goes with its own From
	HideReceived  bool                   // nobody learns where mail came from
	Lacking       []string               // keys whose values are not known here, and why (Options.Lenient)

	hostname string
}

// Departure returns the envelope sender and the header edits with which a message of this id leaves for the upstream.
func (u *Upstream) Departure(id string, env *envelope.Envelope, msg *mime.Message) (from string, edits []mime.Edit) {
	from = env.From
	if u.Sender != nil {
		from, edits = u.Sender.Apply(from, msg)
	}
	if u.HideReceived {
		edits = append(edits, identity.HideReceived(env, u.hostname, id)...)
	}
	return from, edits
}

// upstreamTable is the part of [upstream.NAME] that every kind has.
type upstreamTable struct {
	Type          string        `toml:"type"`
	MaxConcurrent int           `toml:"max_concurrent"`
	Together      int           `toml:"fleet_concurrent"`
	Rate          Rate          `toml:"rate"`
	MaxRecipients int           `toml:"max_recipients"`
	RatePerDomain Rate          `toml:"rate_per_domain"`
	Quota         []quota.Limit `toml:"quota"`
	QuotaZone     string        `toml:"quota_zone"`
	ThrottleOn    []string      `toml:"throttle_on"`
	Received      string        `toml:"received"`
	FromDomains   []string      `toml:"from_domains"`
	RewriteFrom   string        `toml:"rewrite_from"`
}

// defaultConcurrent is the default of max_concurrent.
const defaultConcurrent = 16

func defaultUpstream() upstreamTable {
	return upstreamTable{MaxConcurrent: defaultConcurrent, Received: "keep"}
}

// pace checks the keys that say how much an upstream gets at once, and what it is told.
func (c *checker) pace(path string, t *upstreamTable) {
	if t.MaxConcurrent < 1 || t.MaxConcurrent > 10_000 {
		c.report(path+".max_concurrent", "must be from 1 to 10000", "")
	}
	switch {
	case t.Together < 0:
		c.report(path+".fleet_concurrent", "must not be negative", "0 is no limit")
	case t.Together > 0 && !engines.Shared(c.file.Queue.Engine):
		c.report(path+".fleet_concurrent", "is for gateways that share a queue", "max_concurrent is the limit of one gateway")
	}
	if t.MaxRecipients < 0 {
		c.report(path+".max_recipients", "must not be negative", "0 is no limit")
	}
	for i, pattern := range t.ThrottleOn {
		if !strings.Contains(pattern, "*") || strings.HasPrefix(pattern, "!") {
			c.report(indexPath(path+".throttle_on", i), fmt.Sprintf("%q would not be found in a refusal", pattern),
				fmt.Sprintf("patterns are compared with the upstream's whole answer: write %q", "*"+strings.Trim(pattern, "!*")+"*"))
		}
	}
	c.oneOf(path+".received", t.Received, "keep", "hide")
	c.quotas(path, t)
}

// quotas checks how many recipients an upstream gets in windows of the calendar.
func (c *checker) quotas(path string, t *upstreamTable) {
	for i, l := range t.Quota {
		same := func(o quota.Limit) bool { return o.Per == l.Per && l.Count > 0 }
		if first := slices.IndexFunc(t.Quota, same); first >= 0 && first < i {
			c.report(indexPath(path+".quota", i), fmt.Sprintf("%q and %q are limits of the same window", l, t.Quota[first]), "one number for each hour, day or month: the lower one decides")
		}
	}
	if _, given := c.bad[path+".quota_zone"]; given || t.QuotaZone == "" {
		return
	}
	if _, err := quota.Zone(t.QuotaZone); err != nil {
		c.report(path+".quota_zone", err.Error(), "")
	} else if len(t.Quota) == 0 && !hasBadKey(c.bad, path+".quota") {
		c.report(path+".quota_zone", "says when days and months begin, but there is no quota", `add quota = ["300/d"], or leave it out`)
	}
}

// upstreamNames returns the names in the order of the file.
func (c *checker) upstreamNames() []string {
	names := slices.Collect(maps.Keys(c.file.Upstream))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(c.lines.At(joinPath("upstream", a)), c.lines.At(joinPath("upstream", b))), cmp.Compare(a, b))
	})
	return names
}

func (c *checker) upstreams(names []string, hostname string) []Upstream {
	holds := slices.ContainsFunc(c.file.Route, func(r route.Rule) bool { return r.Hold })
	switch {
	case len(names) == 0 && holds: // a machine whose mail waits until it is set up
		c.warn("upstream", "there is none: mail waits until it is released to one")
	case len(names) == 0:
		c.report("upstream", "there is none, so no mail could go anywhere", "add [upstream.main] with a type: "+c.kindNames())
	}
	var list []Upstream
	for _, name := range names {
		path := joinPath("upstream", name)
		table, ok := c.file.Upstream[name].(map[string]any)
		if !ok {
			c.report(path, "must be a table", "upstreams have names: write [upstream.main]")
			continue
		}
		if !validName(name) {
			c.report(path, "must be a name of letters, digits, - and _", "")
		}
		if u, ok := c.upstream(path, name, table, hostname); ok {
			list = append(list, u)
		}
	}
	return list
}

func (c *checker) upstream(path, name string, table map[string]any, hostname string) (Upstream, bool) {
	common := defaultUpstream()
	kind, known := c.kind(path, table)
	if !known {
		// Without the kind the other keys are unknown.
		c.Table(path, commonKeys(table), &common)
		c.pace(path, &common)
		c.sender(path, &common)
		return Upstream{}, false
	}
	settings := kind.New()
	c.Table(path, table, &common, settings)
	c.pace(path, &common)
	u := Upstream{
		Name: name, Kind: kind, MaxConcurrent: common.MaxConcurrent, Together: common.Together, Rate: common.Rate,
		MaxRecipients: common.MaxRecipients, RatePerDomain: common.RatePerDomain, Quota: common.Quota, ThrottleOn: common.ThrottleOn,
		Sender: c.sender(path, &common), HideReceived: common.Received == "hide", hostname: hostname,
	}
	u.QuotaZone, _ = quota.Zone(common.QuotaZone) // reported already
	if l, ok := settings.(upstream.Limited); ok {
		u.limit(l.Limits(), table)
	}
	if a, ok := settings.(upstream.Advisor); ok {
		for _, advice := range a.Advice() {
			c.warn(path+"."+advice.Key, "%s", advice.Problem)
		}
	}
	opened, err := settings.Open(upstream.Env{Name: name, Hostname: hostname, Version: c.opts.Version, Stdout: c.opts.Stdout, TokenDir: c.tokenDir()})
	for _, e := range flatten(err) {
		var ke *upstream.KeyError
		if errors.As(e, &ke) {
			c.report(path+"."+ke.Key, ke.Problem, cmp.Or(ke.Hint, didYouMean(ke.Value, ke.Allowed)))
		} else if !hasBadKey(c.bad, path) {
			c.report(path, e.Error(), "")
		}
	}
	u.Upstream = opened
	for _, lacking := range c.Lacking {
		if key, own := strings.CutPrefix(lacking.Key, path+"."); own {
			u.Lacking = append(u.Lacking, key+": "+lacking.Problem)
		}
	}
	return u, err == nil || len(u.Lacking) > 0
}

// hostSenders gives upstreams that carry no mail from names of hosts, such as root@app1, a sender that they do carry,
// where the config names one for other purposes.
func (c *checker) hostSenders(cfg *Config) {
	if c.file.Identity.Domain == "" && c.file.Identity.DefaultFrom == "" {
		return
	}
	msg, err := mime.Parse(mime.NewBytesSource([]byte("From: root@localhost\r\n\r\n")))
	if err != nil {
		return
	}
	mail := &upstream.Mail{ID: "ASKED", From: "root@localhost", To: []upstream.Recipient{{Address: "ann@example.com"}}, Message: msg}
	for i := range cfg.Upstreams {
		u := &cfg.Upstreams[i]
		p, ok := u.Upstream.(upstream.Preflighter)
		var refusal *upstream.Error
		if u.Sender == nil && ok && errors.As(p.Preflight(mail), &refusal) && refusal.Code == "5.1.7" { // RFC 3463: bad sender's address
			u.Sender = cfg.Identity.HostSenders()
		}
	}
}

// tokenDir is where upstreams keep their access tokens.
func (c *checker) tokenDir() string {
	dir, err := resolveStateDir(c.File, c.file.StateDir)
	if err != nil {
		return "" // reported already
	}
	return filepath.Join(dir, "tokens")
}

// limit sets what the config leaves to what the provider allows.
func (u *Upstream) limit(l upstream.Limits, table map[string]any) {
	if _, given := table["rate"]; !given && l.Rate != "" {
		_ = u.Rate.UnmarshalText([]byte(l.Rate)) // a test reads all of them
	}
	if _, given := table["max_concurrent"]; !given && l.Concurrent > 0 {
		u.MaxConcurrent = l.Concurrent
	}
	if _, given := table["max_recipients"]; !given {
		u.MaxRecipients = l.Recipients
	}
}

// kind finds what the key type names.
func (c *checker) kind(path string, table map[string]any) (upstream.Kind, bool) {
	value, ok := table["type"]
	if !ok {
		what := "one of " + c.kindNames()
		for _, key := range slices.Sorted(maps.Keys(table)) {
			if meant, _ := hint.Key("upstream", key, []string{"type"}, func(string) bool { return false }, nil); meant != "" {
				what = fmt.Sprintf("did you mean it by %q? It is ", key) + what
			}
		}
		c.report(path+".type", "is missing", what)
		return upstream.Kind{}, false
	}
	name, ok := value.(string)
	if !ok {
		return upstream.Kind{}, false // reported as a mismatch
	}
	if name, ok = c.Dereference(path+".type", name, ""); !ok {
		return upstream.Kind{}, false
	}
	var names []string
	for _, k := range c.opts.Kinds {
		if k.Name == name {
			return k, true
		}
		names = append(names, k.Name)
	}
	if slices.Contains([]string{"mx", "direct", "dns"}, strings.ToLower(name)) {
		c.report(path+".type", fmt.Sprintf("is %q, but no mail goes to the MX of its recipients from here: mailhatch hands mail to a provider or a relay. "+
			"Where programs run port 25 outward is mostly shut, and an address without a name and a reputation of its own is refused", name),
			`take an account at a provider (type = "resend" and others), or name the relay of your network or ISP (type = "smtp")`)
		return upstream.Kind{}, false
	}
	c.oneOf(path+".type", name, names...)
	return upstream.Kind{}, false
}

func (c *checker) kindNames() string {
	names := make([]string, len(c.opts.Kinds))
	for i, k := range c.opts.Kinds {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}

// commonKeys returns the keys of the table that every kind has.
func commonKeys(table map[string]any) map[string]any {
	common := decode.Fields(&upstreamTable{})
	out := maps.Clone(table)
	maps.DeleteFunc(out, func(key string, _ any) bool { return !common[key].IsValid() })
	return out
}

// sender checks from_domains and rewrite_from.
func (c *checker) sender(path string, t *upstreamTable) *identity.SenderPolicy {
	if t.RewriteFrom == "" {
		if len(t.FromDomains) > 0 {
			domain := strings.TrimLeft(t.FromDomains[0], "*.@")
			if hostname.Check(domain) != nil {
				domain = "example.com"
			}
			c.report(path+".from_domains", "needs rewrite_from, the sender of all other mail",
				fmt.Sprintf("add rewrite_from = %q", "App <noreply@"+domain+">"))
		}
		return nil
	}
	policy, err := identity.NewSenderPolicy(t.FromDomains, t.RewriteFrom)
	for _, e := range flatten(err) {
		var ke *identity.KeyError
		if errors.As(e, &ke) {
			c.report(itemPath(path+"."+ke.Key, ke.Item), ke.Problem, ke.Hint)
		}
	}
	return policy
}

func validName(s string) bool {
	return s != "" && len(s) <= 64 &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
