package raw

import (
	"encoding/base64"
	"io"

	"mailhatch/mime"
	"mailhatch/upstream/api"
)

// Bytes is a message as it is.
func Bytes(src mime.Source) api.Segment {
	return api.Segment{Length: src.Size(), Open: func() io.Reader { return io.NewSectionReader(src, 0, src.Size()) }}
}

// Base64 is a message in base64 (RFC 4648 4).
func Base64(src mime.Source) api.Segment { return api.Encode(Bytes(src), base64.StdEncoding) }

// Base64URL is a message in the base64 of URLs (RFC 4648 5).
func Base64URL(src mime.Source) api.Segment { return api.Encode(Bytes(src), base64.URLEncoding) }
