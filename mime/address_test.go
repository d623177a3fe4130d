package mime

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAddressList(t *testing.T) {
	tests := []struct {
		name, in string
		want     []Address
		bad      bool
	}{
		{"bare", "a@x", []Address{{"", "a@x"}}, false},
		{"local user", "root", []Address{{"", "root"}}, false},
		{"comment", "root (Cron Daemon)", []Address{{"Cron Daemon", "root"}}, false},
		{"nested comment", `a@x (A (b\) c))`, []Address{{"A (b) c)", "a@x"}}, false},
		{"comment within", "a(left)@(right)x . org", []Address{{"left right", "a@x.org"}}, false},
		{"name and comment", "Ann (Sales) <a@x>", []Address{{"Ann", "a@x"}}, false},
		{"comment as name", "(Ann) <a@x>", []Address{{"Ann", "a@x"}}, false},
		{"list", "a@x, B <b@x>,, c@x ;", []Address{{"", "a@x"}, {"B", "b@x"}, {"", "c@x"}}, false},
		{"quoted name", `"Doe, \"J\"" <j@x>`, []Address{{`Doe, "J"`, "j@x"}}, false},
		{"quoted local part", `"a b"@x, <"c@d"@x>, "plain"@x, ""@x`, []Address{{"", `"a b"@x`}, {"", `"c@d"@x`}, {"", "plain@x"}, {"", `""@x`}}, false},
		{"dots anywhere", "a.@x, .b@x, <c..d@x>, d..", []Address{{"", `"a."@x`}, {"", `".b"@x`}, {"", `"c..d"@x`}, {"", `"d.."`}}, false},
		{"quoted as a whole", `"a@x", B <"b@x">, "\"c@x\"", "d e"`, []Address{{"", "a@x"}, {"B", "b@x"}, {"", "c@x"}, {"", `"d e"`}}, false},
		{"quoted as a whole, but no address", `"a b@x", "@x", "a@", "a@b@c", d@x`, []Address{{"", "d@x"}}, true},
		{"brackets around", `<<a@x>>, <"B <b>" <b@x>>, C <<c@x>>, <<<d@x>>>, <e@x>`, []Address{{"", "a@x"}, {"B <b>", "b@x"}, {"C", "c@x"}, {"", "d@x"}, {"", "e@x"}}, false},
		{"brackets around nothing", "<<>>, <A <>>", nil, false},
		{"brackets that do not match", "<<a@x>, <b@x", []Address{{"", "a@x"}, {"", "b@x"}}, false},
		{"obsolete spaces", "a . b @ x . y", []Address{{"", "a.b@x.y"}}, false},
		{"route", "<@one,@two:a@x>", []Address{{"", "a@x"}}, false},
		{"missing end", "A <a@x, b@x", []Address{{"A", "a@x"}, {"", "b@x"}}, false},
		{"missing start", "A a@x>", nil, true},
		{"no brackets", "Ann Lee a@x", []Address{{"Ann Lee", "a@x"}}, false},
		{"words", "not an address, a@x", []Address{{"", "a@x"}}, true},
		{"spaces within", "<ann lee@x>, b@x", []Address{{"", "b@x"}}, true},
		{"two at signs", "a@b@x, <c@d@x>, e@x", []Address{{"", "e@x"}}, true},
		{"empty brackets", "MAILER-DAEMON <>", nil, false},
		{"group", "undisclosed-recipients:;", nil, false},
		{"groups", `"A: B": a@x, C <c@x>;, d@x`, []Address{{"", "a@x"}, {"C", "c@x"}, {"", "d@x"}}, false},
		{"encoded word", "=?iso-8859-1?q?J=F6rg?= <j@x>", []Address{{"Jörg", "j@x"}}, false},
		{"encoded comma", "=?utf-8?q?a=2Cb?= <a@x>, =?utf-8?q?a,b?= <b@x>", []Address{{"a,b", "a@x"}, {"a,b", "b@x"}}, false},
		{"quoted encoded word", `"=?utf-8?q?J=C3=B6rg?=" <j@x>`, []Address{{"Jörg", "j@x"}}, false},
		{"split encoded words", "=?utf-8?q?J=C3?=\r\n =?utf-8?q?=B6rg?= <j@x>", []Address{{"Jörg", "j@x"}}, false},
		{"raw UTF-8", "Jörg <jörg@bücher.example>", []Address{{"Jörg", "jörg@bücher.example"}}, false},
		{"raw latin-1", "J\xf6rg <j@x>", []Address{{"Jörg", "j@x"}}, false},
		{"literal", "a@[IPv6:::1], b@[127.0.0.1]", []Address{{"", "a@[IPv6:::1]"}, {"", "b@[127.0.0.1]"}}, false},
		{"unclosed quote", `"Ann <a@x>, b@x`, []Address{{`"Ann`, "a@x"}, {"", "b@x"}}, false},
		{"unclosed comment", "Ann (Sales <a@x>", []Address{{"Ann (Sales", "a@x"}}, false},
		{"unclosed comment in brackets", "<a(b@x>", nil, true},
		{"domain's last dot", "a@x.", []Address{{"", "a@x"}}, false},
		{"no domain", "a@", nil, true},
		{"no local part", "<@>", nil, true},
		{"control character", "<a\x01@x>, <\"\x01\"@x>", nil, true},
		{"apostrophes", "'Ann' <a@x>, O'Neil <o@x>", []Address{{"'Ann'", "a@x"}, {"O'Neil", "o@x"}}, false},
		{"too many words", strings.Repeat("a ", 2000) + "<a@x>, b@x", []Address{{"", "b@x"}}, true},
		{"too many words at the end", strings.Repeat("a ", 2000), nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAddressList(tt.in)
			if d := cmp.Diff(tt.want, got); d != "" || (err != nil) != tt.bad {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
	if list, err := ParseAddressList(strings.Repeat("a@x,", maxAddresses+1)); len(list) != maxAddresses || err == nil {
		t.Errorf("%d addresses, %v", len(list), err)
	}
	if _, err := ParseAddressList(strings.Repeat("no address, ", 1000)); len(err.Error()) > 2000 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}

func TestAddressString(t *testing.T) {
	tests := []struct {
		a    Address
		want string
	}{
		{Address{"", "a@x"}, "a@x"},
		{Address{"Ann Lee", "a@x"}, "Ann Lee <a@x>"},
		{Address{"Doe, Ann", "a@x"}, `"Doe, Ann" <a@x>`},
		{Address{`a"b\c`, "a@x"}, `"a\"b\\c" <a@x>`},
		{Address{"a  b", "a@x"}, `"a  b" <a@x>`},
		{Address{"Jörg", "a@x"}, "=?utf-8?q?J=C3=B6rg?= <a@x>"},
		{Address{"日本語", "a@x"}, "=?utf-8?b?5pel5pys6Kqe?= <a@x>"},
		{Address{"=?x?", "a@x"}, "=?utf-8?b?PT94Pw==?= <a@x>"},
		{Address{"a\r\nBcc: b@x", "a\r\n@x"}, `"aBcc: b@x" <a@x>`},
		{Address{"", "a,b@x"}, "<a,b@x>"},
		{Address{"", `"a,b"@x`}, `"a,b"@x`},
	}
	for _, tt := range tests {
		if got := tt.a.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestFromWithComma(t *testing.T) {
	tests := []struct {
		in   string
		want []Address
	}{
		{"Doe, Ann <a@x>", []Address{{"Doe, Ann", "a@x"}}},
		{"a@x, Ann <b@x>", []Address{{"", "a@x"}, {"Ann", "b@x"}}},
		{"root, daemon", []Address{{"", "root"}, {"", "daemon"}}},
		{"root, a@x", []Address{{"", "root"}, {"", "a@x"}}},
	}
	for _, tt := range tests {
		m, err := Parse(NewBytesSource([]byte("From: " + tt.in + "\r\n\r\n")))
		if err != nil || !cmp.Equal(m.From, tt.want) {
			t.Errorf("%s: %+v, %v", tt.in, m.From, err)
		}
	}
}

// TestPlainSpecIsClean: what is taken as it stands is what the long way gives, for all short texts.
func TestPlainSpecIsClean(t *testing.T) {
	plain := 0
	var try func(s string, more int)
	try = func(s string, more int) {
		if isPlainSpec(s) {
			plain++
			if got := rebuildSpec(s); got != s {
				t.Errorf("%q becomes %q", s, got)
			}
		}
		for _, c := range []byte("aZ0.@-+\"( \\,[]\xe9\x00") {
			if more > 0 {
				try(s+string(c), more-1)
			}
		}
	}
	try("", 5)
	if plain == 0 || !isPlainSpec("root") || !isPlainSpec("ann.b+c@example.com") || isPlainSpec("a@b@c") || isPlainSpec("a@b.") {
		t.Errorf("%d texts are plain", plain)
	}
}
