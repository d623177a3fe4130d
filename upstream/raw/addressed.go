package raw

import (
	"strings"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// Addressed is Message for an API that has no envelope and takes the recipients from the header. To and Cc are
// written anew with the call's recipients that stood there before, so that nobody gets the mail whom the envelope
// does not name; all others stand in one Bcc field, which the provider takes out.
func (f Form) Addressed(m *upstream.Mail, c *api.Call) (mime.Source, *upstream.Error) {
	var edits []mime.Edit
	for _, list := range []struct {
		name string
		of   []mime.Address
	}{{"To", c.To}, {"Cc", c.Cc}, {"Bcc", c.Bcc}} {
		edit := mime.Edit{Op: mime.Remove, Name: list.name}
		if len(list.of) > 0 {
			edit.Op, edit.Value = mime.Replace, mailboxes(list.of)
		}
		edits = append(edits, edit)
	}
	// A provider may count them as recipients; they never said who gets this copy (RFC 5322 3.6.6).
	edits = append(edits, mime.Edit{Op: mime.Remove, Name: "Resent-To"}, mime.Edit{Op: mime.Remove, Name: "Resent-Cc"})
	f.Edits = func(*upstream.Mail, mime.Header) []mime.Edit { return edits } // once repeated fields are joined
	return f.Message(m)
}

// mailboxes writes an address list that every reader takes apart in the same way: names encoded or quoted, and odd
// local parts quoted (RFC 5321 4.1.2).
func mailboxes(list []mime.Address) string {
	texts := make([]string, len(list))
	for i, a := range list {
		if local, domain, _ := mime.SplitAddress(a.Addr); !strings.HasPrefix(local, `"`) {
			a.Addr = mime.Path{Local: local, Domain: domain}.String()
		}
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

// AddressedChanges lists what happens to every message on its way through such an API.
func AddressedChanges() []string {
	return append(Changes(),
		"recipients are sent in the header: To and Cc show the envelope's recipients that were there, and all others are in one Bcc field that the provider removes; "+
			"addresses that are only in the header get no mail and are not shown; Resent-To and Resent-Cc are removed",
		"the envelope sender is the provider's: bounces go to the mailbox, not to MAIL FROM",
	)
}

// Compose makes the requests of an API that reads the recipients from the header: each call has a message of its own.
func (f Form) Compose(m *upstream.Mail, request func(mime.Source) *api.Request) (api.Composed, *upstream.Error) {
	if e := f.Refuses(m); e != nil {
		return nil, e
	}
	return func(c *api.Call) (*api.Request, *upstream.Error) {
		src, e := f.Addressed(m, c)
		if e != nil {
			return nil, e
		}
		return request(src), nil
	}, nil
}
