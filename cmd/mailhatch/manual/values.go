package manual

import (
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/command"
)

// What the running gateway, or the config, knows: `mailhatch completion ids` prints a word a line.
const (
	knownIDs       = "ids"
	knownUpstreams = "upstreams"
	knownTypes     = "types"
	knownPresets   = "presets"
)

// offer is what can stand in a place of a command line: fixed words, or what mailhatch completion prints.
type offer struct {
	words []string
	known string
}

// isNothing reports whether a shell has nothing to offer.
func (o offer) isNothing() bool { return o.words == nil && o.known == "" }

// ask is how a shell gets what is known; flags are those before the command.
func (o offer) ask(flags string) string {
	return "mailhatch " + flags + "completion " + o.known + " 2>/dev/null"
}

// valueOf returns what the value of a flag can be.
func valueOf(c *command.Description, f *command.Flag) offer {
	switch f.Value {
	case "state":
		words := []string{"queued", "held", "failed"}
		switch c.Name {
		case "log":
			words = append(words, "sent", "delivered", "bounced", "complained", "discarded", "refused")
		case "queue list":
			words = append(words, "maildrop")
		}
		return offer{words: words}
	case "upstream":
		return offer{known: knownUpstreams}
	case "reason":
		return offer{words: []string{"bounced", "complained", "unsubscribed", "suppressed", "manual"}}
	case "id": // others are of providers and of clients
		if c.Name == "log" || strings.HasPrefix(c.Name, "queue ") {
			return offer{known: knownIDs}
		}
	case "type":
		return offer{known: knownTypes}
	case "mode":
		return offer{words: []string{"starttls", "implicit", "opportunistic", "none"}}
	case "name":
		if slices.Contains(f.Names, "--preset") {
			return offer{known: knownPresets}
		}
	case "format":
		return offer{words: []string{"csv", "json", "mbox"}}
	}
	return offer{}
}

// argumentOf returns what the arguments of a command can be.
func argumentOf(c *command.Description) offer {
	if list := choices(c); list != nil {
		return offer{words: list}
	}
	if c.Name == "presets" {
		return offer{known: knownPresets}
	}
	switch first, _, _ := strings.Cut(c.Args, " "); {
	case strings.HasPrefix(c.Name, "queue ") && strings.Contains(c.Args, "ID") && first != "DIR":
		return offer{known: knownIDs}
	case first == "UPSTREAM", strings.HasPrefix(c.Name, "upstream ") && first == "NAME":
		return offer{known: knownUpstreams}
	}
	return offer{}
}
