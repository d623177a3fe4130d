package identity

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

// maxAliasLine is the longest line of an aliases file, in bytes.
const maxAliasLine = 1 << 20

// AddFile reads a file in the format of aliases(5): "name: target, target", quoted strings, comments
// from # to the end of the line, lines that begin with white space continue the one before. Names that
// are there already keep their targets. What cannot be used, commands and files above all, is left out
// and named in warnings as "file:line: …". The error is one of r.
func (a *Aliases) AddFile(file string, r io.Reader, open OpenList) (warnings []string, err error) {
	p := aliasParser{aliases: a, file: file, open: open, inFile: map[string]bool{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxAliasLine)
	entry, start, number := "", 0, 0
	for lines.Scan() {
		number++
		line := stripComment(lines.Text())
		switch {
		case strings.TrimSpace(line) == "":
		case line[0] == ' ' || line[0] == '\t':
			if start == 0 {
				p.warn(number, "continues no entry")
				continue
			}
			entry += line
		default:
			p.entry(entry, start)
			entry, start = line, number
		}
	}
	p.entry(entry, start)
	return p.warnings, lines.Err()
}

// stripComment cuts a comment off: a # at the start of a word, outside of quotes.
func stripComment(line string) string {
	for i := 0; i < len(line); {
		switch {
		case line[i] == '"':
			i += mime.TokenLength(line[i:])
			continue
		case line[i] == '#' && (i == 0 || strings.IndexByte(" \t,", line[i-1]) >= 0):
			return line[:i]
		}
		i++
	}
	return line
}

type aliasParser struct {
	aliases  *Aliases
	file     string
	open     OpenList
	inFile   map[string]bool
	warnings []string
}

func (p *aliasParser) warn(line int, format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf("%s:%d: ", p.file, line)+fmt.Sprintf(format, args...))
}

// entry takes one logical line.
func (p *aliasParser) entry(line string, number int) {
	if number == 0 {
		return
	}
	words := splitOutsideQuotes(line, ':', 2)
	if len(words) != 2 {
		p.warn(number, `%q has no colon: write "name: target"`, strings.TrimSpace(line))
		return
	}
	name := unquote(words[0])
	if problem, hint := badName(name); problem != "" {
		p.warn(number, "the alias %q %s", name, strings.TrimSuffix(problem+": "+hint, ": "))
		return
	}
	key := aliasKey(name)
	if p.inFile[key] {
		p.warn(number, "the alias %q is defined twice; the first definition counts", name)
		return
	}
	p.inFile[key] = true
	e := resolve(targetsOf(words[1]), p.open, func(target, problem string) {
		p.warn(number, "alias %s: %q %s; it is left out", name, target, problem)
	}, func(odd string) { p.warn(number, "alias %s: %s", name, odd) })
	switch e.ending.State {
	case envelope.Failed:
		p.warn(number, "alias %s has no usable target: mail for it is refused", name)
	case envelope.Held:
		p.warn(number, "alias %s: mail for it is held until the list can be read", name)
	}
	p.aliases.add(name, e)
}

// targetsOf splits the right side of an alias.
func targetsOf(list string) (targets []string) {
	for _, word := range splitOutsideQuotes(list, ',', -1) {
		if word = strings.TrimSpace(word); word != "" {
			targets = append(targets, unquote(bracketed(word)))
		}
	}
	return targets
}

// includePath returns the path of a target ":include:/path" (aliases(5)).
func includePath(target string) (path string, ok bool) {
	const prefix = ":include:"
	if len(target) <= len(prefix) || !strings.EqualFold(target[:len(prefix)], prefix) {
		return "", false
	}
	return strings.TrimSpace(target[len(prefix):]), true
}

// include reads a list of plain addresses and names, with commas or line ends between them and comments from #.
func include(path string, open OpenList, odd func(string)) (targets []string, err error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 4096), maxAliasLine)
	for number := 1; lines.Scan(); number++ {
		for _, target := range targetsOf(stripComment(lines.Text())) {
			if problem := badTarget(target); problem != "" {
				odd(fmt.Sprintf("%s:%d: %q %s; it is left out", path, number, target, problem))
				continue
			}
			targets = append(targets, target)
		}
	}
	return targets, lines.Err()
}

// splitOutsideQuotes splits at sep, into at most n pieces (-1: no limit).
func splitOutsideQuotes(s string, sep byte, n int) []string {
	var out []string
	start := 0
	for i := 0; i < len(s) && len(out)+1 != n; {
		switch s[i] {
		case '"':
			i += mime.TokenLength(s[i:])
			continue
		case sep:
			out = append(out, s[start:i])
			start = i + 1
		}
		i++
	}
	return append(out, s[start:])
}

// bracketed returns the address of a target that has a display name: "Ann Other" <ann@example.com>.
func bracketed(word string) string {
	inner, closed := strings.CutSuffix(word, ">")
	if at := strings.LastIndexByte(inner, '<'); closed && at >= 0 {
		return inner[at+1:]
	}
	return word
}

// unquote removes quotes around a whole word. An address with a quoted local part ("a b"@example.com)
// and a name that needs its quotes keep them.
func unquote(word string) string {
	word = strings.TrimSpace(word)
	if !strings.HasPrefix(word, `"`) || !mime.IsLocalPart(word) {
		return word
	}
	inner := strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(word[1 : len(word)-1])
	if badTarget(inner) == "" || strings.IndexAny(inner, "|/:") == 0 {
		return inner
	}
	return word
}
