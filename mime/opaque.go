package mime

import "strings"

// Opaque says why the message must not be taken apart, as [Content] does, but reads nothing.
func (m *Message) Opaque() string { return m.Root.opaque(true) }

// opaque finds the first part that taking apart would destroy (RFC 1847, RFC 8551, RFC 2046 5.2). A PKCS #7 file
// that merely is attached survives as a file.
func (p *Part) opaque(root bool) string {
	switch p.Type {
	case "multipart/signed", "multipart/encrypted", "application/pgp-encrypted":
		return p.Type
	case "message/partial", "message/external-body": // their meaning is in parameters (RFC 2046 5.2.2, 5.2.3)
		if root && p.Params["id"]+p.Params["access-type"] != "" {
			return p.Type
		}
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		attached := p.Disposition == "attachment" && p.Name != "" && !strings.EqualFold(p.Name, "smime.p7m")
		if root || !attached {
			return p.Type
		}
	}
	for _, c := range p.Children {
		if t := c.opaque(false); t != "" {
			return t
		}
	}
	return ""
}
