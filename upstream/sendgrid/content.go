package sendgrid

import (
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// writeContents writes text, HTML, others, none empty.
func writeContents(j *api.Object, msg *api.Message) {
	list := make([]api.Alternative, 0, 2+len(msg.Alternatives))
	if !msg.Text.IsEmpty() || msg.HTML.IsEmpty() && len(msg.Alternatives) == 0 {
		list = append(list, api.Alternative{MediaType: "text/plain", Value: msg.Text.OrSpace()})
	}
	if !msg.HTML.IsEmpty() {
		list = append(list, api.Alternative{MediaType: "text/html", Value: msg.HTML})
	}
	for i, a := range append(list, msg.Alternatives...) {
		if i == 0 {
			j.Raw(`[{"type":`)
		} else {
			j.Raw(`,{"type":`)
		}
		j.Value(a.MediaType)
		j.Raw(`,"value":`)
		j.Text(a.Value)
		j.Raw("}")
	}
	j.Raw("]")
}

func file(f api.File) ([]api.Field, api.Segment, error) {
	content, _, err := api.Base64(f.Part)
	mediaType, _, _ := strings.Cut(f.MediaType, ";") // parameters are refused
	fields := []api.Field{{Name: "filename", Value: f.Name}, {Name: "type", Value: strings.TrimSpace(mediaType)}}
	if f.Inline {
		fields = append(fields, api.Field{Name: "disposition", Value: "inline"}, api.Field{Name: "content_id", Value: f.ContentID})
	} else {
		fields = append(fields, api.Field{Name: "disposition", Value: "attachment"})
	}
	return fields, content, err
}

// checkContentIDs sends parts whose content id SendGrid refuses (";") as plain files. Where the
// HTML shows such a part the mail has no form there.
func checkContentIDs(msg *api.Message) *upstream.Error {
	var ids []string
	for _, f := range msg.Files {
		if f.Inline && strings.Contains(f.ContentID, ";") {
			ids = append(ids, f.ContentID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	shown, err := msg.HTML.Shows(ids)
	if err != nil {
		return &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	if shown != "" {
		return api.Errorf(upstream.Unrepresentable, "5.6.1", "the HTML shows a part by the content id %q, in which SendGrid takes no semicolon", shown)
	}
	for i := range msg.Files {
		if f := &msg.Files[i]; strings.Contains(f.ContentID, ";") {
			f.Inline, f.ContentID = false, ""
		}
	}
	return nil
}

// encoded writes values beyond ASCII as encoded words (RFC 2047), names in address lists by themselves: "you must ensure
// these are properly encoded", https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send (headers)
func encoded(list []api.Field) []api.Field {
	out := slices.Clone(list)
	for i, f := range out {
		if !api.IsASCII(f.Value) {
			h := mime.ParseHeader(mime.EditHeader(nil, mime.Edit{Op: mime.Append, Name: f.Name, Value: f.Value}))
			out[i].Value = api.Line(h.Get(f.Name))
		}
	}
	return out
}
