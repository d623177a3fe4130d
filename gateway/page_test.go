package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/test/freeport"
)

// asks returns the status and the body of an answer; the status is 0 when there is none.
func asks(t *testing.T, client *http.Client, url, authorization string) (status int, body string) {
	t.Helper()
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestAdminAddress: [admin] follows a reload from nothing to an address with TLS and one of health alone, and to others who may connect.
func TestAdminAddress(t *testing.T) {
	h := newHouse(t, holding)
	h.mustSend("app@example.com", []string{"ann@example.org"}, "Subject: secret\n\ntext\n")
	if _, err := h.g.PageLink("root"); err == nil || !strings.Contains(err.Error(), "page") {
		t.Errorf("a link without an address: %v", err)
	}
	metrics, token := freeport.Addr(t), "0123456789abcdef"
	h.adminAddr = freeport.Addr(t)
	h.adminKeys = fmt.Sprintf("token = %q\ntls = \"implicit\"\nself_signed = true\nmetrics = %q\n", token, metrics)
	reload := func() {
		t.Helper()
		h.write(holding)
		if err := h.g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reload()
	text, err := os.ReadFile(filepath.Join(h.cfg.StateDir, "self-signed.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	_, port, _ := strings.Cut(h.adminAddr, ":")
	for _, tc := range []struct {
		url, authorization string
		status             int
		shows              string
	}{
		{"https://" + h.adminAddr + "/healthz", "", 200, "ok"},
		{"https://localhost:" + port + "/api/v1/queue", "Bearer " + token, 200, "ann@example.org"},
		{"https://" + h.adminAddr + "/api/v1/queue", "", 401, "token"},
		{"http://" + h.adminAddr + "/healthz", "", 400, "HTTPS"},
		{"http://" + metrics + "/healthz", "", 200, "ok"},
		{"http://" + metrics + "/readyz", "", 200, "ok"},
		{"http://" + metrics + "/metrics", "", 200, `mailhatch_queue_parts{state="held"} 1`},
		{"http://" + metrics + "/api/v1/queue", "Bearer " + token, 404, "there is no"},
		{"http://" + metrics + "/", "", 404, "there is no"},
		{"http://" + metrics + "/login", "", 404, "there is no"},
	} {
		if status, body := asks(t, client, tc.url, tc.authorization); status != tc.status || !strings.Contains(body, tc.shows) {
			t.Errorf("%s: %d %s", tc.url, status, body)
		}
	}
	// Its name is that of the certificate; any other was made to point here.
	for host, want := range map[string]int{"gw.example.com:" + port: 200, "evil.example:" + port: 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+h.adminAddr+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", host, resp.Status)
		}
	}
	link, err := h.g.PageLink("root")
	if err != nil || !strings.HasPrefix(link.URL, "https://"+h.adminAddr+"/login?token=") {
		t.Fatal(link, err)
	}
	if client.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	if status, body := asks(t, client, link.URL, ""); status != 200 || !strings.Contains(body, "Overview") {
		t.Errorf("the page: %d %s", status, body)
	}
	if status, body := asks(t, client, "https://"+h.adminAddr+"/api/v1/queue", ""); status != 200 || !strings.Contains(body, "ann@example.org") {
		t.Errorf("the API with the cookie: %d %s", status, body)
	}
	client.CloseIdleConnections()
	h.adminKeys += "allow = [\"192.0.2.0/24\"]\n"
	reload()
	h.await("the end of the server before, which may take one more client", func() bool {
		status, _ := asks(t, client, "https://"+h.adminAddr+"/healthz", "")
		return status == 0
	})
	if status, _ := asks(t, client, "http://"+metrics+"/healthz", ""); status != 200 {
		t.Errorf("health has no allow: %d", status)
	}
	// An address that is not there has no page yet.
	h.adminAddr = "192.0.2.7:8025"
	reload()
	if _, err := h.g.PageLink("root"); err == nil || !strings.Contains(err.Error(), "could not be opened") {
		t.Errorf("a link to an address that is not there: %v", err)
	}
	h.await("the log", func() bool { return strings.Contains(h.log.String(), "stage=admin-client") })
}
