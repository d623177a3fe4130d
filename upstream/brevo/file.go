package brevo

import (
	"path"
	"slices"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// extensions of files that Brevo takes, https://developers.brevo.com/reference/send-transac-email (attachment)
var extensions = []string{".xlsx", ".xls", ".ods", ".docx", ".docm", ".doc", ".csv", ".pdf", ".txt", ".gif", ".jpg", ".jpeg", ".png", ".tif", ".tiff",
	".rtf", ".bmp", ".cgm", ".css", ".shtml", ".html", ".htm", ".zip", ".xml", ".ppt", ".pptx", ".tar", ".ez", ".ics", ".mobi", ".msg", ".pub", ".eps",
	".odt", ".mp3", ".m4a", ".m4v", ".wma", ".ogg", ".flac", ".wav", ".aif", ".aifc", ".aiff", ".mp4", ".mov", ".avi", ".mkv", ".mpeg", ".mpg", ".wmv",
	".pkpass", ".xlsm"}

func isTaken(name string) bool { return slices.Contains(extensions, strings.ToLower(path.Ext(name))) }

// check finds what has no place at Brevo, and gives files a name that it takes where that is permitted.
func (p *provider) check(msg *api.Message) *upstream.Error {
	if len(msg.ReplyTo) > 1 && !p.lossy {
		return api.Errorf(upstream.Unrepresentable, "5.6.1", "replies go to %d addresses; Brevo takes one", len(msg.ReplyTo))
	}
	for i := range msg.Files {
		f := &msg.Files[i]
		if isTaken(f.Name) {
			continue
		}
		text := strings.HasPrefix(f.Part.Type, "text/") || strings.HasPrefix(f.Part.Type, "message/")
		if !text || f.Part.Name != "" && !p.lossy {
			return api.Errorf(upstream.Unrepresentable, "5.6.1", "Brevo takes no files of this type: %s", f.Name)
		}
		f.Name = strings.TrimSuffix(f.Name, ".bin") + ".txt"
	}
	return p.checkPictures(msg)
}

// checkPictures finds a picture that the HTML shows: Brevo has no inline files.
func (p *provider) checkPictures(msg *api.Message) *upstream.Error {
	var ids []string
	for _, f := range msg.Files {
		if f.Inline {
			ids = append(ids, f.ContentID)
		}
	}
	if p.lossy || len(ids) == 0 {
		return nil
	}
	shown, err := msg.HTML.Shows(ids)
	if err != nil {
		return &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	if shown != "" {
		return api.Errorf(upstream.Unrepresentable, "5.6.1", "the HTML shows a picture of the message, cid:%s, for which Brevo has no place", shown)
	}
	return nil
}

func file(f api.File) ([]api.Field, api.Segment, error) {
	content, n, err := api.Base64(f.Part)
	if err == nil && n == 0 {
		content = api.Segment{Literal: []byte("Cg==")} // an empty content is not valid
	}
	return []api.Field{{Name: "name", Value: f.Name}}, content, err
}
