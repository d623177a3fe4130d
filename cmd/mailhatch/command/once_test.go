package command

import (
	"flag"
	"io"
	"strings"
	"testing"
)

// TestOnce: a flag that chooses is neither empty nor given twice.
func TestOnce(t *testing.T) {
	for line, want := range map[string]string{
		"":                      "",
		"--to a":                "",
		"--to=":                 "it is empty",
		"--to a --to b":         "given twice",
		"--recipient a --to b":  "",
		"--recipient= --to b":   "it is empty",
		"--to a --recipient= x": "it is empty",
	} {
		fs := flag.NewFlagSet("x", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		var to, other string
		fs.Var(&Once{Value: &to}, "to", "")
		fs.Var(&Once{Value: &other}, "recipient", "")
		_, err := Parse(fs, strings.Fields(line))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}
