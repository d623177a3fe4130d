// Package environ writes the config of a gateway that is set up by environment variables alone, as containers are.
//
// Its text refers to the variables by "env:NAME": no secret stands in it.
package environ

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"mailhatch/gateway/config/hint"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Variables that every kind has. What a kind asks for beside them has a variable each: see [Variable].
const (
	Upstream = "MAILHATCH_UPSTREAM" // the type of the upstream; without it there is no such config
	From     = "MAILHATCH_FROM"     // author of mail from other domains
	Listen   = "MAILHATCH_LISTEN"   // address of the listener
	Allow    = "MAILHATCH_ALLOW"    // networks that may connect
	Hostname = "MAILHATCH_HOSTNAME"
	Admin    = "MAILHATCH_ADMIN"       // address of [admin], or off
	Token    = "MAILHATCH_ADMIN_TOKEN" // of [admin]
	Metrics  = "MAILHATCH_METRICS"     // address of health and metrics alone
)

// Variable returns the variable that sets a key of the upstream: MAILHATCH_API_KEY for api_key.
func Variable(key string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Problems is what is wrong with the variables, each with its name.
type Problems []string

// Error returns all of them, a line each.
func (p Problems) Error() string { return strings.Join(p, "\n") }

// Text returns the config that the variables ask for. Its error is Problems.
func Text(kinds []upstream.Kind) (string, error) {
	name := os.Getenv(Upstream)
	i := slices.IndexFunc(kinds, func(k upstream.Kind) bool { return k.Name == name })
	if i < 0 {
		names := make([]string, len(kinds))
		for i, k := range kinds {
			names[i] = k.Name
		}
		return "", Problems{fmt.Sprintf("%s=%s: there is no such type; write one of %s", Upstream, strconv.Quote(name), strings.Join(names, ", "))}
	}
	t := &text{kind: &kinds[i], known: map[string]string{}}
	t.general()
	t.upstream()
	t.slips()
	t.WriteString("[[route]]\nvia = [\"main\"]\n")
	if len(t.problems) > 0 {
		return "", t.problems
	}
	return t.String(), nil
}

// General returns the part of the config that does not depend on the type of the upstream.
func General() string {
	var t text
	t.general()
	return t.String()
}

// text is a config that is being written.
type text struct {
	strings.Builder
	kind     *upstream.Kind
	known    map[string]string // what questions were answered with, by key
	domain   string            // of From
	problems Problems
}

// refer sets a key to what its variable says, if that is set; a file: or cred: there is followed.
func (t *text) refer(key, variable string) {
	value := os.Getenv(variable)
	if value == "" {
		return
	}
	if !upstream.IsReference(value) {
		value = "env:" + variable
	}
	fmt.Fprintf(t, "%s = %q\n", key, value)
}

// general writes what does not depend on the kind.
func (t *text) general() {
	t.refer("hostname", Hostname)
	if from := os.Getenv(From); from != "" {
		if list, err := mime.ParseAddressList(from); err == nil && len(list) == 1 {
			_, t.domain, _ = mime.SplitAddress(list[0].Addr)
		}
		if t.domain == "" {
			t.problems = append(t.problems, From+` is not an address: write noreply@example.com or App <noreply@example.com>`)
		}
	}
	if os.Getenv(Listen) != "" || os.Getenv(Allow) != "" {
		t.WriteString("[[listener]]\n")
		if os.Getenv(Listen) == "" {
			t.WriteString("address = \"127.0.0.1:1025\"\n")
		}
		t.refer("address", Listen)
		t.refer("allow", Allow)
	}
	if os.Getenv(Admin)+os.Getenv(Token)+os.Getenv(Metrics) != "" {
		t.WriteString("[admin]\n")
		t.refer("address", Admin)
		t.refer("token", Token)
		t.refer("metrics", Metrics)
	}
	if t.domain != "" {
		fmt.Fprintf(t, "[identity]\ndomain = %q\ndefault_from = %q\n", t.domain, "env:"+From)
	}
}

// upstream writes the upstream that all mail goes to.
func (t *text) upstream() {
	fmt.Fprintf(t, "[upstream.main]\ntype = %q\n", t.kind.Name)
	if t.domain != "" {
		fmt.Fprintf(t, "from_domains = [%q]\nrewrite_from = %q\n", t.domain, "env:"+From)
	}
	t.known[upstream.FromDomain] = t.domain
	if !slices.ContainsFunc(t.kind.Setup, func(q upstream.Question) bool { return q.Key == "base_url" }) {
		t.refer("base_url", Variable("base_url"))
	}
	for _, q := range t.kind.Setup {
		variable := Variable(q.Key)
		value := os.Getenv(variable)
		if strings.HasPrefix(value, "tcp://") { // Kubernetes has a variable MAILHATCH_PORT for a Service of that name
			value = ""
		}
		switch {
		case value != "" && q.Split != nil:
			maps.Copy(t.known, q.Split(value))
			t.set(q, t.known[q.Key])
		case value != "":
			t.known[q.Key] = value
			t.refer(q.Key, variable)
		case t.known[q.Key] != "":
			t.set(q, t.known[q.Key])
		case q.Skip == nil || !q.Skip(t.known):
			t.usual(q, variable)
		}
	}
}

// slips looks for names that are meant for known ones.
func (t *text) slips() {
	known := append(general(), Variable("base_url"))
	for _, q := range t.kind.Setup {
		known = append(known, Variable(q.Key))
	}
	for _, name := range set() {
		if slices.Contains(known, name) {
			continue
		}
		if what := meant(name, known); what != "" {
			t.problems = append(t.problems, name+" is not a variable of "+t.kind.Name+": "+what)
		}
	}
}

// prefix is that of all variables of ours.
const prefix = "MAILHATCH_"

// meant says which of these variables a name is a slip of, "" if of none. What all have says nothing.
func meant(name string, known []string) string {
	rest := make([]string, len(known))
	for i, k := range known {
		rest[i] = strings.TrimPrefix(k, prefix)
	}
	return strings.Replace(hint.DidYouMean(strings.TrimPrefix(name, prefix), rest), `"`, `"`+prefix, 1)
}

// general returns the variables that every config can use.
func general() []string {
	return []string{Upstream, From, Listen, Allow, Hostname, Admin, Token, Metrics, "MAILHATCH_CONFIG"}
}

// set returns the variables of ours that have a value.
func set() (names []string) {
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, prefix) && value != "" {
			names = append(names, name)
		}
	}
	return names
}

