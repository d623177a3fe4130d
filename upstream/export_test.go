package upstream

import "net/http"

// WithTransport makes an upstream of an HTTP kind send through rt.
func WithTransport(u Upstream, rt http.RoundTripper) {
	switch u := u.(type) {
	case *resend:
		u.client.client.Transport = rt
	case *sendgrid:
		u.client.client.Transport = rt
	case *mailgun:
		u.client.client.Transport = rt
	}
}
