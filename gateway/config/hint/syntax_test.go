package hint

import (
	"strings"
	"testing"
)

// TestSyntax has the lines without the reader of TOML, whose words are those of the second column. The tests of
// the config have them with it.
func TestSyntax(t *testing.T) {
	for _, c := range []struct{ line, message, want string }{
		{`hostname = app.example.com # a comment`, "", `not in quotes; write hostname = "app.example.com"`},
		{`address = off`, "", `write address = false; where text is wanted address = "off"`}, {`port = 587 // ok`, "", "a comment begins with #"},
		{`password = "a"b"`, "", `contains " needs '…'`}, {`host = "a" port = "b"`, "", "something follows"},
		{`path = 'a#b' c # d`, "", "something follows the value"}, {`password = hunter2`, "", `write password = "…"`}, {`path = a"b`, "", `write path = "…"`},
		{`banner = ` + strings.Repeat("long ", 20), "", `write banner = "…"`},
		{`type: resend`, "", `write type = "resend"`}, {`port: 587`, "", "write port = 587"}, {`hold: true`, "", "write hold = true"}, {`via: "main"`, "", `write via = "main"`},
		{`listener:`, "", "write [listener]"}, {`hostname :=`, "", `no value; write hostname = "…"`}, {`hostname =`, "", "no value"},
		{"\ufeffhostname = “a”", "", "curly ones; write straight ones"}, {`subject = "“a”" x`, "", "something follows"},
		{`a = "x`, "", "closing quote is missing"}, {`a = "x\q"`, "invalid escape", "single quotes"}, {`a = 'it's'`, "", `needs "…"`}, {`a = "x"`, "EOF", "not closed"},
		{`a = "x", "y"`, "", `["one", "two"]`}, {`a = "x";`, "", "something follows"}, {`a = 5;`, "", "something follows"}, {`a = true,`, "", "something follows"},
		{`a = [b]`, "", "needs its own quotes"}, {`a = ["b" "c"]`, "array terminator", "put a comma"}, {`a = [10.0.0.0/8]`, "", "needs its own quotes"},
		{`a = { b = c }`, "expected value", "quotes around strings"}, {`a = { b }`, "inline table", "an inline table is"}, {`  "b",`, "invalid escape", "single quotes"},
		{`a = Yes`, "", "write a = true"}, {`a = off`, "", "write a = false"}, {`a = 007`, "", "write a = 7"},
		{`; x`, "", "begins with #"}, {`// x`, "", "begins with #"}, {`- x`, "", "needs brackets"}, {`>>>>>>> x`, "", "two versions"},
		{`[log]`, "array terminator", "a list before this line"}, {`api_key = ${KEY}`, "", `write api_key = "env:KEY"`}, {`[log]`, "already been defined", "twice"}, {`[[route]`, "", "write [[route]]"}, {`[upstream main] # x`, "", "write [upstream.main]"}, {`[a b c`, "", "alone on its line"},
		{"a\x00", "", "UTF-8"}, {"\ufffd", "", "UTF-8"}, {`hostname`, "", "each line is"}, {``, "", "each line is"},
	} {
		problem, hint := Syntax(c.line, c.message)
		if got := problem + "; " + hint; !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s, want %s", c.line, got, c.want)
		}
	}
}

func TestQuoting(t *testing.T) {
	for _, c := range []struct {
		want  string
		value any
		hint  string
	}{
		{"a whole number", "587", "write 587 without quotes"}, {"a whole number", "many", ""}, {"true or false", "Yes", "write true without quotes"},
		{"true or false", "off", "write false without quotes"}, {"true or false", "perhaps", ""}, {"text in quotes", int64(5), "put it in quotes"}, {"text in quotes", true, "put it in quotes"},
		{"a table", int64(5), ""}, {"text in quotes", []any{}, ""}, {"a list", "x", ""},
	} {
		if got := Quoting(c.want, c.value); got != c.hint {
			t.Errorf("%s, %v: %q, want %q", c.want, c.value, got, c.hint)
		}
	}
}
