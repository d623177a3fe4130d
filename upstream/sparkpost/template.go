package sparkpost

import (
	"bytes"
	"io"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// opening is what SparkPost takes for the start of a substitution, in the header and the first two texts of messages
// too, https://developers.sparkpost.com/api/transmissions/#transmissions-post-send-rfc822-content
const opening = "{{"

func templateError(place string) *upstream.Error {
	return api.Errorf(upstream.Unrepresentable, "5.6.0", "%s has {{, which SparkPost takes for the start of a template", place)
}

// checkHeader looks for substitutions in a header.
func checkHeader(h mime.Header) *upstream.Error {
	for _, f := range h {
		if bytes.Contains(f.Raw, []byte(opening)) || strings.Contains(mime.DecodeText(f.Value()), opening) {
			return templateError("the field " + api.Line(f.Name))
		}
	}
	return nil
}

// checkTexts looks for substitutions in the texts of a message that are no files.
func checkTexts(m *mime.Message) *upstream.Error {
	for _, p := range m.Root.Leaves() {
		if p.Type != "text/plain" && p.Type != "text/html" || p.Disposition == "attachment" {
			continue
		}
		var found finder
		if _, err := io.Copy(&found, p.Open()); err != nil {
			return &upstream.Error{Class: upstream.Temporary, Err: err}
		}
		if found.yes {
			return templateError("the text")
		}
	}
	return nil
}

// finder looks for opening in what is written to it. In charsets of two bytes a character it may lie apart.
type finder struct {
	last bool // the byte before was {
	yes  bool
}

// Write looks.
func (f *finder) Write(p []byte) (int, error) {
	if f.yes || len(p) == 0 {
		return len(p), nil
	}
	f.yes = f.last && p[0] == '{' || bytes.Contains(p, []byte(opening))
	f.last = p[len(p)-1] == '{'
	return len(p), nil
}
