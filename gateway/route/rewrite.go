package route

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/mime"
)

// Rewrite is one [[rewrite]] of the config: what changes in the messages that it matches. Addresses
// are complete ones that no alias changes any more. Values of SetHeader, AddHeader and MapSender, and SetFrom,
// SetEnvelopeFrom and RedirectTo are templates; SubjectPrefix is one without stars.
type Rewrite struct {
	Name string `toml:"name,text"`
	Match

	// At least one of these is set. They are done in this order.
	RemoveHeader    []string            `toml:"remove_header"`            // field names; "X-Internal-*" is all that begin so
	SetHeader       map[string]string   `toml:"set_header,text-template"` // field name to the value that it shall have
	AddHeader       map[string][]string `toml:"add_header,text-template"` // field name to values for further fields
	MapSender       map[string]string   `toml:"map_sender,template"`      // pattern to the address that envelope sender, From and Sender get instead
	SetFrom         mime.Address        // for From; without a name the old one stays
	SubjectPrefix   string              `toml:"subject_prefix,text-template"`
	SetEnvelopeFrom string              `toml:"set_envelope_from,template"`
	RedirectTo      []string            `toml:"redirect_to,template"` // in place of the recipients that match
	AddBcc          []string            `toml:"add_bcc,template"`     // further recipients of the message
}

// Rewrites is a list of rewrite rules, ready for use from many goroutines at once.
type Rewrites struct{ rules []rewrite }

// rewrite is a compiled Rewrite.
type rewrite struct {
	Rewrite
	conditions           // without to: they hold for a message, or they do not
	to         condition // holds for a recipient; nil: for all
	name       string
	hostname   string // what {host} stands for
	texts      texts
}

// texts are the templates of a rule; nil where it has none.
type texts struct {
	setHeader              map[string]*template
	addHeader              map[string][]*template
	senders                []senderMapping
	fromName, from, sender *template
	prefix                 *template
	redirect               []*template
}

