package sendgrid

import (
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

type content struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// contents: text, HTML, others, none empty.
func contents(msg *api.Message) []content {
	var out []content
	if msg.Text != "" || msg.HTML == "" && len(msg.Alternatives) == 0 {
		out = append(out, content{"text/plain", api.OrSpace(msg.Text)})
	}
	if msg.HTML != "" {
		out = append(out, content{"text/html", msg.HTML})
	}
	for _, a := range msg.Alternatives {
		out = append(out, content{a.MediaType, a.Value})
	}
	return out
}

func file(f api.File) ([]api.Field, api.Segment, error) {
	content, n, err := api.Base64(f.Part)
	if err == nil && n == 0 {
		// An empty content is refused; a file of one line end is what comes next to it.
		content = api.Segment{Literal: []byte("Cg==")}
	}
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
	for i := range msg.Files {
		f := &msg.Files[i]
		if !f.Inline || !strings.Contains(f.ContentID, ";") {
			continue
		}
		if strings.Contains(msg.HTML, "cid:"+f.ContentID) {
			return api.Errorf(upstream.Unrepresentable, "5.6.1", "the HTML shows a part by the content id %q, in which SendGrid takes no semicolon", f.ContentID)
		}
		f.Inline, f.ContentID = false, ""
	}
	return nil
}
