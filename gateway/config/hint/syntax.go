package hint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	quoted   = regexp.MustCompile(`"(?:\\.|[^"\\])*"|'[^']*'`)
	curly    = regexp.MustCompile(`[“”„‟«»‹›‘’‚‛＂＇″′]`)
	lastText = regexp.MustCompile(`^(?:"(?:\\.|[^"\\])*"|'[^']*')\s*(.*)$`)
	keyed    = regexp.MustCompile(`^((?:[\w-]+|"[^"]*")(?:\.(?:[\w-]+|"[^"]*"))*)\s*(:=|=>|==|\+=|=|:|\s)\s*(.*)$`)
	number   = regexp.MustCompile(`^[+-]?\d+(\.\d+)?$`)
	bareItem = regexp.MustCompile(`[\[,]\s*[^\s"'\[\]{},0-9+-][^,\]]*|[\[,]\s*[\d.:]+[./:a-zA-Z][^,\]]*`)
	header   = regexp.MustCompile(`^\[+\s*(.*?)\s*\]*$`)
	twoWords = regexp.MustCompile(`^([\w-]+)\s*[\s:./]\s*"?([\w-]+)"?$`)
	secretly = regexp.MustCompile(`(?i)pass|key|token|secret|pw$`)
)

// Syntax returns what is wrong with a line that TOML cannot read, in words of its own or "", and what to write.
// message is what the reader of TOML said. Values that may be secrets are not repeated.
func Syntax(line, message string) (problem, hint string) {
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
	bare := quoted.ReplaceAllString(line, `""`) // what stands in good quotes is not at fault
	switch {
	case strings.ContainsRune(line, 0) || strings.ContainsRune(line, '\ufffd') || strings.Contains(message, "UTF-8"):
		return "", "save the file as UTF-8"
	case strings.HasPrefix(line, "<<<<<<<") || strings.HasPrefix(line, "=======") || strings.HasPrefix(line, ">>>>>>>"):
		return "a merge was not finished here", "keep one of the two versions, and take the marks away"
	case strings.HasPrefix(line, ";") || strings.HasPrefix(line, "//") || strings.HasPrefix(line, "--") || strings.HasPrefix(line, "/*"):
		return "", "a comment begins with #"
	case curly.MatchString(strings.SplitN(bare, "#", 2)[0]):
		return "the quotes are curly ones", `write straight ones: "…"`
	case strings.Contains(message, "already been defined") || strings.Contains(message, "already created"):
		return "", "it occurs twice in this file: keep one, or give the second another name"
	case strings.HasPrefix(line, "[") && strings.Contains(message, "array terminator"):
		return "", "a list before this line is not closed: its ] is missing"
	case strings.HasPrefix(line, "["):
		return "", tableHint(line)
	case strings.HasPrefix(line, "- "):
		return "", `a list needs brackets: key = ["one", "two"]; a table begins with [NAME]`
	}
	for _, word := range []string{"export ", "set ", "let "} {
		line = strings.TrimPrefix(line, word)
	}
	if m := keyed.FindStringSubmatch(line); m != nil {
		return assignment(m[1], m[2], strings.TrimSpace(m[3]), message)
	}
	return "", otherwise(message)
}

// tableHint is about a line that begins a table.
func tableHint(line string) string {
	name := header.FindStringSubmatch(strings.TrimSpace(strings.SplitN(line, "#", 2)[0]))[1]
	lists := []string{"listener", "listener.user", "route", "rewrite"}
	switch m := twoWords.FindStringSubmatch(name); {
	case slices.Contains(lists, name):
		return fmt.Sprintf("write [[%s]]", name)
	case m != nil:
		return fmt.Sprintf("write [%s.%s]", m[1], m[2])
	}
	return "a table begins with [NAME], one of a list of tables with [[NAME]], alone on its line"
}

