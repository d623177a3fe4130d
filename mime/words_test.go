package mime

import (
	"maps"
	"testing"

	"mailhatch/mime/charset"
)

func TestDecodeText(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "a  b", "a  b"},
		{"q", "=?utf-8?q?a_b=C3=A9?=", "a bé"},
		{"b without padding", "=?utf-8?B?w6k?=", "é"},
		{"adjacent words", "=?utf-8?q?a?= \t =?utf-8?q?b?=", "ab"},
		{"words of two charsets", "=?utf-8?q?a?= =?iso-8859-1?q?=E9?= x", "aé x"},
		{"no space between", "a=?utf-8?q?b?==?utf-8?q?c?=d", "abcd"},
		{"split character", "=?utf-8?b?w?= =?utf-8?q?=C3?= =?utf-8?q?=A9?=", "=?utf-8?b?w?= é"},
		{"split base64 character", "=?gb2312?B?1tA=?= =?gb2312?B?zsQ=?=", "中文"},
		{"language", "=?us-ascii*en?q?hi?=", "hi"},
		{"unknown encoding", "=?utf-8?x?hi?=", "=?utf-8?x?hi?="},
		{"empty charset", "=??q?hi?=", "=??q?hi?="},
		{"only a language", "=?*en?q?hi?=", "=?*en?q?hi?="},
		{"unended", "=?utf-8?q?hi", "=?utf-8?q?hi"},
		{"empty text", "a =?utf-8?q??= b", "a  b"},
		{"bad digits", "=?utf-8?q?=ZZ=4?=", "=ZZ=4"},
		{"text after a broken word", "=?utf-8?b?!!?= =?utf-8?q?x?=", "=?utf-8?b?!!?= x"},
		{"unknown charset", "=?x-klingon?q?a=E9?=", "aé"},
		{"raw latin-1 beside a word", "\xe9 =?utf-8?q?x?= \xe9", "é x é"},
		{"controls", "a\r\nb\x00=?utf-8?q?=0D=0Ac=00?=", "a b c"},
		{"koi8", "=?koi8-r?b?8NLJ18XU?=", "Привет"},
		{"utf-7", "=?utf-7?q?Gr+APwA3w-e?=", "Grüße"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DecodeText(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseValue(t *testing.T) {
	tests := []struct {
		name, in, token string
		params          map[string]string
	}{
		{"usual", `Text/Plain; Charset="utf-8"; format=flowed`, "text/plain", map[string]string{"charset": "utf-8", "format": "flowed"}},
		{"empty", "", "", nil},
		{"semicolons", "text/html;;; charset=x;", "text/html", map[string]string{"charset": "x"}},
		{"no equals sign", "text/html; foo; charset=x", "text/html", map[string]string{"charset": "x"}},
		{"first wins", "a/b; x=1; x=2", "a/b", map[string]string{"x": "1"}},
		{"escapes", `a/b; x="a\"b\\c\d"`, "a/b", map[string]string{"x": `a"b\c\d`}},
		{"spaces around", "a/b ; x = 1 ; y= \"2\"", "a/b", map[string]string{"x": "1", "y": "2"}},
		{"missing semicolon", "text/plain; charset=utf-8 format=flowed", "text/plain", map[string]string{"charset": "utf-8", "format": "flowed"}},
		{"after a quoted value", `a/b; x="1" y=2`, "a/b", map[string]string{"x": "1", "y": "2"}},
		{"semicolon in quotes", `a/b; x="1;2"`, "a/b", map[string]string{"x": "1;2"}},
		{"comment", "a/b; x=1 (one; two)", "a/b", map[string]string{"x": "1"}},
		{"unclosed comment", "a/b; x=1; (open y=2", "a/b", map[string]string{"x": "1", "y": "2"}},
		{"continued out of order", `a/b; x*1="b"; x*0="a"; x*2="c"`, "a/b", map[string]string{"x": "abc"}},
		{"continued twice the same", `a/b; x*0="a"; x*0="b"`, "a/b", map[string]string{"x": "a"}},
		{"continued encoded words", `a/b; x*0="=?utf-8?q?=C3"; x*1="=A9?="`, "a/b", map[string]string{"x": "é"}},
		{"charset in every language", "a/b; x*=koi8-r'ru'%F0%D2", "a/b", map[string]string{"x": "Пр"}},
		{"no charset", "a/b; x*=%C3%A9%ZZ", "a/b", map[string]string{"x": "é%ZZ"}},
		{"star that means nothing", "a/b; x*y=1", "a/b", map[string]string{"x*y": "1"}},
		{"control characters", "a/b; x*=utf-8''a%0D%0Ab", "a/b", map[string]string{"x": "a b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token, params := parseValue(tt.in)
			if token != tt.token || !maps.Equal(params, tt.params) {
				t.Errorf("%q %q", token, params)
			}
		})
	}
}

func TestDecodeCharset(t *testing.T) {
	tests := []struct {
		label, in, want string
		exact           bool
	}{
		{"iso-8859-8-i", "\xe0", "א", true},
		{"iso8859-2", "\xb1", "ą", true},
		{"tis-620", "\xa1", "ก", true},
		{"macintosh", "\x8a", "ä", true},
		{"cp850", "\x81", "ü", true},
		{"cp-1250", "\xb9", "ą", true},
		{"iso-8859-9", "\xfd", "ı", true},
		{"koi8-ru", "\xa4", "є", true},
		{"windows-31j", "\x93\xfa", "日", true},
		{"utf-16", "a\x00b\x00", "ab", true},
		{"utf-16le", "\xff\xfea\x00", "a", true},
		{"utf-16be", "\x00a", "a", true},
		{"utf-32", "\x00\x00\x00a", "a", true},
		{"utf-32le", "a\x00\x00\x00", "a", true},
		{"utf-32be", "\x00\x00\x00a", "a", true},
		{"utf-7", "a+-b +AOk +", "a+b é +", true},
		{"utf-7", "caf\xc3\xa9", "café", true},
		{"utf-7", "+A", "+A", true},
		{"utf-7", "+2AA-", "+2AA-", true},
		{" \"UTF-8\" ", "é", "é", true},
		{"utf-8;", "é", "é", true},
		{"euc-jp", "caf\xc3\xa9 \xff", "caf辿 \uFFFD", false},
		{"utf-8", "\x81", "\uFFFD", false},
		{"x-klingon", "ascii", "ascii", true},
		{"", "a \x1b$BF|K\\\x1b(B", "a 日本", true},
		{"us-ascii", "\x1b$@F|\x1b(J x", "日 x", true},
		{"utf-8", "\x1b[31mred\x1b$B", "\x1b[31mred\x1b$B", true},
		{"iso-2022-kr", "\x1b$)C\x0eGQ19\x0f a\r\nb", "한국 a\r\nb", true},
		{"iso-2022-kr", "\x1b$)C\x0e!\x0f", "\x1b$)C\x0e!\x0f", false}, // half a character
		{"iso-2022-kr", "caf\xe9", "café", true},
		{"iso-2022-cn", "\x1b$)A\x0eVP\x0f", "\x1b$)A\x0eVP\x0f", false},
		{"iso-2022-cn-ext", "ascii", "ascii", true},
		{"", "\x1b$)Ca \x0eGQ\x0f\r\nb", "a 한\r\nb", true},
		{"x-klingon", "\x1b$)Z\x0eGQ", "\x1b$)Z\x0eGQ", false},
		{"x-klingon", "caf\xe9", "café", false},
	}
	for _, tt := range tests {
		t.Run(tt.label+" "+tt.want, func(t *testing.T) {
			if got, exact := charset.Decode([]byte(tt.in), tt.label); got != tt.want || exact != tt.exact {
				t.Errorf("got %q %v, want %q %v", got, exact, tt.want, tt.exact)
			}
		})
	}
}
