package mime

import (
	"cmp"
	"strconv"
	"strings"
)

// nameAll returns every attachment a name: JSON APIs drop files without one. Names that are made up
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
	if a.Original {
		base = "original-text"
		if a.Part.Type == "text/html" {
			base = "original-html"
		}
		if label := a.Part.Params["charset"]; isToken(label) && len(label) < 40 {
			base += "-" + label // the type says only that these are bytes
		}
		return base, ".bin"
	}
	if a.Part.Defect != nil {
		return "attachment", ".bin"
	}
	switch t := a.Part.Type; {
	case a.Part.field != "" && len(a.Part.field) < 80:
		// What it holds is an answer to that question.
		base = cmp.Or(strings.Trim(strings.NewReplacer("/", "_", "\\", "_").Replace(a.Part.field), "."), "field")
	case t == "text/plain" || t == "text/html":
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
	return base, Extension(a.Part.Type)
}

// Extension returns the usual file name extension of a media type, with its dot; ".bin" for a type it
// does not know. It is the same on every machine, unlike mime.ExtensionsByType.
func Extension(mediaType string) string {
	for _, e := range extensions() {
		if e[0] == mediaType {
			return e[1]
		}
	}
	major, minor, _ := strings.Cut(mediaType, "/")
	switch {
	case strings.HasSuffix(minor, "+xml"):
		return ".xml"
	case strings.HasSuffix(minor, "+json"):
		return ".json"
	case strings.HasSuffix(minor, "+zip"):
		return ".zip"
	case major == "text" || major == "message":
		return ".txt"
	}
	return ".bin"
}

// extensions pairs media types (IANA registry, and x- types in wide use) with extensions.
func extensions() [][2]string {
	return [][2]string{
		{"text/html", ".html"},
		{"text/calendar", ".ics"},
		{"text/csv", ".csv"},
		{"text/css", ".css"},
		{"text/xml", ".xml"},
		{"text/markdown", ".md"},
		{"text/rtf", ".rtf"},
		{"text/vcard", ".vcf"},
		{"text/x-vcard", ".vcf"},
		{"text/directory", ".vcf"},
		{"text/javascript", ".js"},
		{"text/x-patch", ".patch"},
		{"text/x-diff", ".diff"},
		{"text/x-amp-html", ".html"},
		{"message/rfc822", ".eml"},
		{"message/global", ".eml"},
		{"image/jpeg", ".jpg"},
		{"image/jpg", ".jpg"},
		{"image/pjpeg", ".jpg"},
		{"image/png", ".png"},
		{"image/x-png", ".png"},
		{"image/gif", ".gif"},
		{"image/bmp", ".bmp"},
		{"image/webp", ".webp"},
		{"image/avif", ".avif"},
		{"image/heic", ".heic"},
		{"image/tiff", ".tiff"},
		{"image/svg+xml", ".svg"},
		{"image/x-icon", ".ico"},
		{"image/vnd.microsoft.icon", ".ico"},
		{"audio/mpeg", ".mp3"},
		{"audio/mp3", ".mp3"},
		{"audio/mp4", ".m4a"},
		{"audio/ogg", ".ogg"},
		{"audio/wav", ".wav"},
		{"audio/x-wav", ".wav"},
		{"audio/amr", ".amr"},
		{"video/mp4", ".mp4"},
		{"video/mpeg", ".mpg"},
		{"video/quicktime", ".mov"},
		{"video/webm", ".webm"},
		{"video/x-msvideo", ".avi"},
		{"application/pdf", ".pdf"},
		{"application/json", ".json"},
		{"application/xml", ".xml"},
		{"application/zip", ".zip"},
		{"application/x-zip-compressed", ".zip"},
		{"application/gzip", ".gz"},
		{"application/x-gzip", ".gz"},
		{"application/x-tar", ".tar"},
		{"application/x-7z-compressed", ".7z"},
		{"application/vnd.rar", ".rar"},
		{"application/rtf", ".rtf"},
		{"application/javascript", ".js"},
		{"application/ics", ".ics"},
		{"application/postscript", ".ps"},
		{"application/msword", ".doc"},
		{"application/vnd.ms-excel", ".xls"},
		{"application/vnd.ms-powerpoint", ".ppt"},
		{"application/vnd.ms-outlook", ".msg"},
		{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"},
		{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"},
		{"application/vnd.openxmlformats-officedocument.presentationml.presentation", ".pptx"},
		{"application/vnd.oasis.opendocument.text", ".odt"},
		{"application/vnd.oasis.opendocument.spreadsheet", ".ods"},
		{"application/vnd.oasis.opendocument.presentation", ".odp"},
		{"application/epub+zip", ".epub"},
		{"application/pkcs7-mime", ".p7m"},
		{"application/x-pkcs7-mime", ".p7m"},
		{"application/pkcs7-signature", ".p7s"},
		{"application/x-pkcs7-signature", ".p7s"},
		{"application/pgp-signature", ".asc"},
		{"application/pgp-keys", ".asc"},
		{"application/ms-tnef", ".dat"},
		{"application/vnd.ms-tnef", ".dat"},
	}
}