// assignment is about a line with a key.
func assignment(key, sign, value, message string) (problem, hint string) {
	value = strings.TrimSpace(uncommented(value))
	written := func() string { return key + " = " + shown(key, value) }
	switch {
	case sign == ":" && value == "":
		return "a colon does not begin a table", fmt.Sprintf("write [%s], or [[%s]] for one of a list", key, key)
	case sign != "=" && value == "":
		return "the key has no value", fmt.Sprintf(`write %s = "…"`, key)
	case sign != "=":
		return "there must be = between a key and its value", "write " + written()
	case value == "":
		return "the key has no value", fmt.Sprintf(`write %s = "…", or leave the line out`, key)
	case strings.HasPrefix(value, "["):
		return "", list(value, message)
	case value[0] == '"' || value[0] == '\'':
		return text(value, message)
	case value[0] == '{':
		return "", otherwise(message)
	}
	if word := strings.ToLower(value); slices.Contains([]string{"yes", "on", "true", "no", "off", "false"}, word) {
		hint := fmt.Sprintf("write %s = %t", key, slices.Contains([]string{"yes", "on", "true"}, word))
		if word == value && word != "true" && word != "false" {
			hint += fmt.Sprintf("; where text is wanted %s = %q", key, word)
		}
		return "the value must be true or false, in small letters", hint
	}
	if trimmed := strings.TrimRight(value, ";,"); trimmed != value && (number.MatchString(trimmed) || trimmed == "true" || trimmed == "false") {
		return "something follows the value", "only a comment can follow a value: # …"
	}
	if before, _, found := strings.Cut(value, "//"); found && number.MatchString(strings.TrimSpace(before)) {
		return "something follows the value", "a comment begins with #"
	}
	if strings.TrimLeft(value, "0") != value && number.MatchString(value) {
		return "a number does not begin with 0", "write " + key + " = " + strings.TrimLeft(value, "0") + ", or permissions in quotes"
	}
	if m := wholeVariable.FindStringSubmatch(value); m != nil {
		return "the value is not in quotes", fmt.Sprintf("write %s = %q", key, "env:"+strings.Join(m[1:], ""))
	}
	return "the value is not in quotes", "write " + written()
}

// shown returns a value as it should be written; what may be a secret only as its place.
func shown(key, value string) string {
	switch {
	case quoted.FindString(value) == value && !secretly.MatchString(key), number.MatchString(value), value == "true", value == "false":
		return value
	case secretly.MatchString(key) || strings.ContainsAny(value, `"\`) || len(value) > 60:
		return `"…"`
	}
	return `"` + strings.Trim(strings.TrimRight(value, ";,"), `'`) + `"`
}

// text is about a value that begins with a quote.
func text(value, message string) (problem, hint string) {
	m := lastText.FindStringSubmatch(value)
	switch {
	case strings.Contains(message, "escape") || strings.Contains(message, "hexadecimal digits after"):
		return "", `a backslash begins an escape: write '…' in single quotes, or \\ for each \`
	case value[0] == '\'' && strings.Count(value, "'") > 2:
		return "", `a string that contains ' needs "…"`
	case m == nil:
		return "the closing quote is missing", `a string needs quotes, "…" or '…', on one line`
	case strings.HasPrefix(m[1], ",") && strings.ContainsAny(m[1], `"'`):
		return "several values need brackets", `a list is written ["one", "two"]`
	case m[1] != "" && value[0] == '"' && strings.HasSuffix(value, `"`) && !strings.ContainsAny(m[1], "= "):
		return "", `a string that contains " needs '…'`
	case m[1] != "":
		return "something follows the value", "only a comment can follow a value: # …"
	}
	return "", otherwise(message)
}

// list is about a value that begins with a bracket.
func list(value, message string) string {
	if bareItem.MatchString(quoted.ReplaceAllString(value, `""`)) {
		return `each item of a list needs its own quotes: ["one", "two"]`
	}
	return otherwise(message)
}

// otherwise returns advice on what the reader of TOML said.
func otherwise(message string) string {
	switch {
	case strings.Contains(message, "EOF") || strings.Contains(message, "end of file"):
		return `a quote or bracket that was opened is not closed`
	case strings.Contains(message, "array terminator") || strings.Contains(message, "comma"):
		return `in lists and inline tables, put a comma between values and quotes around strings: ["one", "two"]`
	case strings.Contains(message, "inline table"):
		return `an inline table is { key = "value", other = "value" }`
	case strings.Contains(message, "escape"):
		return `a backslash begins an escape: write '…' in single quotes, or \\ for each \`
	case strings.Contains(message, "expected value"):
		return `put quotes around strings: ["one", "two"]`
	}
	return `each line is key = "value", [NAME], or a comment: # …`
}

// uncommented cuts off a comment behind a value.
func uncommented(value string) string {
	inside := rune(0)
	for i, r := range value {
		switch {
		case inside == 0 && r == '#':
			return value[:i]
		case inside == 0 && (r == '"' || r == '\''):
			inside = r
		case inside == r:
			inside = 0
		}
	}
	return value
}

// Quoting returns what to write where a value has quotes that it should not have, or the other way round.
// want is the kind of value that the key takes.
func Quoting(want string, value any) string {
	switch value.(type) {
	case string:
	case int64, float64, bool:
		if strings.Contains(want, "text") {
			return "put it in quotes"
		}
		return ""
	default:
		return ""
	}
	word := strings.ToLower(strings.TrimSpace(value.(string)))
	switch {
	case strings.Contains(want, "number") && number.MatchString(word):
		return "write " + word + " without quotes"
	case strings.Contains(want, "true or false") && slices.Contains([]string{"yes", "on", "true", "no", "off", "false"}, word):
		return fmt.Sprintf("write %t without quotes", slices.Contains([]string{"yes", "on", "true"}, word))
	}
	return ""
}
