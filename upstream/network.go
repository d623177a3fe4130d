package upstream

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// RootCAs returns the machine's authorities together with those of ca_file; nil, which means the machine's,
// without a file. Its errors are *KeyErrors.
func RootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	const hint = "name a file of certificates in PEM form"
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &KeyError{Key: "ca_file", Problem: "cannot be read: " + err.Error(), Hint: hint}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &KeyError{Key: "ca_file", Problem: "has no certificate in PEM form", Hint: hint}
	}
	return pool, nil
}

// Dialer makes the connections of an upstream from an address of this machine, "" for any. Its error is a *KeyError
// about the key bind.
func Dialer(bind string, timeout time.Duration) (*net.Dialer, error) {
	d := &net.Dialer{Timeout: timeout, KeepAlive: 15 * time.Second}
	if bind == "" {
		return d, nil
	}
	addr, err := netip.ParseAddr(bind)
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() {
		return nil, &KeyError{Key: "bind", Problem: fmt.Sprintf("must be an IP address of this machine, not %q", bind),
			Hint: `write "192.0.2.7" or "2001:db8::7"; the port is the system's choice`}
	}
	d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr.Unmap(), 0))
	return d, nil
}

// ProxySecrets returns the passwords of the proxies that the environment names: errors repeat them.
func ProxySecrets() (secrets []string) {
	config := httpproxy.FromEnvironment()
	for _, proxy := range []string{config.HTTPProxy, config.HTTPSProxy} {
		_, rest, found := strings.Cut(proxy, "://")
		if !found {
			rest = proxy
		}
		_, password, _ := strings.Cut(rest[:max(strings.LastIndex(rest, "@"), 0)], ":")
		secrets = append(secrets, password)
		if plain, err := url.PathUnescape(password); err == nil {
			secrets = append(secrets, plain)
		}
	}
	return secrets
}

// IsLoopback reports whether a host, by name or address, is this machine.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
