package raw

import (
	"errors"
	"strings"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

// to7Bit returns the form of a message that is valid in any text.
func to7Bit(m *mime.Message, provider string) (*mime.Message, *upstream.Error) {
	out, err := m, error(nil)
	if !mime.IsASCII(m.HeaderBytes()) {
		out, err = m.With(asciiDomains()...)
	}
	if err == nil {
		out, err = wire.To7Bit(out)
	}
	switch {
	case errors.Is(err, mime.ErrIntlAddr):
		return nil, api.Errorf(upstream.Unrepresentable, "5.6.7", "an address in the header has characters beyond ASCII, which %s does not take", provider)
	case errors.Is(err, wire.ErrSigned), errors.Is(err, wire.ErrNo7Bit):
		return nil, api.Errorf(upstream.Unrepresentable, "5.6.3", "the message has 8-bit content, and %s takes messages as text: %w", provider, err)
	case err != nil:
		return nil, &upstream.Error{Class: upstream.Temporary, Err: err}
	}
	return out, nil
}

// asciiDomains writes the domains of addresses in A-labels (RFC 5891).
func asciiDomains() (list []mime.Edit) {
	for _, name := range [...]string{"From", "Sender", "Reply-To", "To", "Cc", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Disposition-Notification-To"} {
		list = append(list, mime.Edit{Op: mime.Revise, Name: name, Revise: asciiDomainsOf})
	}
	return list
}

// asciiDomainsOf revises an address list; names in quotes and comments stay.
func asciiDomainsOf(list string) string {
	var out strings.Builder
	for i := 0; i < len(list); {
		n := 1
		switch list[i] {
		case '"', '(':
			n = mime.TokenLength(list[i:])
		case '@':
			if end := strings.IndexAny(list[i+1:], " \t\r\n<>,;:()\"@[]"); end >= 0 {
				n += end
			} else {
				n = len(list) - i
			}
			if domain, err := mime.ASCIIDomain(list[i+1 : i+n]); err == nil && !mime.IsASCII([]byte(list[i:i+n])) {
				out.WriteString("@" + domain)
				i += n
				continue
			}
		}
		out.WriteString(list[i : i+n])
		i += n
	}
	return out.String()
}

// SevenBitChange is what happens besides where a message is text in a request.
const SevenBitChange = "8-bit content and header fields are encoded (quoted-printable, base64, RFC 2047); signed mail with 8-bit content is not carried"
