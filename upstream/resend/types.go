package resend

import (
	"path"
	"strings"

	"mailhatch/upstream/api"
	"mailhatch/upstream/api/filetype"
)

// agreeingName returns a file name and a type that agree: Resend answers 200 and then never delivers a message
// whose file name and type contradict each other (https://anymail.dev/en/stable/esps/resend/). The name is what
// people see, so it stays as it is where it has an extension, and the type is changed; pictures shown in the HTML
// keep their type.
func agreeingName(f api.File) (name, mediaType string) {
	const any = "application/octet-stream"
	base, params, more := strings.Cut(f.MediaType, ";")
	base = strings.ToLower(strings.TrimSpace(base))
	if more {
		params = ";" + params
	}
	ext := strings.ToLower(path.Ext(f.Name))
	if len(ext) > 6 || strings.Contains(ext, " ") {
		ext = "" // "Report v1. final"
	}
	if base == any || base == "" {
		return f.Name, any
	}
	if registered, ok := filetype.Registered(ext, base); ok {
		return f.Name, registered + params
	}
	if own, known := filetype.Extension(base); known && (ext == "" || f.Inline) {
		registered, _ := filetype.Registered(own, base)
		return f.Name + own, registered + params
	}
	if ext == ".txt" && (strings.HasPrefix(base, "text/") || base == "message/delivery-status") {
		return f.Name, "text/plain"
	}
	return f.Name, any
}
