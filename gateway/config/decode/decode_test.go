package decode

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/config/value"
	"mailhatch/upstream"
)

// settings is a table with a value of each form.
type settings struct {
	Name   string              `toml:"name,text"`
	Host   string              `toml:"host"`
	Port   uint16              `toml:"port"`
	Less   int8                `toml:"less"`
	Share  float64             `toml:"share"`
	On     bool                `toml:"on"`
	Wait   upstream.Duration   `toml:"wait"`
	Most   int64               `toml:"most,size"`
	Key    upstream.Secret     `toml:"key"`
	List   []string            `toml:"list"`
	Header map[string][]string `toml:"header,text"`
	Nets   []value.Network     `toml:"nets"`
	Any    any                 `toml:"any"`
	Inner  []inner             `toml:"inner"`
	Deep   *inner              `toml:"deep"`
	Self   words               `toml:"self"`
	Func   func()              `toml:"func"`
	hidden string
}

type inner struct {
	Number int `toml:"number"`
}

func (i *inner) SetDefaults() { i.Number = 7 }

// words takes a text or a list.
type words string

func (w *words) UnmarshalTOML(v any) error {
	if fmt.Sprintf("%T", v) == "bool" {
		return errors.New("must be words")
	}
	*w = words(fmt.Sprint(v))
	return nil
}

func load(text string) (*settings, *Decoder, error) {
	d, root, err := Parse("c.toml", text)
	if err != nil {
		return nil, nil, err
	}
	s := &settings{}
	d.Places = map[string][]string{}
	AddPlaces(d.Places, "[elsewhere]", &struct {
		Far string `toml:"far"`
	}{})
	d.Table("", root, s)
	return s, d, d.Err()
}

func TestDecode(t *testing.T) {
	t.Setenv("MAILHATCH_TEST_LIST", "a, b\nc")
	t.Setenv("MAILHATCH_TEST_PORT", "25")
	s, d, err := load(`name = "{x} $5"
host = "h"
port = "env:MAILHATCH_TEST_PORT"
less = -5
share = 2
on = true
wait = "3s"
most = "2KB"
key = "literal"
list = ["x", "env:MAILHATCH_TEST_LIST", "y"]
header = { X-A = "one, two" }
nets = "10.0.0.0/8"
any = { a = 1 }
deep = { number = 3 }
self = ["a", "b"]
[[inner]]
[[inner]]
number = 8
`)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.Name, s.Host, s.Port, s.Less, s.Share, s.On, s.Wait.Duration == 3*time.Second, s.Most, s.Key.Reveal(), s.List, s.Header, s.Nets, s.Any, s.Inner, s.Deep.Number, s.Self, s.hidden)
	want := "{x} $5h25 -5 2 true true 2000literal[x a b c y] map[X-A:[one, two]] [10.0.0.0/8] map[a:1] [{7} {8}] 3[a b]"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(d.LiteralSecrets) != 1 || len(d.SecretFiles) != 0 {
		t.Errorf("%q, %q", d.LiteralSecrets, d.SecretFiles)
	}
	if line := d.Lines.At("inner[1].number"); line != 18 {
		t.Errorf("line %d", line)
	}
	if line := d.Lines.At("list[4]"); line != 10 {
		t.Errorf("line %d", line)
	}
}

func TestProblems(t *testing.T) {
	t.Setenv("MAILHATCH_TEST_VALUE", "hunter2")
	_, _, err := load(`name = 1
host = "$HOST"
port = 70000
less = "env:MAILHATCH_TEST_VALUE"
share = "many"
on = "yes"
wait = 3
most = 5
key = "file:/no/such/secret"
list = 5
header = []
nets = ["env:MAILHATCH_TEST_VALUE", "env:MAILHATCH_TEST_UNSET", "::/0"]
self = true
func = 1
far = 1
hsot = "x"
[inner]
number = 1
[deep]
number = 1979-05-27
`)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	for i, want := range []string{
		"1: name: must be text in quotes, not a number", "2: host: would be used literally", "3: port: must be a whole number that is not negative, not this number",
		"4: less: must be a whole number, not text", "5: share: must be a number, not text", "6: on: must be true or false, not text", "7: wait: must be a time", "8: most: must be a size",
		"9: key: open", "10: list: must be a list, not a number", "11: header: must be a table, not a list", "12: nets: the environment variable MAILHATCH_TEST_UNSET is not set",
		`12: nets: must be a network or an address, such as "10.0.0.0/8" or "2001:db8::7", not "***" (*** is what env:MAILHATCH_TEST_VALUE holds)`, "13: self: must be words", "14: func: cannot be set", "15: far: is not a key", "16: hsot: is not a key", "17: inner: is a list of tables",
		"20: deep.number: must be a whole number, not a date or time",
	} {
		if i >= len(e.Problems) {
			t.Fatalf("only %d problems:\n%v", i, e)
		}
		p := e.Problems[i]
		if got := fmt.Sprintf("%d: %s: %s", p.Line, p.Key, p.Problem); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if strings.Contains(e.Error(), "hunter2") || !strings.Contains(e.Error(), `c.toml:15: far: is not a key of the top level of the config`+"\n  hint: it is a key of [elsewhere]") {
		t.Error(e)
	}
}

// TestReporter: what follows from an error is not reported again; what has no line is told first.
func TestReporter(t *testing.T) {
	d, _, err := Parse("", "[a]\nb = [\n1,\n2]\n")
	if err != nil {
		t.Fatal(err)
	}
	d.Report("a.b[1]", "is two", "")
	d.Report("a.b[1].c", "follows", "")
	d.Report("", "is empty", "write more")
	d.OneOf("a", "on", "off", "none")
	d.OneOf("a.d", "off", "off", "none")
	d.Warn("a.b", "is odd")
	if got, want := d.Err().Error(), "is empty\n  hint: write more\na: must be \"off\" or \"none\", not \"on\"\na.b: is two"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !d.IsBad("a.b[1].c") || !d.IsBad("a.x") || d.IsBad("c") || len(d.Warnings) != 1 || d.Warnings[0] != "a.b: is odd" {
		t.Errorf("%v, %q", d.Bad, d.Warnings)
	}
}

func TestPaths(t *testing.T) {
	path := Item(Join(Join("upstream", "my.relay"), "list"), 3)
	if path != `upstream."my.relay".list[2]` || Item("a", 0) != "a" {
		t.Error(path)
	}
	for _, want := range []string{`upstream."my.relay".list`, `upstream."my.relay"`, "upstream", ""} {
		if path = parent(path); path != want {
			t.Errorf("%s, want %s", path, want)
		}
	}
	if fields := Fields(&settings{}, &inner{}); !fields["number"].IsValid() || !fields["port"].IsValid() || fields["hidden"].IsValid() {
		t.Error(fields)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a = 1\na = 2\n": "c.toml:2: a: TOML: ", "\n[a\n": "c.toml:2: TOML: ", "a = b": "c.toml:1: TOML: the value is not in quotes\n  hint: write a = \"b\"", "a = 99999999999999999999": "c.toml:1: TOML: ",
	} {
		_, _, err := Parse("c.toml", text)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
