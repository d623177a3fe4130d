package identity

import (
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
)

func expandAll(t *testing.T, table map[string][]string, to ...string) string {
	t.Helper()
	a, errs := NewAliases(table)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var rcpts []envelope.Recipient
	for _, addr := range to {
		rcpts = append(rcpts, envelope.Recipient{Address: addr})
	}
	var out []string
	for _, r := range a.Expand(newIdentity(t, ""), rcpts) {
		out = append(out, r.Address)
	}
	return strings.Join(out, " ")
}

func TestExpand(t *testing.T) {
	type table = map[string][]string
	tests := []struct {
		name  string
		table table
		to    []string
		want  string
	}{
		{"none", table{}, []string{"ann@x.org", "root"}, "ann@x.org root@example.com"},
		{"bare", table{"root": {"ops@x.org"}}, []string{"root"}, "ops@x.org"},
		{"local domain", table{"root": {"ops@x.org"}}, []string{"ROOT@Example.COM"}, "ops@x.org"},
		{"hostname", table{"root": {"ops@x.org"}}, []string{"root@app1.example.com"}, "ops@x.org"},
		{"localhost", table{"root": {"ops@x.org"}}, []string{"root@localhost"}, "ops@x.org"},
		{"other domain", table{"root": {"ops@x.org"}}, []string{"root@x.org"}, "root@x.org"},
		{"whole address", table{"Sales@Old.example": {"new@x.org"}}, []string{"sales@old.example"}, "new@x.org"},
		{"whole address before name", table{"ann@example.com": {"1@x.org"}, "ann": {"2@x.org"}}, []string{"ann"}, "1@x.org"},
		{"list, chain, qualified", table{"root": {"ops", "ann"}, "ops": {"o@x.org"}}, []string{"root"}, "o@x.org ann@example.com"},
		{"keeps itself", table{"root": {"root", "ops@x.org"}}, []string{"root"}, "root@example.com ops@x.org"},
		{"loop", table{"a": {"b"}, "b": {"a"}}, []string{"a"}, "a@example.com"},
		{"loop with a way out", table{"a": {"b"}, "b": {"a", "ops@x.org"}}, []string{"a"}, "ops@x.org"},
		{"diamond", table{"root": {"x", "y"}, "x": {"z"}, "y": {"z"}, "z": {"ops@x.org"}}, []string{"root"}, "ops@x.org"},
		{"once", table{"a": {"OPS@x.org"}}, []string{"ops@x.org", "a", "Ops@X.org"}, "ops@x.org"},
		{"loop reached before", table{"a": {"ops@x.org"}, "b": {"a"}}, []string{"a", "b"}, "ops@x.org"},
		{"postmaster goes to root", table{"root": {"ops@x.org"}}, []string{"postmaster", "MAILER-DAEMON"}, "ops@x.org"},
		{"postmaster's own", table{"root": {"ops@x.org"}, "postmaster": {"pm@x.org"}}, []string{"postmaster", "mailer-daemon"}, "pm@x.org"},
		{"postmaster elsewhere", table{"root": {"ops@x.org"}}, []string{"postmaster@x.org"}, "postmaster@x.org"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := expandAll(t, tc.table, tc.to...); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestExpandWide(t *testing.T) {
	// Each level doubles the ways; the work must not.
	table := map[string][]string{"l40": {"ops@x.org"}}
	for i := range 40 {
		name := func(i int) string { return "l" + strings.Repeat("i", i) }
		table[name(i)] = []string{name(i + 1), name(i+1) + "@example.com"}
	}
	if got := expandAll(t, table, "l"); got != "l"+strings.Repeat("i", 40)+"@example.com" {
		t.Error(got)
	}
}

func TestExpandKeepsParameters(t *testing.T) {
	a, _ := NewAliases(map[string][]string{"root": {"ops@x.org", "ann@x.org"}})
	got := a.Expand(newIdentity(t, ""), []envelope.Recipient{
		{Address: "root", Notify: []string{"NEVER"}, ORcpt: "rfc822;root"},
		{Address: "root@example.com", Given: "first@example.com"},
		{Address: "bob"},
		{Address: "c@x.org"},
	})
	want := []envelope.Recipient{
		{Address: "ops@x.org", Given: "root", Notify: []string{"NEVER"}, ORcpt: "rfc822;root"},
		{Address: "ann@x.org", Given: "root", Notify: []string{"NEVER"}, ORcpt: "rfc822;root"},
		{Address: "bob@example.com", Given: "bob"},
		{Address: "c@x.org"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAddFile(t *testing.T) {
	const file = `# comment
   # indented comment
root: ops@x.org, "ann lee"@x.org , bob   # and a comment
mailer-daemon:	postmaster
"quoted name":"plain@x.org"
continued: a@x.org,

  b@x.org,
	c@x.org
escaped: \root
prog: "|/usr/bin/vacation -a b", real@x.org
file: /var/mail/file
list: :include:/etc/list
special: :blackhole:
hash: "a#b"@x.org
ROOT: again@x.org
no colon here
empty:
|bad: x@x.org
inTable: file@x.org
a"quote: y@x.org
`
	a, errs := NewAliases(map[string][]string{"intable": {"table@x.org"}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	warnings, err := a.AddFile("/etc/aliases", strings.NewReader("  lost\n"+file))
	if err != nil {
		t.Fatal(err)
	}
	wantWarnings := []string{
		`/etc/aliases:1: continues no entry`,
		`/etc/aliases:12: alias prog: "|/usr/bin/vacation -a b" is a command, which mailhatch never runs; it is left out`,
		`/etc/aliases:13: alias file: "/var/mail/file" is a file, which mailhatch never writes; it is left out`,
		`/etc/aliases:13: alias file has no usable target: mail for it follows the routes`,
		`/etc/aliases:14: alias list: ":include:/etc/list" is a list in a file, which mailhatch does not read; it is left out`,
		`/etc/aliases:14: alias list has no usable target: mail for it follows the routes`,
		`/etc/aliases:15: alias special: ":blackhole:" is a special target, which mailhatch does not know; it is left out`,
		`/etc/aliases:15: alias special has no usable target: mail for it follows the routes`,
		`/etc/aliases:17: the alias "ROOT" is defined twice; the first definition counts`,
		`/etc/aliases:18: "no colon here" has no colon: write "name: target"`,
		`/etc/aliases:19: alias empty has no usable target: mail for it follows the routes`,
		`/etc/aliases:20: the alias "|bad" is a command, which mailhatch never runs`,
		`/etc/aliases:22: "a\"quote: y@x.org" has no colon: write "name: target"`,
	}
	if diff := cmp.Diff(wantWarnings, warnings); diff != "" {
		t.Error(diff)
	}
	want := map[string][]string{
		"root":          {"ops@x.org", `"ann lee"@x.org`, "bob"},
		"mailer-daemon": {"postmaster"},
		`"quoted name"`: {"plain@x.org"},
		"continued":     {"a@x.org", "b@x.org", "c@x.org"},
		"escaped":       {`\root`},
		"prog":          {"real@x.org"},
		"hash":          {`"a#b"@x.org`},
		"intable":       {"table@x.org"},
	}
	if diff := cmp.Diff(want, a.entries); diff != "" {
		t.Error(diff)
	}
	got := a.Expand(newIdentity(t, ""), []envelope.Recipient{{Address: "escaped"}})
	if len(got) != 1 || got[0].Address != "root@example.com" {
		t.Errorf("a backslash ends the chain: %+v", got)
	}
}

func TestAddFileErrors(t *testing.T) {
	a, _ := NewAliases(nil)
	if _, err := a.AddFile("f", iotest.ErrReader(iotest.ErrTimeout)); err != iotest.ErrTimeout {
		t.Error(err)
	}
	if _, err := a.AddFile("f", strings.NewReader("a: "+strings.Repeat("x", maxAliasLine))); err == nil {
		t.Error("a line without end was read")
	}
}

func TestNewAliasesErrors(t *testing.T) {
	_, errs := NewAliases(map[string][]string{
		"a": {"|cmd", "/file", ":include:x", "", "b c", "a@b@c", "x@-y", `"open`}, "|p": {"x"}, "e": nil, "Up": {"x"}, "up": {"y"},
	})
	if len(errs) != 8+1+1+1 {
		t.Errorf("%d: %q", len(errs), errs)
	}
}

func FuzzAddFile(f *testing.F) {
	f.Add("root: a, \"b\n  c\" # d\n\"x:y\": |z\n")
	f.Fuzz(func(t *testing.T, file string) {
		a, _ := NewAliases(nil)
		_, _ = a.AddFile("f", strings.NewReader(file))
		id := &Identity{Domain: "example.com", Hostname: "h"}
		for name, targets := range a.entries {
			for _, target := range targets {
				if badTarget(strings.TrimPrefix(target, `\`)) != "" {
					t.Errorf("%q has %q", name, target)
				}
			}
			if len(a.Expand(id, []envelope.Recipient{{Address: name}})) == 0 {
				t.Errorf("%q leads to nobody", name)
			}
		}
	})
}

func TestLoops(t *testing.T) {
	a, errs := NewAliases(map[string][]string{
		"One": {"two"}, "two": {"one@example.com"}, "into": {"one"}, "out": {"one", "ann@example.org"}, "own": {"own"}, "plain": {"ann@example.org"},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	id := &Identity{Domain: "example.com", Hostname: "box.example.com"}
	if got := a.Loops(id); !slices.Equal(got, []string{"into", "one", "two"}) {
		t.Errorf("loops %q", got)
	}
}

func TestAliasTargetWithName(t *testing.T) {
	a, _ := NewAliases(nil)
	warnings, err := a.AddFile("f", strings.NewReader("ops: \"Q, Bob\" <bob@example.org>, <carl@example.org>, Dave <|prog>\n"))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], `"|prog" is a command`) {
		t.Errorf("%q, %v", warnings, err)
	}
	if got := a.Resolve(&Identity{Domain: "example.com"}, "ops"); !slices.Equal(got, []string{"bob@example.org", "carl@example.org"}) {
		t.Errorf("%q", got)
	}
}
