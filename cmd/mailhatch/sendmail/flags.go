package sendmail

import (
	"flag"
	"fmt"
	"strings"

	"mailhatch/cmd/mailhatch/command"
)

// flags is a command line of sendmail(8).
type flags struct {
	mode       byte // of -b: m, s, p, i; q for -q
	interval   bool // of -q: now and then
	fromHeader bool // -t
	dots       bool // -i, -oi: a lone dot is text
	verbose    bool // -v
	onError    byte // of -e: p, m, w, e, q, or 0
	sender     *string
	fullName   string
	body       string   // "", 7BIT or 8BITMIME
	notify     []string // RFC 3461, upper case
	ret        string   // "", FULL or HDRS
	envID      string
	to         []string
}

// Flags that are letters of their own, and those that take a value, in the same word or the next one.
const (
	plainFlags = "tivGUnm"
	valueFlags = "fFrBNRVoObhLpX"
	// These take what follows in the same word only.
	joinedFlags = "qedAIMC"
)

// parse reads flags and addresses in any order; -- ends the flags. Its errors are about usage.
func parse(args []string) (*flags, error) {
	f := &flags{mode: 'm'}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			f.to = append(f.to, args...)
			break
		}
		if word == "--help" {
			return nil, flag.ErrHelp
		}
		if len(word) < 2 || word[0] != '-' {
			f.to = append(f.to, word)
			continue
		}
		var err error
		if args, err = f.word(word, args); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// word takes one word of flags, such as -t, -ti, -fann or -oi, and returns the words that are left.
func (f *flags) word(word string, args []string) ([]string, error) {
	for i := 1; i < len(word); i++ {
		c, rest := word[i], word[i+1:]
		switch {
		case strings.IndexByte(plainFlags, c) >= 0:
			f.plain(c)
			continue
		case strings.IndexByte(joinedFlags, c) >= 0:
			return args, f.joined(c, rest)
		case strings.IndexByte(valueFlags, c) < 0:
			return nil, fmt.Errorf("unknown flag -%c", c)
		}
		if rest == "" {
			if len(args) == 0 {
				return nil, fmt.Errorf("-%c needs a value", c)
			}
			rest, args = args[0], args[1:]
		}
		return args, f.value(c, rest)
	}
	return args, nil
}

// plain takes flags without a value. -G, -U, -n and -m change nothing here.
func (f *flags) plain(c byte) {
	switch c {
	case 't':
		f.fromHeader = true
	case 'i':
		f.dots = true
	case 'v':
		f.verbose = true
	}
}

// joined takes flags whose value may be missing. -d and -A change nothing here.
func (f *flags) joined(c byte, value string) error {
	switch c {
	case 'I':
		f.mode = 'i'
	case 'q':
		f.mode, f.interval = 'q', value != "" && value[0] >= '0' && value[0] <= '9'
	case 'e':
		f.setErrors(value)
	case 'M':
		return fmt.Errorf("-M is not supported; use mailhatch queue retry ID")
	case 'C':
		return fmt.Errorf("-C is not supported; set $MAILHATCH_CONFIG to the path of the config")
	}
	return nil
}

// value takes flags with a value. -O, -o but for -oi, -ov and -oe, -h, -L and -p change nothing here.
func (f *flags) value(c byte, v string) error {
	switch c {
	case 'f', 'r':
		f.sender = &v
	case 'F':
		f.fullName = v
	case 'b':
		return f.setMode(v)
	case 'B':
		if f.body = strings.ToUpper(v); f.body != "7BIT" && f.body != "8BITMIME" {
			return fmt.Errorf("-B %s: write 7BIT or 8BITMIME", v)
		}
	case 'N':
		return f.setNotify(v)
	case 'R':
		switch strings.ToLower(v) {
		case "full":
			f.ret = "FULL"
		case "hdrs":
			f.ret = "HDRS"
		default:
			return fmt.Errorf("-R %s: write full or hdrs", v)
		}
	case 'V':
		if f.envID = v; v == "" || len(v) > 100 || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("-V: an envelope id has 1 to 100 printable ASCII characters (RFC 3461 4.4)")
		}
	case 'o':
		f.dots = f.dots || v == "i"
		f.verbose = f.verbose || v == "v"
		if mode, ok := strings.CutPrefix(v, "e"); ok {
			f.setErrors(mode)
		}
	case 'X':
		return fmt.Errorf("-X: mailhatch writes no session log; see the log of the gateway")
	}
	return nil
}

