package identity

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
)

func expandAll(t *testing.T, table map[string][]string, to ...string) string {
	t.Helper()
	a, errs := NewAliases(table, noLists)
	if len(errs) > 0 && !errs[0].(*KeyError).Mild {
		t.Fatal(errs)
	}
	var rcpts []envelope.Recipient
	for _, addr := range to {
		rcpts = append(rcpts, envelope.Recipient{Address: addr})
	}
	var out []string
	reached, ended := a.Expand(newIdentity(t, ""), rcpts)
	for _, r := range reached {
		out = append(out, r.Address)
	}
	for _, e := range ended {
		out = append(out, e.Recipient.Address+"="+string(e.State))
	}
	return strings.Join(out, " ")
}

// noLists has no file to include.
func noLists(path string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }

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
		{"one mailbox in several spellings", table{"s..p@x.org": {"a@x.org"}, `"p."`: {"b@x.org"}, `"c"@x.org`: {"d..e@x.org", `"d..e"@x.org`}},
			[]string{`"s..p"@x.org`, `"p."@example.com`, "p.", "c@x.org"}, "a@x.org b@x.org d..e@x.org"},
		{"quoted as a whole", table{"root": {`"ops@x.org"`}}, []string{"root"}, "ops@x.org"},
		{"once", table{"a": {"OPS@x.org"}}, []string{"ops@x.org", "a", "Ops@X.org"}, "ops@x.org"},
		{"loop reached before", table{"a": {"ops@x.org"}, "b": {"a"}}, []string{"a", "b"}, "ops@x.org"},
		{"postmaster goes to root", table{"root": {"ops@x.org"}}, []string{"postmaster", "MAILER-DAEMON"}, "ops@x.org"},
		{"postmaster's own", table{"root": {"ops@x.org"}, "postmaster": {"pm@x.org"}}, []string{"postmaster", "mailer-daemon"}, "pm@x.org"},
		{"short form of hostname", table{"root": {"ops@x.org"}}, []string{"root@APP1"}, "ops@x.org"},
		{"localhost.localdomain", table{"root": {"ops@x.org"}}, []string{"root@localhost.localdomain", "root@localhost.example.com"}, "ops@x.org"},
		{"discarded", table{"null": {"/dev/null"}, "junk": {"null"}}, []string{"null", "junk"}, "null@example.com=discarded"},
		{"discarded beside an address", table{"a": {"/dev/null", "ops@x.org"}}, []string{"a"}, "ops@x.org"},
		{"an alias within a list is discarded", table{"a": {"null", "ops@x.org"}, "null": {"/dev/null"}}, []string{"a"}, "ops@x.org null@example.com=discarded"},
		{"catch-all", table{"*": {"ops@x.org"}}, []string{"bob@app1", "bob@app1.example.com", "ann", "ann@localhost"}, "ops@x.org"},
		{"catch-all by another name", table{"default": {"ops@x.org"}}, []string{"ann"}, "ops@x.org"},
		{"catch-all to a name", table{"*": {"ops"}}, []string{"ann"}, "ops@example.com"},
		{"catch-all behind an alias", table{"*": {"root"}, "root": {"joe"}}, []string{"ann"}, "joe@example.com"},
		{"catch-all for targets", table{"*": {"ops@x.org"}, "root": {"joe"}}, []string{"root"}, "ops@x.org"},
		{"catch-all after names", table{"*": {"ops@x.org"}, "root": {"root@x.org"}}, []string{"postmaster", "root"}, "root@x.org"},
		{"catch-all leaves others' mailboxes alone", table{"*": {"ops@x.org"}}, []string{"ann@example.com", "ann@x.org"}, "ann@example.com ann@x.org"},
		{"catch-all discards", table{"*": {"/dev/null"}, "root": {"root@app1", "ops@x.org"}}, []string{"ann", "root"}, "root@app1 ops@x.org ann@example.com=discarded"},
		{"a list that is missing", table{"a": {":include:/none", "ops@x.org"}}, []string{"a"}, "a@example.com=held"},
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
	a, _ := NewAliases(map[string][]string{"root": {"ops@x.org", "ann@x.org"}}, noLists)
	got, _ := a.Expand(newIdentity(t, ""), []envelope.Recipient{
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
list: :Include:/etc/list, dave@x.org
special: :blackhole:
hash: "a#b"@x.org
ROOT: again@x.org
no colon here
empty:
|bad: x@x.org
inTable: file@x.org
a"quote: y@x.org
away: ":include:/etc/none", ann@x.org
*@old.example: x@x.org
null: /dev/null
default: ops@x.org
*: again@x.org
`
	lists := func(path string) (io.ReadCloser, error) {
		if path != "/etc/list" {
			return nil, fs.ErrNotExist
		}
		return io.NopCloser(strings.NewReader("# people\n\nann@x.org, Bob <bob@x.org>\r\nroot # ours\n|prog\n:include:/etc/list\n")), nil
	}
	a, errs := NewAliases(map[string][]string{"intable": {"table@x.org"}}, lists)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	warnings, err := a.AddFile("/etc/aliases", strings.NewReader("  lost\n"+file), lists)
	if err != nil {
		t.Fatal(err)
	}
	wantWarnings := []string{
		`/etc/aliases:1: continues no entry`,
		`/etc/aliases:12: alias prog: "|/usr/bin/vacation -a b" is a command, which mailhatch never runs; it is left out`,
		`/etc/aliases:13: alias file: "/var/mail/file" is a file, which mailhatch never writes; it is left out`,
		`/etc/aliases:13: alias file has no usable target: mail for it is refused`,
		`/etc/aliases:14: alias list: /etc/list:5: "|prog" is a command, which mailhatch never runs; it is left out`,
		`/etc/aliases:14: alias list: /etc/list:6: ":include:/etc/list" is a list in a file, which only an alias can name; it is left out`,
		`/etc/aliases:15: alias special: ":blackhole:" is a special target, which mailhatch does not know; it is left out`,
		`/etc/aliases:15: alias special has no usable target: mail for it is refused`,
		`/etc/aliases:17: the alias "ROOT" is defined twice; the first definition counts`,
		`/etc/aliases:18: "no colon here" has no colon: write "name: target"`,
		`/etc/aliases:19: alias empty has no usable target: mail for it is refused`,
		`/etc/aliases:20: the alias "|bad" is not a name or address: it is a command, which mailhatch never runs`,
		`/etc/aliases:22: "a\"quote: y@x.org" has no colon: write "name: target"`,
		`/etc/aliases:23: alias away: the list cannot be read: file does not exist`,
		`/etc/aliases:23: alias away: mail for it is held until the list can be read`,
		`/etc/aliases:24: the alias "*@old.example" is a pattern, which only [[rewrite]] takes: write [[rewrite]] with to = ["*@old.example"] and redirect_to; "*" alone stands for local names without an alias`,
		`/etc/aliases:27: the alias "*" is defined twice; the first definition counts`,
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
		"list":          {"ann@x.org", "bob@x.org", "root", "dave@x.org"},
		"*":             {"ops@x.org"},
	}
	wantEnded := map[string]envelope.State{"file": envelope.Failed, "special": envelope.Failed, "empty": envelope.Failed,
		"away": envelope.Held, "null": envelope.Discarded}
	targets, ended := map[string][]string{}, map[string]envelope.State{}
	for name, e := range a.entries {
		if len(e.targets) > 0 {
			targets[name] = e.targets
		} else {
			ended[name] = e.ending.State
		}
	}
	if diff := cmp.Diff(want, targets) + cmp.Diff(wantEnded, ended); diff != "" {
		t.Error(diff)
	}
	got, _ := a.Expand(newIdentity(t, ""), []envelope.Recipient{{Address: "escaped"}})
	if len(got) != 1 || got[0].Address != "root@example.com" {
		t.Errorf("a backslash ends the chain: %+v", got)
	}
}

func TestAddFileErrors(t *testing.T) {
	a, _ := NewAliases(nil, noLists)
	if _, err := a.AddFile("f", iotest.ErrReader(iotest.ErrTimeout), noLists); err != iotest.ErrTimeout {
		t.Error(err)
	}
	if _, err := a.AddFile("f", strings.NewReader("a: "+strings.Repeat("x", maxAliasLine)), noLists); err == nil {
		t.Error("a line without end was read")
	}
}

func TestNewAliasesErrors(t *testing.T) {
	_, errs := NewAliases(map[string][]string{
		"a": {"|cmd", "/file", ":include:x", "", "b c", "a@b@c", "x@-y", `"open`, `"a b@c"`}, "|p": {"x"}, "e": nil, "Up": {"x"}, "up": {"y"},
		"*": {"x"}, "Default": {"y"}, "*@x.org": {"x"},
	}, noLists)
	if len(errs) != 9+1+1+1+2 {
		t.Errorf("%d: %q", len(errs), errs)
	}
}

