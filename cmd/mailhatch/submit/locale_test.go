package submit

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ locale, in, want string }{
		{"", "Ann", "Ann"},
		{"", "Jörg", "Jörg"},
		{"", "J\xf6rg", "Jörg"},
		{"LANG=C", "J\xf6rg", "Jörg"},
		{"LANG=POSIX", "J\xc3\xb6rg", "Jörg"},
		{"LANG=de_DE.UTF-8", "J\xf6rg", "Jörg"},
		{"LANG=de_DE.UTF-8", "Jörg", "Jörg"},
		{"LANG=de_DE", "J\xf6rg", "Jörg"},
		{"LANG=de_DE.UTF-8", "Filiale Gr\xc3", "Filiale GrÃ"}, // cut in half: no character is lost
		{"LANG=de_DE.UTF-8", "J\xc3\xb6rg Gr\xc3", "Jörg GrÃ"}, {"LANG=C", "Jörg \xe2\x82", "Jörg â\u0082"}, {"LANG=C", "J\xc3\xb6rg \xfc", "JÃ¶rg ü"},
		{"LANG=de_DE.ISO-8859-1", "J\xf6rg", "Jörg"},
		{"LANG=de_DE.iso88591", "J\xf6rg", "Jörg"},
		{"LANG=de_DE@euro", "5 \xa4", "5 €"},
		{"LANG=de_DE.ISO-8859-15@euro", "5 \xa4", "5 €"},
		{"LC_ALL=ru_RU.KOI8-R LANG=de_DE.ISO-8859-1", "\xe9\xd7\xc1\xce", "Иван"},
		{"LC_CTYPE=ru_RU.koi8r LANG=de_DE.ISO-8859-1", "\xe9\xd7\xc1\xce", "Иван"},
		{"LANG=ru_RU.CP1251", "\xc8\xe2\xe0\xed", "Иван"},
		{"LANG=ja_JP.eucJP", "\xc6\xfc\xcb\xdc", "日本"},
		{"LANG=ja_JP.SJIS", "\x93\xfa\x96\x7b", "日本"},
		{"LANG=ja_JP.eucJP", "J\xf6rg", "Jörg"}, // it cannot be that
		{"LANG=xx_XX.no-such", "J\xf6rg", "Jörg"},
		{"LANG=de_DE.UTF-8", "\x81\xff", "\u0081ÿ"},
	} {
		env := map[string]string{}
		for _, pair := range strings.Fields(c.locale) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		if got := Text(c.in, func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%s: %q is %q, want %q", c.locale, c.in, got, c.want)
		}
	}
}

func TestAuthorInLocale(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"LANG": "de_DE.ISO-8859-1", "EMAIL": "J\xf6rg <j@example.com>", "NAME": "Andr\xe9"}[name]
	}
	if a := NewAuthor("", "", env); a != (Author{"André", "j@example.com"}) {
		t.Errorf("%+v", a)
	}
	if a := NewAuthor("", "J\xf6rg", env); a.Name != "Jörg" {
		t.Errorf("%+v", a)
	}
}
