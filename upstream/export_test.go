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
