package mime

import (
	"strings"
	"testing"
)

// TestCutCharacterAnywhere: a character cut in half costs that character only, wherever the text stands and
// whatever charset the body is in.
func TestCutCharacterAnywhere(t *testing.T) {
	const text, want = "Störung: Filiale Gr\xc3", "Störung: Filiale Gr\uFFFD"
	for _, label := range []string{"utf-8", "us-ascii", "iso-8859-1", ""} {
		source := "From: \"" + text + "\" <a@example.com>\nSubject: " + text + "\nX-Site: " + text + "\nContent-Type: multipart/mixed; boundary=b\n\n" +
			"--b\nContent-Type: text/plain; charset=" + label + "\n\nText.\n" +
			"--b\nContent-Type: text/plain\n\n" + text +
			"\n--b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=\"" + text + ".csv\"\n\n1\n" +
			"--b\nContent-Type: text/csv\nContent-Disposition: attachment;\n filename*=utf-8''St%C3%B6rung%3A%20Filiale%20Gr%C3.csv\n\n1\n--b--\n"
		m, err := Parse(NewBytesSource([]byte(source)))
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := m.Root.Children[1].Text(TextInMemory)
		if err != nil {
			t.Fatal(err)
		}
		shown, _ := body.Held()
		for where, got := range map[string]string{
			"subject": m.Subject, "name": m.From[0].Name, "field": m.Header.Text("X-Site"), "body": shown,
			"file name":           strings.TrimSuffix(m.Root.Children[2].Name, ".csv"),
			"extended file name":  strings.TrimSuffix(m.Root.Children[3].Name, ".csv"),
			"words":               DecodeText("=?utf-8?q?St=C3=B6rung:_Filiale_Gr=C3?="),
			"words in base64":     DecodeText("=?utf-8?b?U3TDtnJ1bmc6IEZpbGlhbGUgR3LD?="),
			"words without label": DecodeText("=?x-unknown?q?St=C3=B6rung:_Filiale_Gr=C3?="),
		} {
			if got != want {
				t.Errorf("body in %q: %s %q", label, where, got)
			}
		}
	}
}
