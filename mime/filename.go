package mime

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
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
	if a.Original {
		base = "original-text"
		if a.Part.Type == "text/html" {
			base = "original-html"
		}
		if label := a.Part.Params["charset"]; isToken(label) && len(label) < 40 {
			base += "-" + label // the type is generic
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
	for line := range strings.Lines(extensions) {
		if fields := strings.Fields(line); slices.Contains(fields[1:], mediaType) {
			return fields[0]
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

// extensions has a line for each extension: it and its media types (IANA registry, and x- types in wide use).
const extensions = `.html text/html text/x-amp-html
.ics text/calendar application/ics
.csv text/csv
.css text/css
.xml text/xml application/xml
.md text/markdown
.rtf text/rtf application/rtf
.vcf text/vcard text/x-vcard text/directory
.js text/javascript application/javascript
.patch text/x-patch
.diff text/x-diff
.eml message/rfc822 message/global
.jpg image/jpeg image/jpg image/pjpeg
.png image/png image/x-png
.gif image/gif
.bmp image/bmp
.webp image/webp
.avif image/avif
.heic image/heic
.tiff image/tiff
.svg image/svg+xml
.ico image/x-icon image/vnd.microsoft.icon
.mp3 audio/mpeg audio/mp3
.m4a audio/mp4
.ogg audio/ogg
.wav audio/wav audio/x-wav
.amr audio/amr
.mp4 video/mp4
.mpg video/mpeg
.mov video/quicktime
.webm video/webm
.avi video/x-msvideo
.pdf application/pdf
.json application/json
.zip application/zip application/x-zip-compressed
.gz application/gzip application/x-gzip
.tar application/x-tar
.7z application/x-7z-compressed
.rar application/vnd.rar
.ps application/postscript
.doc application/msword
.xls application/vnd.ms-excel
.ppt application/vnd.ms-powerpoint
.msg application/vnd.ms-outlook
.docx application/vnd.openxmlformats-officedocument.wordprocessingml.document
.xlsx application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
.pptx application/vnd.openxmlformats-officedocument.presentationml.presentation
.odt application/vnd.oasis.opendocument.text
.ods application/vnd.oasis.opendocument.spreadsheet
.odp application/vnd.oasis.opendocument.presentation
.epub application/epub+zip
.p7m application/pkcs7-mime application/x-pkcs7-mime
.p7s application/pkcs7-signature application/x-pkcs7-signature
.asc application/pgp-signature application/pgp-keys
.dat application/ms-tnef application/vnd.ms-tnef`
