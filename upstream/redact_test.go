package upstream_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"mailhatch/upstream"
)

// looks returns the ways in which a far side can show a secret.
func looks(s string) map[string]string {
	quoted, _ := json.Marshal(s)
	all := map[string]string{
		"plain": s, "upper case": shifted(s, 'a', -32), "lower case": shifted(s, 'A', 32), "hex": hex.EncodeToString([]byte(s)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(s))),
		"URL query": url.QueryEscape(s), "URL path": url.PathEscape(s), "JSON": strings.Trim(string(quoted), `"`), "HTML": html.EscapeString(s), "Go": strings.Trim(fmt.Sprintf("%+q", s), `"`),
	}
	var percent, unicode, entities strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&percent, "%%%02X", s[i])
	}
	for _, r := range s {
		fmt.Fprintf(&unicode, `\u%04x`, r)
		fmt.Fprintf(&entities, "&#%d;", r)
	}
	all["all percent"], all["all unicode"], all["all entities"] = percent.String(), unicode.String(), entities.String()
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64 raw": base64.RawStdEncoding,
		"base64url": base64.URLEncoding, "base64url raw": base64.RawURLEncoding} {
		for before := range 3 {
			blob := encoding.EncodeToString([]byte("api"[:before] + s + ":x"[:before]))
			all[fmt.Sprintf("%s behind %d", name, before)] = blob
			all[fmt.Sprintf("%s behind %d in a URL", name, before)] = url.QueryEscape(blob)
		}
	}
	all["AUTH PLAIN"] = base64.StdEncoding.EncodeToString([]byte("\x00user\x00" + s))
	all["XOAUTH2"] = base64.StdEncoding.EncodeToString([]byte("user=user\x01auth=Bearer " + s + "\x01\x01"))
	all["URL in JSON twice"] = strings.Trim(fmt.Sprintf("%q", percent.String()), `"`)
	all["JSON in HTML"] = html.EscapeString(unicode.String())
	if len(s) >= 16 {
		all["wrapped"] = s[:7] + "\r\n " + s[7:]
		all["base64 wrapped"] = all["base64 behind 1"][:9] + "\r\n" + all["base64 behind 1"][9:]
	}
	return all
}

// shifted moves the 26 letters from first on, as upper and lower case of ASCII differ.
func shifted(s string, first, by rune) string {
	return strings.Map(func(r rune) rune {
		if r >= first && r < first+26 {
			return r + by
		}
		return r
	}, s)
}

var longSecrets = []string{"hunter", "s3cr3t!", "re_AbCd1234_EFghIJklMNop", "SG.abc-DEF_012.ghi/JKL+mno=", `p"a\ss<w&o>r'd %41`, "pass wörd with blanks"}

// TestRedact shows secrets in each way at each place, and cuts the words short at each byte of them: no more than
// five bytes of the secret are left.
func TestRedact(t *testing.T) {
	for _, secret := range longSecrets {
		r := upstream.NewRedactor("", secret)
		for how, look := range looks(secret) {
			for _, around := range [][2]string{{"", ""}, {"the key ", " is wrong"}, {`{"message":"`, `","name":"x"}`}, {"AUTH PLAIN ", "\r\n"}, {"<p>", "</p>"}, {"a\xff İ ", "\xff"}} {
				if got, want := r.Redact(around[0]+look+around[1]), around[0]+"***"+around[1]; got != want {
					t.Errorf("%q, %s: %q became %q", secret, how, around[0]+look+around[1], got)
				}
			}
			for n := range len(look) {
				cut := look[:n]
				if rest := r.Redact("the key " + cut); strings.HasSuffix(rest, cut) && shown(cut, secret) > 5 {
					t.Errorf("%q, %s: %q is left of it", secret, how, rest)
				}
			}
		}
	}
}

// shown is how many bytes of a secret someone finds at the end of a text, undoing one kind of escape.
func shown(text, secret string) int {
	candidates := []string{text, html.UnescapeString(text)}
	if s, err := url.QueryUnescape(text); err == nil {
		candidates = append(candidates, s)
	}
	var s string
	if json.Unmarshal([]byte(`"`+text+`"`), &s) == nil {
		candidates = append(candidates, s)
	}
	for _, c := range candidates[:len(candidates):len(candidates)] {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if b, err := encoding.DecodeString(c[:len(c)/4*4]); err == nil {
				candidates = append(candidates, string(b))
			}
		}
		if b, err := hex.DecodeString(c[:len(c)/2*2]); err == nil {
			candidates = append(candidates, string(b))
		}
	}
	most := 0
	for _, c := range candidates {
		for n := len(secret); n > most; n-- {
			if strings.HasSuffix(strings.ToLower(c), strings.ToLower(secret[:n])) {
				most = n
			}
		}
	}
	return most
}

// TestRedactShort: what could be part of an ordinary word is taken out only where it can be nothing else.
func TestRedactShort(t *testing.T) {
	for _, row := range []struct{ secret, words, want string }{
		{"mail", "no such mailbox; mail refused", "no such mailbox; mail refused"},
		{"2525", "port 2525 of 25250", "port 2525 of 25250"},
		{"p4ss", "wrong password p4ss, not p4ssword", "wrong password ***, not p4ssword"},
		{"p4ss", "AUTH LOGIN cDRzcw== failed", "AUTH LOGIN *** failed"},
		{"mail", "AUTH LOGIN bWFpbA== failed", "AUTH LOGIN *** failed"},
		{"p4ss", "p4ss", "***"},
		{"p", "a p in words", "a p in words"},
		{"", "words", "words"},
	} {
		if got := upstream.NewRedactor(row.secret).Redact(row.words); got != row.want {
			t.Errorf("%q: %q became %q, want %q", row.secret, row.words, got, row.want)
		}
	}
	var none *upstream.Redactor
	if none.Redact("words") != "words" {
		t.Error("a redactor of nothing changed words")
	}
	err := errors.New("words")
	if r := upstream.NewRedactor("secret-key"); r.Error(err) != err || r.Error(errors.New("secret-key")).Error() != "***" {
		t.Error("an error without secrets must stay what it is")
	}
}

func FuzzRedact(f *testing.F) {
	for _, secret := range longSecrets {
		for _, look := range looks(secret) {
			f.Add("the key " + look + "%4")
		}
	}
	redactors := map[string]*upstream.Redactor{}
	for _, secret := range longSecrets {
		redactors[secret] = upstream.NewRedactor(secret)
	}
	f.Fuzz(func(t *testing.T, words string) {
		for secret, r := range redactors {
			if got := r.Redact(words + secret + words); strings.Contains(got, secret) && !strings.Contains(secret, "*") {
				t.Errorf("%q holds %q", got, secret)
			}
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	r := upstream.NewRedactor("re_AbCd1234_EFghIJklMNop")
	for name, words := range map[string]string{"success": `{"id":"49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}`, "page": strings.Repeat("<p>Bad &amp; Gateway</p>\n", 3000)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Redact(words)
			}
		})
	}
}

func TestRedactURL(t *testing.T) {
	for address, want := range map[string]string{"https://user:pass@example.com/x?y=1": "https://user:xxxxx@example.com/x?y=1", "https://example.com/x": "https://example.com/x", "": "", "https://user:pa ss@x": "***"} {
		if got := upstream.RedactURL(address); got != want {
			t.Errorf("%q: %q", address, got)
		}
	}
}
