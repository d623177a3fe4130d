package cloudflare

import (
	"regexp"
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Limits of what a message may have beside the fields of own, https://developers.cloudflare.com/email-service/reference/headers/
const (
	maxListed = 20       // fields of listed
	maxValue  = 2048     // bytes of a value
	maxHeader = 16 << 10 // bytes of names and values
	maxName   = 100      // bytes of a name
)

// own are fields that make the message, or that Cloudflare writes in place of ours.
var own = []string{"From", "To", "Cc", "Subject", "Reply-To", "Date", "Message-ID", "MIME-Version",
	"Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "Content-Description", "Content-Location", "Content-Base", "Content-Class"}

// listed are the fields that a message may have besides, as X-* ones.
var listed = []string{"In-Reply-To", "References", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "List-Archive", "List-Help", "List-Owner",
	"List-Post", "List-Subscribe", "Precedence", "Auto-Submitted", "Content-Language", "Keywords", "Comments", "Importance", "Priority", "Sensitivity",
	"Organization", "Require-Recipient-Valid-Since", "Expires", "Reply-By", "Archived-At"}

// dropped are fields that tell of a way or a mail program, or that are the provider's: no reader misses them. Those of
// Resent-* are strictly informational (RFC 5322 3.6.6).
var dropped = []string{"Received", "Received-SPF", "Authentication-Results", "DKIM-Signature", "DomainKey-Signature", "ARC-*", "Delivered-To",
	"Envelope-To", "Apparently-To", "Errors-To", "Resent-*", "Feedback-ID", "CFBL-*", "TLS-Required", "TLS-Report-*", "User-Agent", "Mailer",
	"Thread-Topic", "Thread-Index", "Accept-Language", "Content-Length", "Lines", "Status", "Old-*"}

// valued are fields that have few values; other fields of such a name cannot be taken, but for values that say nothing.
var valued = []struct {
	name             string
	values, needless []string
}{
	{"Auto-Submitted", []string{"auto-generated", "auto-replied", "auto-notified"}, []string{"no"}},
	{"Precedence", []string{"bulk", "list", "junk"}, nil}, // RFC 2076 3.9: discouraged
	{"Importance", []string{"high", "normal", "low"}, nil},
	{"Priority", []string{"normal", "non-urgent", "urgent"}, nil},
	{"Sensitivity", []string{"personal", "private", "company-confidential"}, []string{"normal", "none"}},
}

const oneClick = "List-Unsubscribe=One-Click" // RFC 8058 3.1

// edits brings a header to what Cloudflare takes, as far as nothing that a reader sees is lost.
func edits(m *upstream.Mail, h mime.Header) []mime.Edit {
	var list []mime.Edit
	remove := func(name string) { list = append(list, mime.Edit{Op: mime.Remove, Name: name}) }
	replace := func(name, value string) {
		list = append(list, mime.Edit{Op: mime.Replace, Name: name, Value: value})
	}
	for _, name := range dropped {
		remove(name)
	}
	if s := m.Message.Sender; s != nil && len(m.Message.From) == 1 && mime.SameAddress(s.Addr, m.Message.From[0].Addr) {
		remove("Sender")
	}
	for _, f := range valued {
		word := strings.ToLower(strings.TrimSpace(cutAny(h.Get(f.name), ";(")))
		switch {
		case slices.Contains(f.values, word):
			replace(f.name, word)
		case slices.Contains(f.needless, word) || f.name == "Precedence":
			remove(f.name)
		}
	}
	if post := h.Get("List-Unsubscribe-Post"); strings.TrimSpace(post) != oneClick || !strings.Contains(strings.ToLower(h.Get("List-Unsubscribe")), "<https:") {
		remove("List-Unsubscribe-Post")
	}
	for _, name := range []string{"Comments", "Keywords"} {
		if values := h.Values(name); len(values) > 1 {
			list = append(list, mime.Edit{Op: mime.Replace, Name: name, Value: strings.Join(values, ", "), UTF8: true})
		}
	}
	if references := h.Get("References"); len(references) > maxValue {
		replace("References", shortReferences(references))
	}
	for _, name := range emptyFields(h) {
		remove(name)
	}
	if date := h.Get("Date"); date != "" && !h.Has("X-Original-Date") {
		replace("X-Original-Date", date)
	}
	return list
}

// cutAny returns what stands before the first of some characters.
func cutAny(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}

// emptyFields returns names of fields without a value. More than a few are no message's.
func emptyFields(h mime.Header) (names []string) {
	for _, f := range h {
		if len(names) < maxListed && f.Name != "" && strings.TrimSpace(f.Value()) == "" && !upstream.MatchesField(f.Name, own) && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// shortReferences leaves out ids from the middle, as few as are necessary (RFC 5322 3.6.4).
func shortReferences(value string) string {
	ids := strings.Fields(strings.ReplaceAll(value, "><", "> <"))
	if len(ids) < 3 {
		return value
	}
	room := maxValue - len(ids[0])
	from := len(ids)
	for from > 1 && room > len(ids[from-1]) {
		from--
		room -= len(ids[from]) + 1
	}
	return strings.Join(append(ids[:1:1], ids[from:]...), " ")
}

var extraForm = regexp.MustCompile(`^[Xx]-[A-Za-z0-9_-]+$`)

// check returns why Cloudflare does not take a header.
func check(h mime.Header) *upstream.Error {
	count, size := 0, 0
	for _, f := range h {
		if f.Name == "" || upstream.MatchesField(f.Name, own) {
			continue
		}
		value := strings.TrimSpace(f.Value())
		if e := checkField(f.Name, value); e != nil {
			return e
		}
		if !extraForm.MatchString(f.Name) {
			count++
		}
		size += len(f.Name) + len(value) + len(": \r\n")
	}
	switch {
	case count > maxListed:
		return refused("the header has %d fields beside the usual ones and X-*, Cloudflare takes %d", count, maxListed)
	case size > maxHeader:
		return refused("the header has %d bytes beside the usual fields, Cloudflare takes %d", size, maxHeader)
	}
	return nil
}

// checkField returns why Cloudflare does not take one field.
func checkField(name, value string) *upstream.Error {
	lower := strings.ToLower(value)
	switch {
	case !extraForm.MatchString(name) && !upstream.MatchesField(name, listed):
		return refused("Cloudflare does not take the field %s; a [[rewrite]] rule could remove it", api.Line(name))
	case len(name) > maxName:
		return refused("the name of the field %.40s… has %d bytes, Cloudflare takes %d", name, len(name), maxName)
	case len(value) > maxValue:
		return refused("the field %s has %d bytes, Cloudflare takes %d", api.Line(name), len(value), maxValue)
	case value == "":
		return refused("the field %s is empty, which Cloudflare does not take", api.Line(name))
	case strings.EqualFold(name, "List-Unsubscribe") && (strings.Contains(lower, "<http:") || !strings.Contains(lower, "<https:") && !strings.Contains(lower, "<mailto:")):
		return refused("Cloudflare takes only https: and mailto: addresses in List-Unsubscribe")
	}
	for _, f := range valued {
		if strings.EqualFold(name, f.name) && !slices.Contains(f.values, lower) {
			return refused("the field %s is %q; Cloudflare takes %s", f.name, api.Line(value), strings.Join(f.values, ", "))
		}
	}
	return nil
}

func refused(format string, args ...any) *upstream.Error {
	return api.Errorf(upstream.Unrepresentable, "5.6.0", format, args...)
}
