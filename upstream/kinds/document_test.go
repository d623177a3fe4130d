package kinds_test

import (
	"cmp"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/smtp/preset"
	"mailhatch/upstream/upstreamtest"
)

var update = flag.Bool("update", false, "write doc/providers.md anew")

// TestProvidersAreDocumented keeps doc/providers.md to the kinds and presets there are, and to what render prints.
func TestProvidersAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(aboutProviders + kindTable(t) + aboutPresets + presetTable() + aboutChanges + byPart + readersView + forRelays + aboutClosing)
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
	_, section, _ := strings.Cut(string(readme), "## What an API changes")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, word := range []string{"doc/providers.md", "Message-ID", "Date", "envelope sender", "To and Cc", "signed"} {
		if !strings.Contains(section, word) {
			t.Errorf("the README lacks %q", word)
		}
	}
	if n := fmt.Sprintf("%d services by name", len(preset.All())); !strings.Contains(string(readme), n) {
		t.Errorf("the README does not say %q", n)
	}
}

// kindTable has a row for each kind.
func kindTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| `type` | sends | Message-ID | envelope sender | hidden recipients (Bcc) | recipients per request | largest | recognises a repeated request | reports |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range kinds.Kinds() {
		f := k.Traits
		travels, sender, largest := "raw MIME", "the provider's", size(f.Bytes)
		if f.Apart {
			travels = "text, HTML and files (JSON)"
			largest += " of a request"
		}
		if f.MailFrom {
			sender = "kept"
		}
		known := "no"
		if keyed, ok := opened(t, k).(upstream.Idempotent); ok {
			known = within(keyed.KeyValidity())
		}
		if k.Name == "smtp" {
			known = "depends on `preset`"
		}
		recipients := count(f.Recipients)
		row(&b, "`"+k.Name+"`", travels, idWord(f.NewID), sender, string(f.Bcc), recipients, largest, known, cmp.Or(f.Tells.String(), f.Later))
	}
	return b.String()
}

