package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testOrder is an order and the mail that fulfils it.
func testOrder(t *testing.T, c testCase) (*order, kept) {
	t.Helper()
	m, err := c.order(t.TempDir(), "smtp")
	if err != nil {
		t.Fatal(err)
	}
	source := "Date: Mon, 23 Nov 2026 02:00:00 +0000\r\nMessage-ID: <1@shop.example>\r\n" + strings.ReplaceAll(string(m.message()), "\n", "\r\n")
	return m, kept{From: m.sender, To: slices.Clone(m.to), Source: source}
}

func TestCheckFindsEachFault(t *testing.T) {
	full := testCase{name: "program", sender: sender, carries: []string{"cc", "bcc", "attachment"}}
	m, good := testOrder(t, full)
	if err := m.check([]kept{good}); err != nil {
		t.Fatalf("a good mail: %v", err)
	}
	raw := good
	raw.Raw, raw.Source = []byte(good.Source), "?"
	if err := m.check([]kept{raw}); err != nil {
		t.Errorf("bytes instead of text: %v", err)
	}
	replace := func(old, with string) func(*kept) {
		return func(k *kept) {
			if !strings.Contains(k.Source, old) {
				t.Fatalf("%q is not in the mail", old)
			}
			k.Source = strings.Replace(k.Source, old, with, 1)
		}
	}
	for _, row := range []struct {
		want  string
		spoil func(*kept)
	}{
		{"envelope sender", func(k *kept) { k.From = "" }},
		{"recipients", func(k *kept) { k.To = k.To[1:] }},
		{"recipients", func(k *kept) { k.To = append(slices.Clone(k.To), "more@example.org") }},
		{"recipients", func(k *kept) { k.To = append(slices.Clone(k.To), toAddress) }},
		{"From", replace("From: "+sender, "From: x@example.org")},
		{"From", replace("From: "+sender, "From: a b c")},
		{"subject", replace("Subject: ", "Subject: Re: ")},
		{"text", replace(".eine Zeile", "eine Zeile")},
		{"attachment", replace("JVBERi0", "AAAARi0")},
		{"header shows", replace("Cc: ", "Bcc: "+bccAddress+"\r\nCc: ")},
		{"fields Date", replace("Date: ", "X-Date: ")},
		{"fields Message-Id", replace("Message-ID: ", "Message-ID: <2@x>\r\nMessage-ID: ")},
		{"cannot be read", func(k *kept) { k.Source = "" }},
		{"cannot be read", replace("multipart/mixed; boundary=boundary-of-the-test", "multipart/")},
	} {
		bad := good
		row.spoil(&bad)
		err := m.check([]kept{bad})
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.want, err)
		}
	}
}

func TestCheckKnowsCharsets(t *testing.T) {
	m, good := testOrder(t, testCase{name: "program", sender: sender})
	good.Source = strings.Replace(good.Source, "charset=utf-8", "charset=iso-8859-1", 1)
	good.Source = strings.NewReplacer("Gr\u00fc\u00dfe", "Gr\xfc\xdfe", "Ger\u00e4t", "Ger\xe4t").Replace(good.Source)
	if err := m.check([]kept{good}); err != nil {
		t.Error(err)
	}
	good.Source = strings.Replace(good.Source, "iso-8859-1", "koi8-r", 1)
	if err := m.check([]kept{good}); err == nil {
		t.Error("an unknown charset is no error")
	}
}

func TestCases(t *testing.T) {
	list, err := readCases("cases", nil)
	if err != nil || len(list) < 12 {
		t.Fatalf("%d cases, %v", len(list), err)
	}
	for _, c := range list {
		for _, way := range c.ways {
			if way != "smtp" && way != "tls" && way != "sendmail" {
				t.Errorf("%s: way %q", c.name, way)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "a.sh")
	text := "# needs: /nowhere/at/all\n# ways: sendmail\n# sender: $ACCOUNT@shop.example\n# text: contains\n# ascii: text\n# dots: no\n# to: x@example.org\nexit 1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readCase("a", path)
	if err != nil || c.missing() != "/nowhere/at/all" || c.sender != accountName()+"@shop.example" || !c.contains || !c.noDots || c.to[0] != "x@example.org" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := readCases("cases", []string{"no such case"}); err == nil {
		t.Error("a name without a case is no error")
	}
}