// setErrors takes how to tell of bad addresses; other words are passed over, as ever.
func (f *flags) setErrors(v string) {
	if len(v) == 1 && strings.Contains("pmweq", v) {
		f.onError = v[0]
	}
}

func (f *flags) setMode(v string) error {
	switch v {
	case "m", "s", "p", "i":
		f.mode = v[0]
		return nil
	case "d", "D", "a":
		return fmt.Errorf("-b%s is not supported; start the gateway with mailhatch serve", v)
	}
	return fmt.Errorf("-b%s is not supported; use -bm, -bs, -bp or -bi", v)
}

// setNotify takes a list of RFC 3461 4.1.
func (f *flags) setNotify(v string) error {
	f.notify = nil
	for word := range strings.SplitSeq(strings.ToUpper(v), ",") {
		switch word = strings.TrimSpace(word); word {
		case "NEVER", "SUCCESS", "FAILURE", "DELAY":
			f.notify = append(f.notify, word)
		default:
			return fmt.Errorf("-N %s: write never, or a comma-separated list of success, failure and delay", v)
		}
	}
	for _, word := range f.notify {
		if word == "NEVER" && len(f.notify) > 1 {
			return fmt.Errorf("-N %s: never cannot be combined with other words", v)
		}
	}
	return nil
}

// Flags describes the flags for help and for the manual page.
func Flags() []command.Flag {
	return []command.Flag{
		{Names: []string{"-t"}, Doc: "take recipients from To, Cc and Bcc, or from the latest Resent-To, -Cc and -Bcc; addresses on the command line are added"},
		{Names: []string{"-i", "-oi"}, Doc: "treat a line with only a dot as text; without this flag it ends the message"},
		{Names: []string{"-f", "-r"}, Value: "address", Doc: "envelope sender; \"\" or <> is the null sender"},
		{Names: []string{"-F"}, Value: "name", Doc: "full name for a generated From field"},
		{Names: []string{"-B"}, Value: "type", Doc: "body type: 7BIT or 8BITMIME"},
		{Names: []string{"-N"}, Value: "when", Doc: "when to send notifications: never, or a comma-separated list of success, failure and delay"},
		{Names: []string{"-R"}, Value: "what", Doc: "how much of the message notifications return: full or hdrs"},
		{Names: []string{"-V"}, Value: "id", Doc: "envelope id, for notifications"},
		{Names: []string{"-bm"}, Doc: "read a message from standard input (the default)"},
		{Names: []string{"-bs"}, Doc: "speak SMTP on standard input and output"},
		{Names: []string{"-bp"}, Doc: "list waiting mail, like mailq: all of it for root and the gateway's account; for others their own mail, and how much waits in all"},
		{Names: []string{"-bi", "-I"}, Doc: "make a running gateway reload its config and aliases, like newaliases"},
		{Names: []string{"-q"}, Doc: "make a running gateway try all queued mail now (only root and the gateway's account); with -v, print the result"},
		{Names: []string{"-v"}, Doc: "report whether the message was accepted"},
		{Names: []string{"-oe", "-e"}, Value: "how", Doc: "how to report invalid recipients: p prints, m, w and e notify the sender, q is quiet (default: print and notify)"},
		{Names: []string{"-o", "-O", "-d", "-A", "-G", "-U", "-n", "-m", "-h", "-L", "-p"}, Doc: "accepted for compatibility and ignored"},
		{Names: []string{"-X", "-C", "-M", "-bd", "-bt", "-bv"}, Doc: "refused"},
	}
}