func presetTable() string {
	var b strings.Builder
	b.WriteString("| `preset` | service | Message-ID | recipients per message | largest | rate | recognises a repeated message | other changes |\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range preset.All() {
		id, _, _ := strings.Cut(p.MessageID(), ":")
		known := "no"
		if p.Keyed {
			known = "24 h"
		}
		most := p.Rate
		if p.Concurrent > 0 {
			most = strings.TrimPrefix(most+fmt.Sprintf(", %d connections", p.Concurrent), ", ")
		}
		row(&b, "`"+p.Name+"`", "["+p.Service+"]("+p.Doc+")", id, count(p.Recipients), size(p.Bytes), most, known, strings.Join(p.Changes, "; "))
	}
	return b.String()
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func idWord(replaced bool) string {
	if replaced {
		return "replaced"
	}
	return "kept"
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func size(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func within(d time.Duration) string {
	if d >= time.Hour {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

// opened is a kind with the settings of its testdata.
func opened(t *testing.T, k upstream.Kind) upstream.Upstream {
	t.Helper()
	raw, err := settingsOf(k.Name)
	if err != nil {
		t.Fatal(err)
	}
	up, err := upstreamtest.Open(k, strings.ReplaceAll(string(raw), "TEMPDIR", filepath.ToSlash(t.TempDir())))
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// TestTraits holds what the tables say of a kind against the requests that it makes.
func TestTraits(t *testing.T) {
	for _, k := range kinds.Kinds() {
		f := k.Traits
		if !slices.Contains([]upstream.Bcc{upstream.BccEnvelope, upstream.BccRequest, upstream.BccHeader}, f.Bcc) || cmp.Or(f.Tells.String(), f.Later) == "" || f.Apart != (f.Bcc == upstream.BccRequest) {
			t.Errorf("%s: %+v", k.Name, f)
		}
		up, ok := opened(t, k).(upstream.Renderer)
		if !ok || k.SMTPStatus {
			continue
		}
		shown := func(recipients int, hidden bool) string {
			text := "From: App <app@example.com>\r\nSubject: s\r\nMessage-ID: <m@example.com>\r\n"
			var to []string
			for i := range recipients {
				to = append(to, fmt.Sprintf("u%d@example.org", i))
			}
			if hidden {
				text += "To: " + to[0] + "\r\n\r\nbody\r\n"
			} else {
				text += "To: " + strings.Join(to, ",\r\n ") + "\r\n\r\nbody\r\n"
			}
			m := upstreamtest.NewMail(t, text, to...)
			m.From = "bounces@example.net"
			var b strings.Builder
			if err := up.Render(m, &b); err != nil {
				t.Fatalf("%s: %v", k.Name, err)
			}
			requests, _, _ := strings.Cut(b.String(), "What this API always changes:")
			return readable(requests)
		}
		few := shown(2, true)
		for name, got := range map[string]bool{
			"Apart":     f.Apart == !strings.Contains(few, "Message-ID: <m@example.com>"),
			"NewID":     f.NewID == strings.Contains(few, "References"),
			"MailFrom":  f.MailFrom == strings.Contains(few, "bounces@example.net"),
			"BccHeader": (f.Bcc == upstream.BccHeader) == strings.Contains(few, "\nBcc: u1@example.org"),
		} {
			if !got {
				t.Errorf("%s: %s is not so:\n%s", k.Name, name, few)
			}
		}
		if f.Recipients == 0 {
			continue
		}
		posts := regexp.MustCompile(`(?m)^(POST|PUT) `)
		if one, two := len(posts.FindAllString(shown(f.Recipients, false), -1)), len(posts.FindAllString(shown(f.Recipients+1, false), -1)); one >= two {
			t.Errorf("%s: %d requests for %d recipients, %d for one more", k.Name, one, f.Recipients, two)
		}
	}
}

// base64Text is what a message in a request looks like.
var base64Text = regexp.MustCompile(`[A-Za-z0-9+/_-]{40,}={0,2}`)

// readable adds what is in base64 as it stands, and undoes JSON's line ends.
func readable(requests string) string {
	text := strings.NewReplacer(`\r\n`, "\r\n", `\u003c`, "<", `\u003e`, ">").Replace(requests)
	for _, s := range base64Text.FindAllString(requests, -1) {
		if b, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(s)); err == nil {
			text += "\n" + string(b)
		}
	}
	return text
}

const aboutProviders = `# Upstreams and providers

This page compares all types of upstream: how each sends mail, its limits, and what it changes in a message. Keys are in [configuration.md](configuration.md#upstreamname).

- *Largest* is the size of a message, or of a request if the message is taken apart; in a request, files are a third larger.
- Mail that is larger, or that contains something this type cannot carry, goes to the next of ` + "`via`" + `, or bounces with the reason.
- Mail with more recipients than a request allows is sent in several requests.
- *Reports* is how mailhatch [learns later](feedback.md) what became of mail, or where bounces go.

`

const aboutPresets = `
## SMTP services by name

These are the values of ` + "`preset`" + ` for ` + "`type = \"smtp\"`" + `. ` + "`mailhatch presets NAME`" + ` shows the host, the login and notes. Recipients are sent in the envelope, hidden ones
too. If a service also has a ` + "`type`" + ` of its own, that type reports more.

An empty cell means that the service documents nothing, or a limit that depends on your plan. If Message-ID is replaced, the original is in
X-Original-Message-ID and at the end of References.

`

const aboutChanges = `
## What each API changes

These changes happen to every message. ` + "`mailhatch render --upstream NAME FILE`" + ` prints them below the request. Types that are not listed send
the message unchanged, except for trace fields, Bcc and what [relays](#relays-and-apis-that-take-a-message-as-it-is) need. (` + "`go test ./upstream/kinds -update`" + ` writes this page.)

APIs that take text and files separately cannot express format=flowed (RFC 3676). Soft line breaks and stuffed spaces are therefore undone, and no link is
split. If a program has cut a character in half, at the end of a text, a line or a field, it becomes U+FFFD, and the rest stays UTF-8. This applies to
bodies, headers and file names.
`

// byPart is what happens to each part of a message, for the three ways in which mail travels.
const byPart = `
By part of a message:

| | APIs that take text and files separately | APIs that take the message as it is | SMTP relay |
|---|---|---|---|
| Message-ID that is replaced | the original in ` + "`X-Original-Message-ID`" + ` and at the end of References | the same | the same, by ` + "`preset`" + ` |
| Date | replaced | kept (replaced by SES, Cloudflare, Graph) | kept |
| envelope sender | the provider's | the provider's (kept by Postal, JMAP) | kept (rewritten together with From if ` + "`from_domains`" + ` requires it) |
| To and Cc shown | those in the envelope | as written (Graph, Gmail: those in the envelope) | as written |
| several body parts | one text, one HTML, in their order | kept | kept |
| calendar alternative | ` + "`.ics`" + ` attachment (SendGrid keeps it) | kept | kept |
| broken header lines | read as intended | repaired | kept |
| From without a full domain (` + "`root@app1`" + `) | next upstream, or refused; ` + "`rewrite_from`" + `, ` + "`default_from`" + ` or ` + "`[identity] domain`" + ` replaces it | kept | kept |
| signed, encrypted, partial mail | next upstream, or refused; so are, at Brevo, images in the HTML, files not on its list, and several Reply-To | kept (8-bit signed mail is refused by the 7-bit ones: Cloudflare, SparkPost, Mandrill) | kept |
| DKIM signature | removed | kept (removed for Cloudflare) | kept |
| repeated header fields | joined or first one; at Brevo non-ASCII ones are removed | kept | kept |
| Bcc header | removed | removed (Graph, Gmail: by the provider) | removed |
| provider control headers | removed | removed | kept |
`

// readersView are the rules by which package mime/view puts bodies together.
const readersView = `
## What a reader sees, if an API takes text and files separately

A reader sees in the body what they would see in the body of the original, in the same order:

- A message with one text, one HTML, or both as alternatives is sent that way.
- Several body parts (text and HTML side by side, a mailing list's footer, texts between files) become one text and one
  HTML. In the HTML, a part is its own HTML if it has one, else its text in a ` + "`<pre>`" + ` with its line ends. In the
  text, HTML is converted to readable text. Tags that a part leaves open are closed, the colors of its ` + "`<body>`" + ` stay with it, styles move
  into one head, and titles, bases and charsets are dropped.
- This is done for up to 2 MiB of texts in a body, measured as they are in the message. The same limit holds for the comparison, the images
  between texts and the locations below. Beyond it, the first text is the body, and the texts that would have joined it are files.
- An HTML part right after a text part with the same words is its alternative.
- A PNG, JPEG, GIF, WebP, BMP or AVIF before or between texts is shown there by a cid. After the last text it is a file,
  unless it says ` + "`inline`" + ` and the HTML is put together anyway.
- Images that the HTML shows by ` + "`cid:`" + ` (in any spelling) or by their Content-Location are shown, whatever their
  disposition is. A location becomes a cid.
- A part is a file if it says ` + "`attachment`" + `, or if its name has a type other than a body's: a .patch, .log or .csv, inline or
  not. A text named body.html or letter.txt is the letter if no text precedes it, and a file elsewhere.
- text/enriched, text/richtext and unnamed texts of other types (text/csv, text/x-log; up to 128 KiB) are shown
  as text, and the original is attached as a file. Markdown is shown as text. Calendars, vCards, RTF and scripts are files.
- Signed and encrypted messages are refused, and so is a message that as a whole is a message/partial or message/external-body.
  With ` + "`on_lossy = \"allow\"`" + `, what can be read in them is the body, and the rest are files. Inside another message,
  message/partial and message/external-body are files.
`

// forRelays is what makes a message fit for relays, see mime/wire.
const forRelays = `
## Relays, and APIs that take a message as it is

Ordinary mail is sent byte for byte. What relays refuse (RFC 5321, RFC 5322) is corrected:

- Lines are at most 998 bytes long (RFC 5321 4.5.3.1.6). Headers are folded at spaces. References, address lists and
  parameters are also folded where a space may be added, and a Subject of one long word becomes encoded words. In any other field, a
  longer word stays as it is.
- A part with longer lines becomes quoted-printable or base64, whatever its type. Attached messages are handled part
  by part. Signed and encrypted parts, message/delivery-status and unknown encodings are not changed; the ` + "`sent`" + `
  line in the log then has a note. If the message has a DKIM signature over its body, that signature becomes invalid.
- References of more than 4,096 bytes lose ids from their middle; the first and the last ones stay (RFC 5322 3.6.4). This also applies to JSON
  APIs.
- Repeated To or Cc fields become one. Bcc, Return-Path and a mailbox file's ` + "`From `" + ` or ` + "`>From `" + ` line at the top are removed.
  A lone CR in a header, also of a part, becomes a space.
- For a relay without 8BITMIME, 8-bit parts become quoted-printable or base64, and 8-bit headers become encoded words.
`

// aboutClosing is what kinds make of the words of a refusal, see upstream/api/words.
const aboutClosing = `
## What closes an upstream

A refusal that would meet every message closes the upstream: mail waits or goes to the next of ` + "`via`" + `, and nothing bounces. Such refusals are
a wrong key; an account that is suspended or not activated; a plan or bill; a sandbox; a domain that is not verified (this closes the upstream only for mail
of that domain); and a limit per second, hour, day or month. Each kind knows its provider's documented codes. If a code can mean several things,
the provider's words decide. An unknown status closes nothing and is
tried again later; a 400 or 422 whose words concern none of this counts against the mail alone. See
[classes of failure](delivery.md#classes-of-failure).
`
