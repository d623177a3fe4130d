package sendmail

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	empty, ann := "", "ann@example.com"
	for _, c := range []struct {
		args string
		want flags
	}{
		{"a@b c@d", flags{to: []string{"a@b", "c@d"}}},
		{"a@b -t -- -c@d -x", flags{fromHeader: true, to: []string{"a@b", "-c@d", "-x"}}},
		{"-", flags{to: []string{"-"}}},
		{"-ti", flags{fromHeader: true, dots: true}},
		{"-tif ann@example.com x", flags{fromHeader: true, dots: true, sender: &ann, to: []string{"x"}}},
		{"-fann@example.com", flags{sender: &ann}},
		{"-r ann@example.com", flags{sender: &ann}},
		{"-f | x", flags{sender: &empty, to: []string{"x"}}},
		{"-oi -oem -odb -o i -ov", flags{dots: true, verbose: true, onError: 'm'}},
		{"-ep -oeq", flags{onError: 'q'}},
		{"-oexit -e -eZ -oe", flags{}},
		{"-FAnn -v", flags{fullName: "Ann", verbose: true}},
		{"-B 8bitmime", flags{body: "8BITMIME"}},
		{"-N success,FAILURE -R HDRS -V id+1", flags{notify: []string{"SUCCESS", "FAILURE"}, ret: "HDRS", envID: "id+1"}},
		{"-Nnever -Rfull", flags{notify: []string{"NEVER"}, ret: "FULL"}},
		{"-em -q15m", flags{mode: 'q', interval: true, onError: 'm'}},
		{"-bm", flags{}},
		{"-bs", flags{mode: 's'}},
		{"-b p", flags{mode: 'p'}},
		{"-I", flags{mode: 'i'}},
		{"-OTimeout.queuereturn=1d -O x -L tag -h5 -p local", flags{}},
	} {
		if c.want.mode == 0 {
			c.want.mode = 'm'
		}
		words := strings.Fields(c.args)
		for i, w := range words {
			if w == "|" { // an empty word
				words[i] = ""
			}
		}
		got, err := parse(words)
		if err != nil || !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.args, got, err, c.want)
		}
	}
	for _, args := range []string{"-f", "-B", "-B 9BIT", "-N sometimes", "-N never,delay", "-R some", "-V ä", "-bd", "-bt", "-bv", "-X log", "-Cfile", "-M id", "-Z", "--help"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
}

// TestFlagsAreDescribed: each letter that the parser accepts is described.
func TestFlagsAreDescribed(t *testing.T) {
	var letters []string
	for _, f := range Flags() {
		for _, name := range f.Names {
			letters = append(letters, name[:2])
		}
	}
	for _, c := range plainFlags + valueFlags + joinedFlags {
		if !slices.Contains(letters, "-"+string(c)) {
			t.Errorf("-%c is not described", c)
		}
	}
}
