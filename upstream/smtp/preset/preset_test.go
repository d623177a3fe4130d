package preset

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPresets(t *testing.T) {
	all := All()
	if len(all) < 32 {
		t.Errorf("only %d presets", len(all))
	}
	seen := map[string]bool{}
	for _, p := range all {
		if seen[p.Name] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(p.Name) {
			t.Errorf("the name %q is there twice, or is none", p.Name)
		}
		seen[p.Name] = true
		if u, err := url.Parse(p.Doc); err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%s: documentation at %q", p.Name, p.Doc)
		}
		host := p.HostIn("eu-west-1")
		if !regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`).MatchString(host) || (p.Regions != nil) != strings.Contains(p.Host, "{region}") {
			t.Errorf("%s: host %q", p.Name, p.Host)
		}
		if want := map[string][]int{"implicit": {465}, "starttls": {587, 2525}}[p.TLS]; !slices.Contains(want, p.Port) {
			t.Errorf("%s: port %d with %s", p.Name, p.Port, p.TLS)
		}
		if p.NewID && p.KeepID != "" || p.Bytes%(1<<20) != 0 || p.Bytes > 0 && p.Bytes < 5<<20 || p.Recipients < 0 || p.Concurrent < 0 {
			t.Errorf("%s: %+v", p.Name, p)
		}
		for _, line := range append(append([]string{}, p.Changes...), p.Notes...) {
			if line == "" || strings.Contains(line, "Message-ID") || strings.HasSuffix(line, ".") || strings.ContainsAny(line, "|\n") {
				t.Errorf("%s: %q", p.Name, line)
			}
		}
		if p.Service == "" || p.Login == "" || len(p.Changes)+len(p.Notes) == 0 {
			t.Errorf("%s: something about it is not said: %+v", p.Name, p)
		}
		if got, ok := Find(p.Name); !ok || got.Host != p.Host {
			t.Errorf("%s is not found", p.Name)
		}
	}
	if _, ok := Find("nobody"); ok {
		t.Error("a preset that is not there was found")
	}
	if names := Names(); !slices.IsSorted(names) || len(names) != len(all) {
		t.Errorf("names %q", names)
	}
}

// TestMeant: a name that is not a preset's leads to the presets of the service.
func TestMeant(t *testing.T) {
	for name, want := range map[string]string{
		"office365": `did you mean "microsoft365"?`, "Microsoft": `did you mean "microsoft365"?`, "mailgun": `did you mean "mailgun-eu" or "mailgun-us"?`,
		"google": `did you mean "gmail" or "gmail-relay"?`, "twilio": `did you mean "sendgrid"?`, "aws": `did you mean "amazon-ses"?`,
		"email": "", "": "", "nowhere": "",
	} {
		if got := Meant(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
