package mime

import (
	"slices"
	"strings"
)

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
