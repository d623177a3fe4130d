package hint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Form is what a text of the config is to its reader. Forms are options of `toml` tags.
type Form string

// The forms of texts.
const (
	Word         Form = ""              // an address, a name, a path: every character counts
	Text         Form = "text"          // for people, or a pattern for such: it may hold any character
	Template     Form = "template"      // a word that is filled in for each message: its reader knows what braces in it mean
	TextTemplate Form = "text-template" // the same of a text
	Secret       Form = "secret"        // only what stands for the whole of it is no secret
)

// IsText reports whether a text may hold any character.
func (f Form) IsText() bool { return f == Text || f == TextTemplate }

const (
	name  = `[A-Za-z_][A-Za-z0-9_]*`
	upper = `[A-Z_][A-Z0-9_]+`
)

// wholeVariable matches texts that are an environment variable in the words of a shell, a template or another
// program; one of its groups is the name.
var wholeVariable = regexp.MustCompile(`^(?:\$\{(` + name + `)(?::?[-=?+][^}]*)?\}|\$(` + upper + `)|(?:(?i:\$env:|env://|env\.)|ENV:|Env:)(` + name + `)|` +
	`%(` + upper + `)%|\{\{?\s*(?i:\$|\.?env[.: ]\s*"?)(` + name + `)"?\s*\}?\}|[%#@]\{(?:(?i:env)[:.])?(` + name + `)\}|(?i:env|getenv)\(["']?(` + name + `)["']?\)|\$(` + name + `))$`)

var (
	// command matches texts that ask a program or a store of secrets.
	example  = regexp.MustCompile(`^(?:<[A-Za-z][A-Za-z0-9 _-]*>|\.\.\.|…)$`)
	command  = regexp.MustCompile("^(?:(?i:exec|cmd|command|vault|keyring):.|op://.|\\$\\(.*\\)$|`.*`$)")
	onlyName = regexp.MustCompile(`^` + name + `$`)
	// bare matches what people call the variable of a secret, such as RESEND_API_KEY.
	bare = regexp.MustCompile(`^[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASSWORD)$`)
	// variable matches a variable of a shell anywhere, unmistakable ones even in free text.
	variable = regexp.MustCompile(`\$\{` + name + `[^}]*\}|\$` + upper + `(?:[^A-Za-z0-9]|$)|\$\(`)
	leading  = regexp.MustCompile(`^\$` + name)
	// percent matches what systemd, dovecot and the like fill in: a single letter.
	percent = regexp.MustCompile(`(?:^|[^0-9A-Za-z%])(%[A-Za-z])(?:[^0-9A-Za-z%]|$)`)
	braces  = regexp.MustCompile(`\{\{?\s*[.$]?([a-z_][A-Za-z0-9_.]*)\s*\}\}?`)
)

// Placeholder returns what is wrong with a text that another program would fill in, and what to write;
// "" for a text that means itself.
func Placeholder(text string, form Form) (problem, hint string) {
	if m := wholeVariable.FindStringSubmatch(text); m != nil && !(m[len(m)-1] != "" && (form == Secret || form.IsText())) {
		return "would be used literally, not as an environment variable", fmt.Sprintf("write %q", "env:"+strings.Join(m[1:], ""))
	}
	if scheme, rest, found := strings.Cut(text, ":"); found && !form.IsText() && rest != "" {
		if lower := strings.ToLower(scheme); lower != scheme && (lower == "file" || lower == "cred") {
			return "would be used literally, because the word before the colon is in capitals", fmt.Sprintf(`write "%s:…"`, lower)
		}
	}
	if example.MatchString(text) && !form.IsText() {
		return "is the placeholder of an example", instead
	}
	if command.MatchString(text) && !form.IsText() {
		return "names a program or a store of secrets, which mailhatch does not ask",
			`let that program set a variable or write a file, and write "env:NAME" or "file:/path"`
	}
	if form == Secret {
		if bare.MatchString(text) {
			return "is the name of an environment variable, not what it holds", fmt.Sprintf("write %q", "env:"+text)
		}
		return "", ""
	}
	return part(text, form)
}

// Reference returns what to write for a reference that names nothing, such as "env: NAME" or "env:${NAME}".
func Reference(text string) string {
	scheme, rest, _ := strings.Cut(text, ":")
	if rest = strings.Trim(rest, "/$%{}() \t"); scheme == "env" && onlyName.MatchString(rest) {
		return fmt.Sprintf("write %q", "env:"+rest)
	}
	return `write "env:NAME", "file:/path" or "cred:NAME", without spaces`
}

// part looks for placeholders within a text.
func part(text string, form Form) (problem, hint string) {
	if rest, ok := strings.CutPrefix(text, "$HOME/"); ok && form == Word {
		return "$HOME is not replaced here", fmt.Sprintf("write %q", "~/"+rest)
	}
	m := variable.FindString(text)
	if m == "" && !form.IsText() {
		m = leading.FindString(text)
	}
	if m != "" {
		return fmt.Sprintf("%q is not replaced here", strings.TrimRight(m, "/.:@-, ")),
			`an environment variable holds a whole value: set NAME to all of it and write "env:NAME"`
	}
	if m := percent.FindStringSubmatch(text); m != nil && (!form.IsText() || strings.Contains("%u%h%n%i%d", m[1])) {
		return fmt.Sprintf("%q is not replaced here", m[1]), instead
	}
	if form == Template || form == TextTemplate {
		return "", ""
	}
	for _, m := range braces.FindAllStringSubmatch(text, -1) {
		if !form.IsText() || slices.Contains([]string{"user", "host", "listener", "local", "domain", "sender", "recipient", "hostname"}, m[1]) {
			return fmt.Sprintf("%q is not replaced here", m[0]), instead
		}
	}
	return "", ""
}

const instead = `write the value itself, or "env:NAME" for all of it`
