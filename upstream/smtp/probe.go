package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/oauth"
)

// Check connects, logs in where the config says so and leaves.
func (u *relay) Check(ctx context.Context) error {
	c, err := u.dial(ctx)
	if err != nil {
		return err
	}
	c.quit(u.timeout)
	return nil
}

// commonPorts are those that relays take mail at; 2525 is the usual one beside the registered ones.
func commonPorts() []int { return []int{25, 465, 587, 2525} }

const (
	portTimeout = 5 * time.Second
	certWarning = 14 * 24 * time.Hour
)

// Probe reports on port, TLS and login. It ignores the domains: SMTP cannot check them.
func (u *relay) Probe(ctx context.Context, _ []string) []upstream.Finding {
	return u.probe(ctx, commonPorts())
}

func (u *relay) probe(ctx context.Context, ports []int) []upstream.Finding {
	if !slices.Contains(ports, u.port) {
		ports = append(slices.Clone(ports), u.port)
	}
	states, err := u.tryPorts(ctx, ports)
	if err != nil {
		return []upstream.Finding{{Name: "reach", Level: upstream.Fail, Text: fmt.Sprintf("%s has no address: %v", u.host, err), Hint: "look at host and DNS"}}
	}
	scan := upstream.Finef("ports", "%s", portList(ports, states))
	if state := states[u.port]; state != portOpen {
		return []upstream.Finding{u.blocked(state, ports, states), scan}
	}
	var list []upstream.Finding
	if u.tokens != nil {
		token, ok := u.tokens.Probe(ctx)
		if list = append(list, token...); !ok {
			return append(list, scan)
		}
	}
	c, err := u.dial(ctx)
	if err != nil {
		return append(list, u.failure(err), scan)
	}
	defer c.quit(u.timeout)
	list = append(list, upstream.Finef("reach", "%s answers", u.address()), u.tlsFinding(c, time.Now()))
	if u.username == "" {
		list = append(list, upstream.Finef("login", "none: username is not set"))
	} else {
		list = append(list, upstream.Finef("login", "as %s", u.username))
	}
	return append(list, scan)
}

// What becomes of a try to connect.
const (
	portOpen    = "open"
	portRefused = "refused"
	portSilent  = "no answer"
)

// tryPorts connects to each port of the relay and closes again. The error is that of looking up the host.
func (u *relay) tryPorts(ctx context.Context, ports []int) (map[int]string, error) {
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	states := make([]string, len(ports))
	errs := make([]error, len(ports))
	var all sync.WaitGroup
	for i, port := range ports {
		all.Go(func() { states[i], errs[i] = tryPort(ctx, net.JoinHostPort(u.host, strconv.Itoa(port))) })
	}
	all.Wait()
	found := map[int]string{}
	for i, port := range ports {
		found[port] = states[i]
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i] // the same for all ports
	}
	return found, nil
}

func tryPort(ctx context.Context, address string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	var dns *net.DNSError
	switch {
	case err == nil:
		_ = conn.Close()
		return portOpen, nil
	case errors.As(err, &dns):
		return "", dns
	case errors.Is(err, syscall.ECONNREFUSED):
		return portRefused, nil
	}
	return portSilent, nil
}

func portList(ports []int, states map[int]string) string {
	words := make([]string, len(ports))
	for i, port := range ports {
		words[i] = fmt.Sprintf("%d %s", port, states[port])
	}
	return strings.Join(words, ", ")
}

// blocked reports what to do about a port that cannot be reached.
func (u *relay) blocked(state string, ports []int, states map[int]string) upstream.Finding {
	f := upstream.Finding{Name: "reach", Level: upstream.Fail, Text: fmt.Sprintf("%s: %s", u.address(), state)}
	var open []string
	for _, port := range ports {
		if states[port] == portOpen {
			open = append(open, strconv.Itoa(port))
		}
	}
	switch {
	case len(open) > 0:
		f.Hint = fmt.Sprintf("port %s of the relay can be reached: try port and tls for it (465 is implicit)", strings.Join(open, ", "))
	case state == portRefused:
		f.Hint = "the host answers, but no relay listens there: look at host and port"
	default:
		f.Hint = fmt.Sprintf("%d blocked, as every port for mail from here: use an API upstream (resend, sendgrid, mailgun), which needs HTTPS only, "+
			"or ask the administrator of this network", u.port)
	}
	return f
}

// tlsFinding reports on the encryption of a connection.
func (u *relay) tlsFinding(c *conn, now time.Time) upstream.Finding {
	state, ok := c.client.TLSConnectionState()
	switch {
	case !ok && upstream.IsLoopback(u.host):
		return upstream.Finef("tls", "none, on this machine")
	case !ok:
		return upstream.Finding{Name: "tls", Level: upstream.Warn, Text: "none: mail travels in clear", Hint: `set tls = "starttls" or "implicit" where the relay can`}
	case u.tlsConfig != nil && u.tlsConfig.InsecureSkipVerify:
		return upstream.Finding{Name: "tls", Level: upstream.Warn, Text: tls.VersionName(state.Version) + ", but the certificate is not checked", Hint: `tls = "starttls" checks it`}
	}
	text := tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		end := state.PeerCertificates[0].NotAfter
		text += ", certificate until " + end.Format(time.DateOnly)
		if end.Sub(now) < certWarning {
			return upstream.Finding{Name: "tls", Level: upstream.Warn, Text: text, Hint: "ask the administrator of the relay to renew it"}
		}
	}
	return upstream.Finef("tls", "%s", text)
}

// failure reports what a failed dialogue is about.
func (u *relay) failure(err error) upstream.Finding {
	f := upstream.Finding{Name: "reach", Level: upstream.Fail, Text: err.Error(), Hint: "look at host, port and tls: 465 is implicit, 587 and 25 starttls"}
	var e *upstream.Error
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		f.Name, f.Hint = "tls", "the certificate has ended, or this machine's clock is wrong"
	case errors.As(err, &name):
		f.Name, f.Hint = "tls", "server_name is the name in the certificate, where it is not host"
	case errors.As(err, &unknown), errors.As(err, &invalid):
		f.Name, f.Hint = "tls", "ca_file names the authority of a certificate that the system does not know"
	case u.tokens != nil && errors.As(err, &e) && e.Class == upstream.Account:
		f = oauth.Finding("login", err)
	case errors.As(err, &e) && e.Class == upstream.Account:
		f.Name, f.Hint = "login", "look at username, password and auth; some relays want a password made for programs"
	case errors.As(err, &e) && e.Status != 0:
		f.Hint = "the relay does not take mail now; mail waits"
	}
	return f
}
