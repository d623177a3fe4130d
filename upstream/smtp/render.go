package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"mailhatch/upstream"
)

// Preflight refuses addresses that cannot stand in a command. What else a relay takes is known only
// when it is asked.
func (u *relay) Preflight(m *upstream.Mail) error {
	if _, err := senderAddress(m.From); err != nil {
		return err
	}
	var last error
	for _, r := range m.To {
		_, err := recipientAddress(r.Address)
		if err == nil {
			return nil // Send reports the others
		}
		last = err
	}
	return last
}

// Render writes the dialog with a relay that knows all extensions, and the message as it would leave.
func (u *relay) Render(m *upstream.Mail, w io.Writer) error {
	job := newJob(m)
	u.begin(job)
	defer func() { u.release(job.content) }()
	if len(job.pending) == 0 {
		for _, o := range job.out {
			return o.Err
		}
		return errors.New("no recipients")
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# %s, tls = %q, a relay with PIPELINING SIZE 8BITMIME SMTPUTF8 DSN\n", u.address(), u.tlsMode)
	fmt.Fprintf(out, "EHLO %s\n", u.helo)
	if u.tlsMode == tlsStart || u.tlsMode == tlsOpportunistic {
		fmt.Fprintf(out, "STARTTLS\nEHLO %s\n", u.helo)
	}
	if u.username != "" {
		mechanism := strings.ToUpper(u.auth)
		if u.auth == authAuto {
			mechanism = autoMechanisms(u.tlsMode == tlsStart || u.tlsMode == tlsImplicit)[0]
		}
		fmt.Fprintf(out, "AUTH %s %s\n", mechanism, upstream.Redacted)
	}
	for i, o := range job.out {
		if o.Err != nil {
			fmt.Fprintf(out, "# not sent to %q: %v\n", m.To[i].Address, o.Err)
		}
	}
	caps := capabilities{pipelining: true, eightBit: true, utf8: true, dsn: true, sizeParam: true}
	out.Write(bytes.ReplaceAll(job.mailCommand(nil, caps, job.pending), []byte("\r\n"), []byte("\n")))
	for _, i := range job.pending {
		fmt.Fprintln(out, strings.TrimSpace(string(job.rcptCommand(nil, caps, i))))
	}
	fmt.Fprintln(out, "DATA")
	fmt.Fprint(out, strings.ReplaceAll(job.keyLine(job.pending), "\r\n", "\n"))
	err := job.content.send(u, func(p []byte) error { _, err := out.Write(p); return err })
	return errors.Join(err, out.Flush())
}
