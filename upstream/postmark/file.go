package postmark

import (
	"path"
	"slices"
	"strings"

	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// barred are the extensions of files that Postmark refuses ("Forbidden file types"),
// https://postmarkapp.com/developer/user-guide/send-email-with-api
var barred = []string{".vbs", ".exe", ".bin", ".bat", ".chm", ".com", ".cpl", ".crt", ".hlp", ".hta", ".inf", ".ins", ".isp", ".jse",
	".lnk", ".mdb", ".pcd", ".pif", ".reg", ".scr", ".sct", ".shs", ".vbe", ".vba", ".wsf", ".wsh", ".wsl", ".msc", ".msi", ".msp", ".mst"}

func isBarred(name string) bool {
	return slices.Contains(barred, strings.ToLower(path.Ext(strings.TrimRight(name, ". "))))
}

// check finds what Postmark does not take in a message, and gives files that we named a name that it takes.
func check(msg *api.Message) *upstream.Error {
	for i := range msg.Files {
		f := &msg.Files[i]
		if stem, ok := strings.CutSuffix(f.Name, ".bin"); ok && f.Part.Name == "" {
			f.Name = stem + ".dat"
		}
		if isBarred(f.Name) {
			return api.Errorf(upstream.Unrepresentable, "5.6.1", "Postmark takes no files of this type: %s", f.Name)
		}
	}
	for _, text := range []api.Text{msg.Text, msg.HTML} {
		n, err := text.Size()
		if err != nil {
			return &upstream.Error{Class: upstream.Temporary, Err: err}
		}
		if n > maxBody {
			return api.Errorf(upstream.Unrepresentable, "5.3.4", "a text of the message has %d bytes; Postmark takes %d", n, int64(maxBody))
		}
	}
	return nil
}

func file(f api.File) ([]api.Field, api.Segment, error) {
	content, _, err := api.Base64(f.Part)
	fields := []api.Field{{Name: "Name", Value: f.Name}, {Name: "ContentType", Value: f.MediaType}}
	if f.Inline {
		fields = append(fields, api.Field{Name: "ContentID", Value: "cid:" + f.ContentID})
	}
	return fields, content, err
}
