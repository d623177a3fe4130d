package view

import (
	"path"
	"strings"

	"mailhatch/mime"
)

// isText reports whether mail programs show a leaf of this type as text.
func isText(p *mime.Part) bool {
	switch p.Type {
	case "text/plain", "text/html", "text/markdown", "text/x-markdown", "text/enriched", "text/richtext":
		return len(p.Children) == 0 && p.Disposition != "attachment"
	}
	return isOtherText(p)
}

// maxOtherText is how large a text of another type may be, as it is in the message, to be in the body beside its file.
const maxOtherText = 128 << 10

// isOtherText reports whether a leaf is text of a type that few programs know and none takes for a file: it is shown as
// it stands (RFC 2046 4.1.4).
func isOtherText(p *mime.Part) bool {
	kind, isText := strings.CutPrefix(p.Type, "text/")
	if !isText || p.RawSize() > maxOtherText || p.Name != "" || p.Disposition == "attachment" || p.Field != "" || len(p.Children) > 0 || strings.HasSuffix(kind, "-html") {
		return false
	}
	switch kind {
	case "plain", "html", "markdown", "x-markdown", "enriched", "richtext", // with rules of their own
		"calendar", "vcard", "x-vcard", "directory", "rtf", "css", "javascript", "ecmascript", "rfc822-headers":
		return false
	}
	return true
}

// isEnriched reports whether a text is in one of the two forms that came before HTML.
func isEnriched(p *mime.Part) bool { return p.Type == "text/enriched" || p.Type == "text/richtext" }

// isBodyName reports whether a name is none of a file of another type.
func isBodyName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case "", ".txt", ".text", ".html", ".htm":
		return true
	}
	return false
}
