package submit

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"mailhatch/mime"
	"mailhatch/mime/charset"
)

// Text returns text of the command line, the environment or the account as UTF-8. Its bytes are read in the
// charset of the locale; where they cannot be, or none is named, they are UTF-8, the last character perhaps cut in
// half, or else Latin-1: every byte is some character.
func Text(s string, getenv func(string) string) string {
	if mime.IsASCII(s) {
		return s
	}
	if label := localeCharset(getenv); label != "" {
		if text, exact := charset.Decode([]byte(s), label); exact {
			return text
		}
	}
	if utf8.ValidString(s) {
		return s
	}
	for cut := 1; cut < utf8.UTFMax && cut < len(s); cut++ {
		if whole := s[:len(s)-cut]; !mime.IsASCII(whole) && utf8.ValidString(whole) && !utf8.FullRuneInString(s[len(s)-cut:]) {
			return whole + latin1(s[len(s)-cut:])
		}
	}
	return latin1(s)
}

func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// localeCharset returns the charset of the locale (locale(7)): that of "de_DE.ISO-8859-1" or "de_DE@euro"; "" where
// none is named.
func localeCharset(getenv func(string) string) string {
	locale, modifier, _ := strings.Cut(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")), "@")
	_, codeset, _ := strings.Cut(locale, ".")
	if codeset == "" && modifier == "euro" {
		return "iso-8859-15"
	}
	codeset = strings.ToLower(codeset)
	// The C library takes names without their punctuation too.
	plain := strings.NewReplacer("-", "", "_", "").Replace(codeset)
	if part, ok := strings.CutPrefix(plain, "iso8859"); ok {
		return "iso-8859-" + part
	}
	for _, name := range []string{"euc-jp", "euc-kr", "koi8-r", "koi8-u", "tis-620"} {
		if plain == strings.ReplaceAll(name, "-", "") {
			return name
		}
	}
	return codeset
}
