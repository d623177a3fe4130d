package view

import (
	stdmime "mime"

	"mailhatch/mime"
	"mailhatch/mime/transfer"
)

func (s *sorter) attach(p *mime.Part) {
	view := p.Repaired()
	s.content.Attachments = append(s.content.Attachments, Attachment{
		Part:      view,
		Name:      p.Name,
		Type:      attachmentType(view),
		ContentID: p.ContentID,
		// Parts with Content-ID and no disposition are inline, whatever multipart they are in.
		Inline: p.ContentID != "" && p.Disposition != "attachment",
	})
	if view != p {
		s.attachOriginal(p)
	}
}

// attachOriginal adds the bytes of a part whose decoding lost something or was a guess.
func (s *sorter) attachOriginal(p *mime.Part) {
	a := Attachment{Part: p, Type: "application/octet-stream", Original: true}
	if p.Name != "" && p.Defect == transfer.ErrBrokenBase64 {
		a.Name = p.Name + ".b64"
	}
	s.content.Attachments = append(s.content.Attachments, a)
}

// attachmentType writes the media type with its parameters but the name.
func attachmentType(p *mime.Part) string {
	if p.Defect != nil {
		return "application/octet-stream" // the bytes are not of the declared type
	}
	params := map[string]string{}
	for k, v := range p.Params {
		if k != "name" && k != "filename" && mime.IsToken(k) && v != "" {
			params[k] = v
		}
	}
	if t := stdmime.FormatMediaType(p.Type, params); t != "" {
		return t
	}
	return p.Type
}
