package upstream

import (
	"path"
	"strings"
)

// resendTypes are the media types of common file name extensions, the first of each line being the
// one that a type's own extension is taken from. Resend answers 200 and then never delivers a message whose file name
// and type contradict each other (https://anymail.dev/en/stable/esps/resend/), so those
// that are not known to agree are sent as application/octet-stream. The machine's own table
// (mime.types) would make requests differ between machines.
var resendTypes = []struct {
	ext   string
	types []string
}{
	{".txt", []string{"text/plain"}}, {".text", []string{"text/plain"}}, {".log", []string{"text/plain", "text/x-log"}},
	{".html", []string{"text/html"}}, {".htm", []string{"text/html"}},
	{".csv", []string{"text/csv", "application/csv", "text/comma-separated-values"}},
	{".ics", []string{"text/calendar", "application/ics"}}, {".vcf", []string{"text/vcard", "text/x-vcard", "text/directory"}},
	{".css", []string{"text/css"}}, {".md", []string{"text/markdown", "text/plain"}}, {".rtf", []string{"application/rtf", "text/rtf"}},
	{".xml", []string{"application/xml", "text/xml"}}, {".json", []string{"application/json"}}, {".patch", []string{"text/x-patch", "text/plain"}},
	{".diff", []string{"text/x-diff", "text/plain"}}, {".yaml", []string{"application/yaml", "text/yaml"}},
	{".js", []string{"text/javascript", "application/javascript"}},
	{".pdf", []string{"application/pdf"}}, {".ps", []string{"application/postscript"}},
	{".png", []string{"image/png"}}, {".jpg", []string{"image/jpeg", "image/jpg"}}, {".jpeg", []string{"image/jpeg", "image/jpg"}},
	{".gif", []string{"image/gif"}}, {".webp", []string{"image/webp"}}, {".svg", []string{"image/svg+xml"}},
	{".bmp", []string{"image/bmp", "image/x-ms-bmp"}}, {".tiff", []string{"image/tiff"}}, {".tif", []string{"image/tiff"}},
	{".ico", []string{"image/x-icon", "image/vnd.microsoft.icon"}}, {".heic", []string{"image/heic"}},
	{".mp3", []string{"audio/mpeg", "audio/mp3"}}, {".wav", []string{"audio/wav", "audio/x-wav"}}, {".ogg", []string{"audio/ogg"}},
	{".m4a", []string{"audio/mp4", "audio/x-m4a"}}, {".amr", []string{"audio/amr"}},
	{".mp4", []string{"video/mp4"}}, {".mov", []string{"video/quicktime"}}, {".mpeg", []string{"video/mpeg"}},
	{".zip", []string{"application/zip", "application/x-zip-compressed"}}, {".gz", []string{"application/gzip", "application/x-gzip"}},
	{".tgz", []string{"application/gzip", "application/x-gzip", "application/x-compressed-tar"}}, {".tar", []string{"application/x-tar"}},
	{".7z", []string{"application/x-7z-compressed"}}, {".rar", []string{"application/vnd.rar", "application/x-rar-compressed"}},
	{".doc", []string{"application/msword"}}, {".xls", []string{"application/vnd.ms-excel"}}, {".ppt", []string{"application/vnd.ms-powerpoint"}},
	{".docx", []string{"application/vnd.openxmlformats-officedocument.wordprocessingml.document"}},
	{".xlsx", []string{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}},
	{".pptx", []string{"application/vnd.openxmlformats-officedocument.presentationml.presentation"}},
	{".odt", []string{"application/vnd.oasis.opendocument.text"}}, {".ods", []string{"application/vnd.oasis.opendocument.spreadsheet"}},
	{".eml", []string{"message/rfc822", "message/global"}}, {".p7s", []string{"application/pkcs7-signature", "application/x-pkcs7-signature"}},
	{".p7m", []string{"application/pkcs7-mime", "application/x-pkcs7-mime"}}, {".asc", []string{"application/pgp-signature", "text/plain"}},
	{".asc", []string{"application/pgp-keys"}}, // no other name of the signature's type
	{".pgp", []string{"application/pgp-encrypted"}}, {".bin", []string{"application/octet-stream"}},
}

// extensionFor gives the extension of a media type without parameters, ".bin" where none is known.
func extensionFor(mediaType string) string {
	for _, row := range resendTypes {
		if row.types[0] == mediaType {
			return row.ext
		}
	}
	for _, row := range resendTypes {
		for _, t := range row.types {
			if t == mediaType {
				return row.ext
			}
		}
	}
	return ".bin"
}

// agreeingName gives a file name and a type that agree. The name is what people see, so it stays as
// it is where it has an extension, and the type gives way; pictures shown in the HTML keep their type.
func agreeingName(f apiFile) (name, mediaType string) {
	const any = "application/octet-stream"
	base, params, more := strings.Cut(f.mediaType, ";")
	base = strings.ToLower(strings.TrimSpace(base))
	if more {
		params = ";" + params
	}
	ext := strings.ToLower(path.Ext(f.name))
	if len(ext) > 6 || strings.Contains(ext, " ") {
		ext = "" // "Report v1. final"
	}
	if base == any || base == "" {
		return f.name, any
	}
	known := false
	for _, row := range resendTypes {
		for _, t := range row.types {
			if t != base {
				continue
			}
			if known = true; row.ext == ext {
				return f.name, firstName(row.types, base) + params
			}
		}
	}
	if known && (ext == "" || f.inline) {
		ext = extensionFor(base)
		for _, row := range resendTypes {
			if row.ext == ext {
				base = firstName(row.types, base)
			}
		}
		return f.name + ext, base + params
	}
	if ext == ".txt" && (strings.HasPrefix(base, "text/") || base == "message/delivery-status") {
		return f.name, "text/plain"
	}
	return f.name, any
}

// firstName is the registered one of a type's names: Resend may take another for a contradiction to
// the file name. Plain text is what many files are besides.
func firstName(types []string, base string) string {
	if base == "text/plain" {
		return base
	}
	return types[0]
}