// CompileRewrites makes a list of rules; hostname is the gateway's own name. Its error joins one *KeyError for
// each key that cannot be used.
func CompileRewrites(rules []Rewrite, hostname string) (*Rewrites, error) {
	t := &Rewrites{rules: make([]rewrite, len(rules))}
	var errs []error
	for i := range rules {
		c := compiler{index: i}
		t.rules[i] = c.rewrite(&rules[i])
		t.rules[i].hostname = hostname
		errs = append(errs, c.errs...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

func (c *compiler) rewrite(in *Rewrite) rewrite {
	r := rewrite{Rewrite: *in, conditions: c.conditions(&in.Match), name: cmp.Or(in.Name, fmt.Sprintf("rewrite %d", c.index+1))}
	isTo := func(one condition) bool { v, ok := one.(*valueCondition); return ok && v.key == "to" }
	given := slices.Concat(r.early, r.late)
	if i := slices.IndexFunc(r.early, isTo); i >= 0 {
		r.to = r.early[i]
		r.early = slices.Delete(r.early, i, i+1)
	}
	c.headerActions(in)
	c.texts(in, &r.texts, given)
	if len(in.RemoveHeader)+len(in.SetHeader)+len(in.AddHeader)+len(in.MapSender)+len(in.RedirectTo)+len(in.AddBcc) == 0 &&
		in.SetFrom.Addr == "" && in.SubjectPrefix == "" && in.SetEnvelopeFrom == "" {
		c.fail("", "has no action", "set at least one of map_sender, set_from, set_envelope_from, subject_prefix, "+
			"add_header, set_header, remove_header, redirect_to and add_bcc")
	}
	return r
}

// texts compiles the templates of a rule that has these conditions.
func (c *compiler) texts(in *Rewrite, t *texts, given []condition) {
	anyOf := []string{"from", "header_from", "to", "subject", "header", "user", "listener"} // where a field takes its stars from
	t.setHeader, t.addHeader = map[string]*template{}, map[string][]*template{}
	for _, name := range slices.Sorted(maps.Keys(in.SetHeader)) {
		t.setHeader[name] = c.template("set_header."+name, in.SetHeader[name], given, anyOf...)
	}
	for _, name := range slices.Sorted(maps.Keys(in.AddHeader)) {
		for _, value := range in.AddHeader[name] {
			t.addHeader[name] = append(t.addHeader[name], c.template("add_header."+name, value, given, anyOf...))
		}
	}
	t.senders = c.senders(in.MapSender)
	t.fromName = c.template("set_from", in.SetFrom.Name, given, "header_from", "from")
	t.from = c.template("set_from", in.SetFrom.Addr, given, "header_from", "from")
	t.sender = c.template("set_envelope_from", in.SetEnvelopeFrom, given, "from", "header_from")
	t.prefix = c.template("subject_prefix", strings.TrimSpace(in.SubjectPrefix), nil)
	for _, address := range in.RedirectTo {
		t.redirect = append(t.redirect, c.template("redirect_to", address, given, "to"))
	}
}

// headerActions checks the names and values that a rule writes.
func (c *compiler) headerActions(in *Rewrite) {
	for i, name := range in.RemoveHeader {
		c.item = i + 1
		c.removal(name)
	}
	c.item = 0
	for _, name := range slices.Sorted(maps.Keys(in.SetHeader)) {
		c.field("set_header."+name, name, in.SetHeader[name])
	}
	for _, name := range slices.Sorted(maps.Keys(in.AddHeader)) {
		key := "add_header." + name
		if slices.Contains(onceFields, strings.ToLower(name)) {
			c.fail(key, "must not be repeated in a header (RFC 5322 3.6)", "write set_header")
		}
		if len(in.AddHeader[name]) == 0 {
			c.fail(key, "has no value", "")
		}
		for i, value := range in.AddHeader[name] {
			c.item = i + 1
			c.field(key, name, value)
		}
		c.item = 0
	}
	for i, address := range in.AddBcc {
		if c.item = i + 1; !IsFixed(address) {
			c.fail("add_bcc", fmt.Sprintf("%q must be the address of a mailbox: a copy is the same for all mail", address), "")
		}
	}
	c.item = 0
	if problem := badValue(in.SubjectPrefix); problem != "" {
		c.fail("subject_prefix", problem, "")
	}
}

// onceFields must not be repeated in a header (RFC 5322 3.6), in lower case.
var onceFields = []string{"date", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to", "references", "subject"}

// guardedFields are those that rules do not write, in lower case, with what to do instead.
var guardedFields = map[string]string{
	"from":                      "write set_from",
	"bcc":                       "hidden recipients are never shown: write add_bcc",
	"resent-bcc":                "hidden recipients are never shown: write add_bcc",
	"received":                  "the trace finds mail loops",
	"content-type":              "it declares how to read the body",
	"content-transfer-encoding": "it declares how to read the body",
	"mime-version":              "it declares how to read the body",
}

// field checks one field that a rule writes.
func (c *compiler) field(key, name, value string) {
	switch hint, guarded := guardedFields[strings.ToLower(name)]; {
	case !mime.IsFieldName(name) || strings.Contains(name, "*"):
		c.fail(key, "is not the name of a header field", "")
	case guarded:
		c.fail(key, "is not written by rules", hint)
	case strings.TrimSpace(value) == "":
		c.fail(key, "has no value", "write remove_header to remove a field")
	}
	if problem := badValue(value); problem != "" {
		c.fail(key, problem, "")
	} else if slices.Contains(addressFields, strings.ToLower(name)) && !addresses(Sample(value)) && !addresses(sample(value, "x@example.com")) {
		c.fail(key, fmt.Sprintf("%q is not a list of addresses", value), `write "Ann <ann@example.com>, bob@example.com"`)
	}
}

// addressFields are those of onceFields that hold addresses, in lower case.
var addressFields = []string{"sender", "reply-to", "to", "cc"}

// addresses reports whether a text is a list of addresses; an empty group is one.
func addresses(value string) bool {
	list, err := mime.ParseAddressList(value)
	return err == nil && !slices.ContainsFunc(list, func(a mime.Address) bool { return !strings.Contains(a.Addr, "@") })
}

// removal checks one name of remove_header.
func (c *compiler) removal(name string) {
	prefix, wild := strings.CutSuffix(name, "*")
	if !mime.IsFieldName(prefix) || strings.ContainsAny(prefix, `*/^$\|`) { // some of which a name may have, and a regular expression has
		c.fail("remove_header", fmt.Sprintf("%q is not the name of a header field", name), `write "X-Name", or "X-Internal-*" for all names with that prefix`)
		return
	}
	if strings.EqualFold(name, "Date") {
		c.fail("remove_header", "Date is in every message (RFC 5322 3.6)", "")
	}
	for _, guarded := range slices.Sorted(maps.Keys(guardedFields)) {
		if guarded == strings.ToLower(name) || wild && strings.HasPrefix(guarded, strings.ToLower(prefix)) {
			c.fail("remove_header", fmt.Sprintf("%q would take away %s, which rules do not touch", name, guarded), guardedFields[guarded])
			return
		}
	}
}

// badValue returns why a text cannot stand in a header.
func badValue(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
		return "must be one line of text"
	}
	return ""
}

// NeedSize reports whether a rule asks for the size of messages.
func (t *Rewrites) NeedSize() bool {
	return slices.ContainsFunc(t.rules, func(r rewrite) bool { return r.MinSize > 0 || r.MaxSize > 0 })
}

// MayRedirect reports whether a message of this envelope might get another sender, or this recipient become
// others, once all recipients and the header are known.
func (t *Rewrites) MayRedirect(in *Input) bool {
	return slices.ContainsFunc(t.rules, func(r rewrite) bool {
		reaches := r.SetEnvelopeFrom != "" || len(r.MapSender) > 0 || len(r.RedirectTo) > 0 && (r.to == nil || r.to.holds(in))
		return reaches && all(r.early, in)
	})
}
