// Package preset lists the SMTP submission of named services: where it is, how one logs in, what it takes, and what
// it does to mail. A limit that the service does not document is left to the service.
package preset

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Preset is the SMTP submission of one service.
type Preset struct {
	Name     string // as in the config
	Service  string // for people
	Aka      string // other names that people look for, with spaces between
	Doc      string // address of the documentation that the values are from
	Host     string // "{region}" stands for the region
	Port     int
	TLS      string   // starttls or implicit
	Auth     string   // "" for auto
	Username string   // the one that all accounts have; "" where each has its own
	Login    string   // what username and password are there
	OAuth2   string   // provider whose tokens log in; "": none
	Regions  []string // of Host; nil: it has none

	Bytes      int64  // of a message, 0: not documented
	Recipients int    // of a message
	Rate       string // messages in a time: "30/m"
	Concurrent int    // connections

	NewID  bool   // it replaces Message-ID
	KeepID string // header field that makes it keep Message-ID instead, when its value is true; "": there is none
	Keyed  bool   // it recognises a repeated message by Resend-Idempotency-Key

	Changes []string // what else the service does to mail, beside trace fields and signatures
	Notes   []string // what one must know
}

// All returns the presets in the order of their names.
func All() []Preset {
	all := slices.Concat(mailboxes(), services(), others())
	slices.SortFunc(all, func(a, b Preset) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Find returns a preset by name.
func Find(name string) (p Preset, ok bool) {
	all := All()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return p, false
	}
	return all[i], true
}

// Meant returns a question that names the presets of the service that a wrong name calls; "" where none does.
func Meant(name string) string {
	name = strings.ToLower(name)
	var near []string
	for _, p := range All() {
		if words := strings.FieldsFunc(strings.ToLower(p.Service+" "+p.Aka), isNoWord); name != "" && (strings.HasPrefix(p.Name, name+"-") || slices.Contains(words, name)) {
			near = append(near, strconv.Quote(p.Name))
		}
	}
	if len(near) == 0 || len(near) > 3 { // "mail" is no service's own word
		return ""
	}
	return "did you mean " + strings.Join(near, " or ") + "?"
}

func isNoWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' }

// Names lists the names.
func Names() []string {
	var names []string
	for _, p := range All() {
		names = append(names, p.Name)
	}
	return names
}

// ByToken reports whether tokens alone log in: passwords are refused, or will be soon.
func (p Preset) ByToken() bool { return p.Auth == "xoauth2" }

// MessageID says what becomes of Message-ID; "" where the service is not known to replace it.
func (p Preset) MessageID() string {
	switch {
	case p.KeepID != "":
		return "kept: " + p.KeepID + " asks for it"
	case p.NewID:
		return "replaced: the original is in X-Original-Message-ID and at the end of References"
	}
	return ""
}

// HostIn returns the host in a region.
func (p Preset) HostIn(region string) string { return strings.ReplaceAll(p.Host, "{region}", region) }
