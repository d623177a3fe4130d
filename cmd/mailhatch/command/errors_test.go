package command

import (
	"flag"
	"io"
	"testing"
)

// TestFlagErrors: what is wrong with a command line is said with the flags as they are typed, whatever their values hold.
func TestFlagErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--sate", "held"}, "unknown flag --sate"},
		{[]string{"-x"}, "unknown flag -x"},
		{[]string{"word", "--upstream"}, "--upstream needs an argument"},
		{[]string{"-c"}, "-c needs an argument"},
		{[]string{"--limit", "many"}, `--limit "many" is not a value that it takes`},
		{[]string{"-limit=x"}, `--limit "x" is not a value that it takes`},
		{[]string{"--limit", `a" for flag -c: b`}, `--limit "a\" for flag -c: b" is not a value that it takes`},
		{[]string{"--json=perhaps"}, `--json "perhaps" is not a value that it takes`},
		{[]string{"--limit", "99999999999999999999"}, `--limit "99999999999999999999": value out of range`},
		{[]string{"---"}, "bad flag syntax: ---"},
	} {
		fs := flag.NewFlagSet("mailhatch x", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		fs.Int("limit", 0, "")
		fs.Bool("json", false, "")
		fs.String("upstream", "", "")
		fs.String("c", "", "")
		if _, err := Parse(fs, c.args); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
}
