package listen

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a key pair that is read again when its files change, so that renewals need no reload.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamps  [2]time.Time // of the files that pair was read from
	checked time.Time
	logged  string // the last error with a new pair, which is logged once
}

const certificateCheck = 10 * time.Second

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return c, nil
}

// get serves tls.Config.GetCertificate. A new pair that cannot be read leaves the old one in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair != nil && time.Since(c.checked) < certificateCheck {
		return c.pair, nil
	}
	c.checked = time.Now()
	stamps, err := modTimes(c.certFile, c.keyFile)
	if err == nil && c.pair != nil && stamps == c.stamps {
		return c.pair, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			c.pair, c.stamps, c.logged = &pair, stamps, ""
		}
	}
	if c.pair == nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if err != nil && err.Error() != c.logged {
		c.logged = err.Error()
		c.log.Warn("the new certificate cannot be used; keeping the old one", "file", c.certFile, "error", err)
	}
	return c.pair, nil
}

func modTimes(certFile, keyFile string) (times [2]time.Time, err error) {
	for i, f := range []string{certFile, keyFile} {
		st, err := os.Stat(f)
		if err != nil {
			return times, err
		}
		times[i] = st.ModTime()
	}
	return times, nil
}
