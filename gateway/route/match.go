package route

import (
	"maps"
	"slices"

	"mailhatch/mime"
)

// Match is the conditions of a rule; all that are set must hold.
type Match struct {
	From       []string            `toml:"from"`          // envelope sender
	To         []string            `toml:"to"`            // envelope recipient
	HeaderFrom []string            `toml:"header_from"`   // any address in the From field
	Subject    []string            `toml:"subject,text"`  // decoded
	Header     map[string][]string `toml:"header,text"`   // field name to patterns for its values; all names must hold
	Client     []string            `toml:"client"`        // networks or addresses
	User       []string            `toml:"user"`          // AUTH name, or "uid:NAME" on the submission socket
	Listener   []string            `toml:"listener"`      // address of the listener as the config spells it
	MinSize    int64               `toml:"min_size,size"` // bytes, at least; 0: no condition
	MaxSize    int64               `toml:"max_size,size"` // bytes, at most; 0: no condition
}

// Unconditional reports whether the rule matches everything.
func (m *Match) Unconditional() bool {
	return len(m.From)+len(m.To)+len(m.HeaderFrom)+len(m.Subject)+len(m.Header)+
		len(m.Client)+len(m.User)+len(m.Listener) == 0 && m.MinSize == 0 && m.MaxSize == 0
}

// patterns compiles a list; nil where it is empty or cannot be used.
func (c *compiler) patterns(key string, list []string, compile func([]string) (*patterns, []*KeyError)) *patterns {
	p, errs := compile(list)
	for _, err := range errs {
		err.Rule, err.Key = c.index, key
		c.errs = append(c.errs, err)
	}
	if len(errs) > 0 {
		return nil
	}
	return p
}

func (c *compiler) conditions(in *Match) conditions {
	var all conditions
	add := func(list *[]condition, key string, given []string, compile func([]string) (*patterns, []*KeyError), values func(*Input) []string) {
		if p := c.patterns(key, given, compile); p != nil {
			*list = append(*list, &valueCondition{key: key, patterns: p, values: values})
		}
	}
	add(&all.early, "from", in.From, compileAddresses, func(in *Input) []string { return []string{mime.AddressText(in.Envelope.From)} })
	add(&all.early, "to", in.To, compileAddresses, func(in *Input) []string { return []string{mime.AddressText(in.To)} })
	add(&all.early, "client", in.Client, compileNetworks, clientValues)
	add(&all.early, "user", in.User, compileWords, func(in *Input) []string { return present(in.Envelope.Client.User) })
	add(&all.early, "listener", in.Listener, compileWords, func(in *Input) []string { return present(in.Envelope.Client.Listener) })
	add(&all.late, "header_from", in.HeaderFrom, compileAddresses, headerFrom)
	add(&all.late, "subject", in.Subject, compileTexts, func(in *Input) []string { return []string{in.Subject} })
	for _, name := range slices.Sorted(maps.Keys(in.Header)) {
		key := "header." + name
		if !mime.IsFieldName(name) {
			c.fail(key, "is not the name of a header field", "")
			continue
		}
		if len(in.Header[name]) == 0 {
			c.fail(key, "has no pattern", `"*" asks for the field, "!*" for its absence`)
			continue
		}
		add(&all.late, key, in.Header[name], compileTexts, headerValues(name))
	}
	if in.MinSize < 0 || in.MaxSize < 0 {
		c.fail("min_size", "sizes must not be negative", "")
	} else if in.MaxSize > 0 && in.MinSize > in.MaxSize {
		c.fail("min_size", "is larger than max_size: the rule could never match", "")
	}
	if in.MinSize > 0 || in.MaxSize > 0 {
		all.late = append(all.late, &sizeCondition{min: in.MinSize, max: in.MaxSize})
	}
	return all
}

// headerFrom returns the addresses of From as patterns have them.
func headerFrom(in *Input) []string {
	texts := make([]string, len(in.HeaderFrom))
	for i, a := range in.HeaderFrom {
		texts[i] = mime.AddressText(a)
	}
	return texts
}
