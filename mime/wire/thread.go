package wire

import (
	"regexp"
	"strings"

	"mailhatch/mime"
)

// References returns References (RFC 5322 3.6.4) with the id that a provider replaces at the end: a reply, which names the
// new one, and what followed upon the old one meet in one thread. "" where it is there, or is no id.
func References(h mime.Header, id string) string {
	if !idForm.MatchString(id) {
		return ""
	}
	ids := strings.Join(strings.Fields(strings.Join(h.Values("References"), " ")), " ")
	if ids == "" { // then the field that readers go by is In-Reply-To, where it names one message
		if ids = strings.TrimSpace(h.Get("In-Reply-To")); !idForm.MatchString(ids) {
			ids = ""
		}
	}
	if strings.Contains(ids, id) {
		return ""
	}
	if ids = strings.TrimSpace(ids + " " + id); len(ids) > MaxReferences-len("References: \r\n") {
		ids = ShortReferences(ids)
	}
	return ids
}

// idForm is a msg-id (RFC 5322 3.6.4) of a length that any header has room for.
var idForm = regexp.MustCompile(`^<[!-;=?-~]{1,900}>$`)

// OriginalID is the field that keeps a Message-ID which a provider replaces.
const OriginalID = "X-Original-Message-ID"

// KeepID returns the edits that leave a Message-ID which a provider replaces where people and threads find it.
func KeepID(h mime.Header) (edits []mime.Edit) {
	id := h.Get("Message-ID")
	if id != "" && !h.Has(OriginalID) {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: OriginalID, Value: id})
	}
	if references := References(h, id); references != "" {
		edits = append(edits, mime.Edit{Op: mime.Replace, Name: "References", Value: references, UTF8: true})
	}
	return edits
}
