package postmark

import (
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// instructions are what X-PM-* fields ask for, https://postmarkapp.com/developer/user-guide/send-email-with-smtp
type instructions struct {
	stream, tag string
	metadata    api.Fields
}

// Limits of what they can ask for, https://postmarkapp.com/support/article/1125-custom-metadata-faq
const (
	maxTag        = 1000 // characters
	maxMetadata   = 9    // fields, beside the queue id
	maxNameLength = 20
	maxValue      = 80
)

const metadataField = "x-pm-metadata-"

// instructions reads the fields that count in this mail; what Postmark would refuse is left out.
func (p *provider) instructions(m *upstream.Mail) instructions {
	var steer instructions
	seen := map[string]bool{strings.ToLower(api.IDName): true}
	for _, f := range m.Message.Header {
		if !p.control && !m.IsOwn(f.Name) {
			continue
		}
		value := api.Line(mime.Header{f}.Text(f.Name))
		switch name := strings.ToLower(f.Name); {
		case value == "":
		case name == "x-pm-message-stream" && isStream(value):
			steer.stream = value
		case name == "x-pm-tag" && len(value) <= maxTag:
			steer.tag = value
		case strings.HasPrefix(name, metadataField):
			name = f.Name[len(metadataField):]
			fits := name != "" && len(name) <= maxNameLength && len(value) <= maxValue && len(steer.metadata) < maxMetadata
			if fits && !seen[strings.ToLower(name)] {
				seen[strings.ToLower(name)] = true
				steer.metadata = append(steer.metadata, api.Field{Name: name, Value: value})
			}
		}
	}
	return steer
}