func FuzzAddFile(f *testing.F) {
	f.Add("root: a, \"b\n  c\" # d\n\"x:y\": |z\n")
	f.Fuzz(func(t *testing.T, file string) {
		a, _ := NewAliases(nil, noLists)
		_, _ = a.AddFile("f", strings.NewReader(file), noLists)
		id := &Identity{Domain: "example.com", Hostname: "h"}
		for name, e := range a.entries {
			for _, target := range e.targets {
				if badTarget(strings.TrimPrefix(target, `\`)) != "" {
					t.Errorf("%q has %q", name, target)
				}
			}
			if reached, ended := a.Expand(id, []envelope.Recipient{{Address: name}}); len(reached)+len(ended) == 0 {
				t.Errorf("%q leads to nobody", name)
			}
		}
	})
}

func TestLoops(t *testing.T) {
	a, errs := NewAliases(map[string][]string{
		"One": {"two"}, "two": {"one@example.com"}, "into": {"one"}, "out": {"one", "ann@example.org"}, "own": {"own"}, "plain": {"ann@example.org"},
	}, noLists)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	id := &Identity{Domain: "example.com", Hostname: "box.example.com"}
	if got := a.Loops(id); !slices.Equal(got, []string{"into", "one", "two"}) {
		t.Errorf("loops %q", got)
	}
}

func TestAliasTargetWithName(t *testing.T) {
	a, _ := NewAliases(nil, noLists)
	warnings, err := a.AddFile("f", strings.NewReader("ops: \"Q, Bob\" <bob@example.org>, <carl@example.org>, Dave <|prog>\n"), noLists)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], `"|prog" is a command`) {
		t.Errorf("%q, %v", warnings, err)
	}
	if got := a.Resolve(&Identity{Domain: "example.com"}, "ops"); !slices.Equal(got, []string{"bob@example.org", "carl@example.org"}) {
		t.Errorf("%q", got)
	}
}
