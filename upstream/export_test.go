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

// SMTPWire gives the bytes that would leave for a relay with or without 8BITMIME and SMTPUTF8.
func SMTPWire(u Upstream, m *Mail, eightBit bool) ([]byte, error) {
	relay := u.(*smtpRelay)
	job := newSMTPJob(m)
	relay.begin(job)
	if len(job.pending) > 0 {
		relay.fit(job, smtpCaps{eightBit: eightBit, utf8: eightBit})
	}
	defer func() { relay.release(job.content) }()
	if len(job.pending) == 0 {
		return nil, job.out[0].Err
	}
	var wire []byte
	err := job.content.send(relay, func(p []byte) error {
		wire = append(wire, p...)
		return nil
	})
	return wire, err
}

// ComposedPreflight is the verdict of the first request of a mail, made in full.
func ComposedPreflight(u Upstream, m *Mail) error { return composeFirst(u.(apiProvider), m) }

// RequestBytes gives the size of the first request of a mail, 0 where there is none, and the most that is
// expected of it.
func RequestBytes(u Upstream, m *Mail) (size, most int64) {
	p := u.(apiProvider)
	most = apiMostBytes(m)
	letter, err := p.compose(m)
	if err != nil {
		return 0, most
	}
	calls, _ := planCalls(m, everyone(m), p)
	if len(calls) == 0 {
		return 0, most
	}
	if req, err := letter(&calls[0]); err == nil {
		size = req.body.size()
	}
	return size, most
}
