package upstream

import "strings"

type sendgridContent struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// sendgridContents: text, HTML, others, none empty.
func sendgridContents(msg *apiMessage) []sendgridContent {
	var out []sendgridContent
	if msg.text != "" || msg.html == "" && len(msg.alternatives) == 0 {
		out = append(out, sendgridContent{"text/plain", orSpace(msg.text)})
	}
	if msg.html != "" {
		out = append(out, sendgridContent{"text/html", msg.html})
	}
	for _, a := range msg.alternatives {
		out = append(out, sendgridContent{a.mediaType, a.value})
	}
	return out
}

func sendgridFile(j *jsonBody, f apiFile) error {
	seg, n, err := base64Segment(f.part)
	if err != nil {
		return err
	}
	if n == 0 {
		// An empty content is refused; a file of one line end is what comes next to it.
		seg = segment{literal: []byte("Cg==")}
	}
	mediaType, _, _ := strings.Cut(f.mediaType, ";") // parameters are refused
	disposition := "attachment"
	if f.inline {
		disposition = "inline"
	}
	j.raw(`{"filename":`)
	j.value(f.name)
	j.raw(`,"type":`)
	j.value(strings.TrimSpace(mediaType))
	j.raw(`,"disposition":`)
	j.value(disposition)
	if f.inline {
		j.raw(`,"content_id":`)
		j.value(f.contentID)
	}
	j.raw(`,"content":"`)
	j.stream(seg)
	j.raw(`"}`)
	return nil
}

// sendgridContentIDs sends parts whose content id SendGrid refuses (";") as plain files. Where the
// HTML shows such a part the mail has no form there.
func sendgridContentIDs(msg *apiMessage) *Error {
	for i := range msg.files {
		f := &msg.files[i]
		if !f.inline || !strings.Contains(f.contentID, ";") {
			continue
		}
		if strings.Contains(msg.html, "cid:"+f.contentID) {
			return apiError(Unrepresentable, "5.6.1", "the HTML shows a part by the content id %q, in which SendGrid takes no semicolon", f.contentID)
		}
		f.inline, f.contentID = false, ""
	}
	return nil
}