// Stray returns what the variables of an environment without MAILHATCH_UPSTREAM say in vain where the config, "" for none, does
// not name them: who sets them does not expect that mail is only shown.
func Stray(kinds []upstream.Kind, config string) Problems {
	var problems Problems
	keys := []string{From, Variable("base_url")}
	for _, k := range kinds {
		for _, q := range k.Setup {
			keys = append(keys, Variable(q.Key))
		}
	}
	for _, name := range set() {
		what := meant(name, []string{Upstream})
		switch {
		case strings.Contains(config, "env:"+name), strings.HasPrefix(os.Getenv(name), "tcp://"): // the latter is Kubernetes'
		case slices.Contains(keys, name):
			problems = append(problems, name+" is set, and "+Upstream+" is not: it says which type of upstream gets the mail")
		case !slices.Contains(general(), name) && what != "":
			problems = append(problems, name+" is not a variable of mailhatch: "+what)
		}
	}
	return problems
}

// set writes a value as it stands.
func (t *text) set(q upstream.Question, value string) {
	t.known[q.Key] = value
	if _, err := strconv.Atoi(value); err != nil || !q.Number {
		value = strconv.Quote(value)
	}
	fmt.Fprintf(t, "%s = %s\n", q.Key, value)
}

// usual answers a question whose variable is not set.
func (t *text) usual(q upstream.Question, variable string) {
	value := ""
	switch {
	case q.Default != nil:
		value = q.Default(t.known)
	case len(q.Words) > 0:
		value = q.Words[0]
	}
	if other, isVariable := strings.CutPrefix(value, "env:"); isVariable && os.Getenv(other) == "" {
		value, variable = "", variable+" or "+other
	}
	switch {
	case value == "" && q.Optional:
	case value == "":
		t.problems = append(t.problems, fmt.Sprintf("%s is not set, and %s=%s needs it: %s", variable, Upstream, t.kind.Name, q.Text))
	default:
		t.set(q, value)
	}
}
