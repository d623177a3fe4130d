package view

import (
	"cmp"
	"strconv"
	"strings"

	"mailhatch/mime"
)

// nameAll names every attachment: JSON APIs drop files without a name. Names that are made up
// differ from all others; names that came with the message stay.
func (s *sorter) nameAll() {
	used := map[string]bool{}
	for _, a := range s.content.Attachments {
		used[strings.ToLower(a.Name)] = true
	}
	for i := range s.content.Attachments {
		a := &s.content.Attachments[i]
		if a.Name != "" {
			continue
		}
		base, ext := madeName(a)
		name := base + ext
		for n := 2; used[strings.ToLower(name)]; n++ {
			name = base + "-" + strconv.Itoa(n) + ext
		}
		used[strings.ToLower(name)] = true
		a.Name = name
	}
}

// madeName makes a name from the type of a part.
func madeName(a *Attachment) (base, ext string) {
	if a.Original && a.Type == "application/octet-stream" {
		base = "original-text"
		if a.Part.Type == "text/html" {
			base = "original-html"
		}
		if label := a.Part.Params["charset"]; mime.IsToken(label) && len(label) < 40 {
			base += "-" + label // the type is generic
		}
		return base, ".bin"
	}
	if a.Part.Defect != nil {
		return "attachment", ".bin"
	}
	switch t := a.Part.Type; {
	case a.Part.Field != "" && len(a.Part.Field) < 80:
		// What it holds is an answer to that question.
		base = cmp.Or(strings.Trim(strings.NewReplacer("/", "_", "\\", "_").Replace(a.Part.Field), "."), "field")
	case t == "text/plain" || t == "text/html" || t == "text/enriched" || t == "text/richtext":
		base = "text"
	case t == "text/calendar":
		base = "invite"
	case t == "message/rfc822" || t == "message/global":
		base = "message"
	case t == "message/delivery-status" || t == "message/global-delivery-status":
		base = "delivery-status"
	case t == "message/disposition-notification":
		base = "disposition-notification"
	case t == "message/feedback-report":
		base = "feedback-report"
	case t == "text/rfc822-headers" || t == "message/global-headers":
		base = "headers"
	case t == "application/pkcs7-mime" || t == "application/x-pkcs7-mime" ||
		t == "application/pkcs7-signature" || t == "application/x-pkcs7-signature":
		base = "smime"
	case t == "application/pgp-signature":
		base = "signature"
	case t == "application/pgp-encrypted":
		base = "version"
	case strings.HasPrefix(t, "image/"):
		base = "image"
	case strings.HasPrefix(t, "audio/"):
		base = "audio"
	case strings.HasPrefix(t, "video/"):
		base = "video"
	default:
		base = "attachment"
	}
	return base, mime.Extension(a.Part.Type)
}
