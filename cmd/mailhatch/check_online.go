package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"mailhatch/gateway"
	"mailhatch/upstream"
)

// onlineTimeout is for what is asked of one upstream.
const onlineTimeout = 30 * time.Second

// checkUpstream tries an upstream, in parts where it can tell them.
func checkUpstream(ctx context.Context, u *gateway.UpstreamConfig, online bool) checkedUpstream {
	r := checkedUpstream{Name: u.Name, Kind: u.Kind}
	if !online {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
	defer cancel()
	start := time.Now()
	switch c := u.Upstream.(type) {
	case upstream.Prober:
		r.Tried, r.Findings = true, c.Probe(ctx, fromDomains(u))
		for _, f := range r.Findings {
			if f.Level == upstream.Fail && r.Error == "" {
				r.Error = f.Text
			}
		}
	case upstream.Checker:
		r.Tried = true
		if err := c.Check(ctx); err != nil {
			r.Error = err.Error()
		}
	}
	r.Millis = time.Since(start).Milliseconds()
	return r
}

// fromDomains gives the domains that the config says mail to this upstream is from.
func fromDomains(u *gateway.UpstreamConfig) []string {
	if u.Sender == nil {
		return nil
	}
	domains := slices.Clone(u.Sender.Domains)
	if own := domainOf(u.Sender.Rewrite.Addr); own != "" && !slices.Contains(domains, own) {
		domains = append(domains, own)
	}
	return domains
}

// printFindings writes a line for each, and below it what to do.
func printFindings(w io.Writer, list []upstream.Finding) {
	for _, f := range list {
		fmt.Fprintf(w, "  %-4s  %-9s  %s\n", f.Level, plain(f.Name), plain(f.Text))
		if f.Hint != "" && f.Level != upstream.Fine {
			fmt.Fprintf(w, "        hint: %s\n", plain(f.Hint))
		}
	}
}

// failed says whether one of them is a failure.
func failed(list []upstream.Finding) bool {
	return slices.ContainsFunc(list, func(f upstream.Finding) bool { return f.Level == upstream.Fail })
}
