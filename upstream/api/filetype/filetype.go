// Package filetype knows which names files of a type have, and which types files of a name.
package filetype

import "slices"

// mediaTypes are the media types of common file name extensions, the registered one of each line first. The
// machine's own table (mime.types) would make requests differ between machines.
var mediaTypes = []struct {
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

// Extension returns the usual extension of a media type without parameters, ".bin" where none is known.
func Extension(mediaType string) (ext string, known bool) {
	for _, row := range mediaTypes {
		if row.types[0] == mediaType {
			return row.ext, true
		}
	}
	for _, row := range mediaTypes {
		if slices.Contains(row.types, mediaType) {
			return row.ext, true
		}
	}
	return ".bin", false
}

// Registered returns the registered one of a media type's names; ok reports whether files with this
// extension have the type. Plain text is what many files are besides, and stays what it is.
func Registered(ext, mediaType string) (registered string, ok bool) {
	for _, row := range mediaTypes {
		if row.ext == ext && slices.Contains(row.types, mediaType) {
			if mediaType == "text/plain" {
				return mediaType, true
			}
			return row.types[0], true
		}
	}
	return "", false
}
