package kinds_test

import (
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
)

var update = flag.Bool("update", false, "write doc/providers.md anew")

// TestKindsConform holds every kind to what delivery relies on: settings.toml in its testdata opens it
// without any network, all keys are its own, and what it offers beside Send answers.
func TestKindsConform(t *testing.T) {
	everything, err := os.ReadFile("../testdata/mail/03-everything.mail")
	if err != nil {
		t.Fatal(err)
	}
	m := upstreamtest.ParseMail(t, everything)
	for _, k := range kinds.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			raw, err := settingsOf(k.Name)
			if err != nil {
				t.Fatalf("a kind needs settings.toml, and golden files where it renders (CONTRIBUTING.md): %v", err)
			}
			if k.Doc == "" || k.New() == k.New() {
				t.Errorf("no words about it, or settings that are shared: %+v", k)
			}
			up, err := upstreamtest.Open(k, strings.ReplaceAll(string(raw), "TEMPDIR", filepath.ToSlash(t.TempDir())))
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := up.(io.Closer); ok {
				defer c.Close() //nolint:errcheck // nothing was sent
			}
			if p, ok := up.(upstream.Preflighter); ok {
				if err := p.Preflight(m); err != nil {
					t.Errorf("preflight: %v", err)
				}
			}
			r, ok := up.(upstream.Renderer)
			if !ok {
				return
			}
			var one, two strings.Builder
			if err := errors.Join(r.Render(m, &one), r.Render(m, &two)); err != nil {
				t.Fatal(err)
			}
			if one.String() != two.String() || !strings.Contains(one.String(), "dora@example.org") || strings.Contains(one.String(), "secret") {
				t.Errorf("render changes, lacks a recipient or shows a secret:\n%s", one.String())
			}
		})
	}
}

// settingsOf reads the settings of a kind's testdata; those of local are side by side.
func settingsOf(kind string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join("..", kind, "testdata", "settings.toml"))
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = os.ReadFile(filepath.Join("..", "local", "testdata", kind, "settings.toml"))
	}
	return raw, err
}

func TestNatureChangesOfAPIs(t *testing.T) {
	for _, k := range kinds.Kinds() {
		if slices.Contains(k.Changes, "") || k.Changes != nil && len(k.Changes) < 3 {
			t.Errorf("%s: %q", k.Name, k.Changes)
		}
	}
}

// readersView are the rules by which package mime/view puts bodies together.
const readersView = `
## What a reader sees, where an API takes text and files apart

What a reader of the original sees in the body is seen in the body, in the same order:

- a message with one text, one HTML or both as alternatives: they are sent as they are
- several body parts (text and HTML side by side, a mailing list's footer, texts between files) become one text and one
  HTML. In the HTML a part is its own HTML where it has one, otherwise its text, line ends kept, in a ` + "`<pre>`" + `; in the
  text, HTML is made readable. Tags that a part leaves open are closed, the colors of its ` + "`<body>`" + ` stay with it, styles move
  into one head, and titles, bases and charsets are dropped
- that is done up to 2 MiB of texts in a body, counted as they are in the message, and so are the comparison, the pictures
  between texts and the locations below; beyond that the first text is the body, and what would have joined it are files
- an HTML part right after a text part with the same words counts as its alternative
- a PNG, JPEG, GIF, WebP, BMP or AVIF before or between texts is shown there by a cid; after the last text it is a file,
  unless it says ` + "`inline`" + ` and the HTML is put together anyway
- pictures that the HTML shows by ` + "`cid:`" + ` (in any spelling) or by their Content-Location are shown, whatever their
  disposition says; a location becomes a cid
- a part is a file when it says ` + "`attachment`" + `, or has a name of another type than a body's: a .patch, .log or .csv, inline or
  not. A text named body.html or letter.txt is the letter where no text stands before it, and a file elsewhere
- text/enriched, text/richtext and texts of other types without a name (text/csv, text/x-log; up to 128 KiB) are read
  as text, and the original comes along as a file; Markdown is text as it stands. Calendars, vCards, RTF and scripts are files
- signed and encrypted messages, and a message that is a message/partial or message/external-body as a whole, are refused;
  with ` + "`on_lossy = \"allow\"`" + ` what can be read in them is the body, and the rest are files. Inside another message,
  message/partial and message/external-body are files
`

// TestNatureIsDocumented keeps doc/providers.md, and the README's way there, to what render prints.
func TestNatureIsDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What each provider's API changes by nature\n\n" +
		"These changes happen to every mail, however well it is translated; `mailhatch render --upstream NAME FILE`\n" +
		"prints them below the request. Kinds that are not listed hand the message on as it is, but for trace fields,\n" +
		"Bcc and what [relays](#relays-and-apis-that-take-a-message-as-it-is) need. The tests of `upstream/kinds` write this file (`go test ./upstream/kinds -update`).\n\n" +
		"APIs that take text and files apart have no way to say format=flowed (RFC 3676), so its soft line breaks and stuffed\n" +
		"spaces are undone, and no link is left cut in two. A character that a program has cut in half, at the end of a text,\n" +
		"a line or a field, becomes U+FFFD there, and the rest stays UTF-8, in bodies, headers and file names alike.\n" +
		readersView + forRelays)
	for _, k := range kinds.Kinds() {
		if k.Changes == nil {
			continue
		}
		b.WriteString("\n## " + k.Name + "\n\n" + k.Doc + "\n\n")
		for _, line := range k.Changes {
			b.WriteString("- " + line + "\n")
		}
	}
	upstreamtest.CompareGolden(t, filepath.Join("..", "..", "doc", "providers.md"), []byte(b.String()), *update)
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "## What each API changes by nature")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, word := range []string{"doc/providers.md", "Message-ID", "Date", "envelope sender", "To and Cc", "calendar", "signed", "DKIM", "repeated header", "Bcc"} {
		if !strings.Contains(table, word) {
			t.Errorf("the README's table lacks %q", word)
		}
	}
}

// forRelays is what makes a message fit for relays, see mime/wire.
const forRelays = `
## Relays, and APIs that take a message as it is

Ordinary mail leaves byte for byte. What relays refuse (RFC 5321, RFC 5322) is put right:

- no line has more than 998 bytes (RFC 5321 4.5.3.1.6): headers are folded at spaces, and References, address lists and
  parameters also where a space may be added; a Subject of one long word becomes encoded words. In any other field a
  longer word stays as it is.
- a part with longer lines becomes quoted-printable or base64, whatever its type; attached messages are gone through part
  by part. Signed and encrypted parts are left alone, as are message/delivery-status and unknown encodings; the ` + "`sent`" + `
  line in the log then has a note. A DKIM signature over the body that the message brought along no longer verifies.
- References of more than 4,096 bytes lose ids from their middle; the first and the last ones stay (RFC 5322 3.6.4). JSON
  APIs get them so too.
- repeated To or Cc fields become one; Bcc, Return-Path and the ` + "`From `" + ` or ` + "`>From `" + ` line of a mailbox file on top go;
  a lone CR in a header, that of a part too, becomes a space.
- a relay without 8BITMIME gets 8-bit parts as quoted-printable or base64, and 8-bit headers as encoded words.
`
