package smtp

// keywords writes the keywords of EHLO replies in capitals: case does not count in them (RFC 5321 2.4), and go-mail 0.8.1
// does not know "starttls". It reads what comes in clear; behind STARTTLS and implicit TLS go-mail is alone.
type keywords struct {
	at      int  // how much of "250-" or "250 " this line has
	keyword bool // now in the keyword
}

const replyStart = "250-"

func (k *keywords) read(p []byte) {
	for i, c := range p {
		switch {
		case c == '\n':
			*k = keywords{}
		case k.keyword && (c == ' ' || c == '=' || c == '\r'):
			k.keyword, k.at = false, -1
		case k.keyword && 'a' <= c && c <= 'z':
			p[i] = c - 'a' + 'A'
		case k.keyword || k.at < 0:
		case c == replyStart[k.at] || k.at == len(replyStart)-1 && c == ' ':
			k.at++
			k.keyword = k.at == len(replyStart)
		default:
			k.at = -1
		}
	}
}
