package charset

import "testing"

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		label, bytes, want string
		exact              bool
	}{
		{"iso-8859-1", "\x80\xe9", "€é", true}, // read as the superset, whatever its name
		{"CP819", "\x80\xe9", "€é", true},
		{"'latin-1'", "\xe9", "é", true},
		{"iso_8859-9", "\xfe", "ş", true},
		{"gb2312", "\xd6\xd0\x81\x30\x81\x30", "中\u0080", true},
		{"hz-gb-2312", "~{VPND~}", "中文", true},
		{"cp949", "\xb0\xa1", "가", true},
		{"iso-2022-jp-2", "\x1b$BF|K\\\x1b(B", "日本", true},
		{"iso-2022-kr", "\x1b$)C\x0e0!\x0f", "가", true},
		{"utf-7", "+AOk-", "é", true},
		{"utf-16", "a\x00b\x00", "ab", true},
		{"utf-8", "\xef\xbb\xbfa", "a", true},
		{"utf-8", "\xe9", "é", true},
		{"utf-8", "éé\xe9", "éé\uFFFD", false},
		{"no-such-charset", "a\xe9", "aé", false},
	} {
		if text, exact := Decode([]byte(tt.bytes), tt.label); text != tt.want || exact != tt.exact {
			t.Errorf("%s %q: %q, %v", tt.label, tt.bytes, text, exact)
		}
	}
}
