package mime

import (
	"strings"
	"testing"
)

func TestTextWithoutLabelIsReadAsItSays(t *testing.T) {
	const cyrillic = "\xcf\xf0\xe8\xe2\xe5\xf2" // Привет in windows-1251
	tests := []struct{ name, header, body, text, html string }{
		{"japanese without a label", "Subject: s", "\x1b$BF|K\\\x1b(B", "日本", ""},
		{"http-equiv", "Content-Type: text/html",
			"<head><meta name=a><META http-equiv=content-type content=\"text/html; charset=Windows-1251\"></head>" + cyrillic,
			"", "Привет"},
		{"meta charset against ascii", "Content-Type: text/html; charset=us-ascii", "<meta charset='windows-1251'>" + cyrillic, "", "Привет"},
		{"a label wins", "Content-Type: text/html; charset=koi8-r", "<meta charset='windows-1251'>\xf0", "", ">П"},
		{"utf-8 against its meta", "Content-Type: text/html", "<meta charset='windows-1251'>П", "", ">П"},
		{"meta that says nothing", "Content-Type: text/html", "<meta charset=>\xe9", "", ">é"},
		{"no meta", "Content-Type: text/html", "<p>charset=windows-1251>\xe9", "", ">é"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Parse(NewBytesSource([]byte(tt.header + "\r\n\r\n" + tt.body)))
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := m.Root.Text(TextInMemory)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(readAll(t, got.Open())); !strings.HasSuffix(text, tt.text+tt.html) {
				t.Errorf("%q", text)
			}
		})
	}
}

func TestISO2022IsReadWhereItStandsRaw(t *testing.T) {
	if got := DecodeText("Re: \x1b$BF|K\\\x1b(B"); got != "Re: 日本" {
		t.Errorf("%q", got)
	}
}
