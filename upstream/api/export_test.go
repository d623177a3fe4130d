package api

import (
	"net/http"

	"mailhatch/upstream"
)

// shared returns what an upstream of an HTTP kind has in common with all others.
func (u *Upstream) shared() *Upstream { return u }

func sharedOf(u upstream.Upstream) *Upstream { return u.(interface{ shared() *Upstream }).shared() }

// WithTransport makes an upstream of an HTTP kind send through rt.
func WithTransport(u upstream.Upstream, rt http.RoundTripper) {
	sharedOf(u).client.client.Transport = rt
}

// ComposedPreflight is the verdict of the first request of a mail, made in full.
func ComposedPreflight(u upstream.Upstream, m *upstream.Mail) error {
	return sharedOf(u).composeFirst(m)
}

// RequestBytes returns the size of the first request of a mail, 0 where there is none, and the most that is
// expected of it.
func RequestBytes(u upstream.Upstream, m *upstream.Mail) (size, most int64) {
	a := sharedOf(u)
	most = mostBytes(m)
	composed, err := a.provider.Compose(m)
	if err != nil {
		return 0, most
	}
	calls, _ := planCalls(m, everyone(m), a.client.service)
	if len(calls) == 0 {
		return 0, most
	}
	if req, err := composed(&calls[0]); err == nil {
		size = req.Body.Size()
	}
	return size, most
}
