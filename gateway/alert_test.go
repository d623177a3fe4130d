package gateway

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/config"
)

// receiver takes the messages of alerts.
func receiver(t *testing.T) (url string, got *lines) {
	t.Helper()
	got = &lines{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			fmt.Fprintf(got, "%s %s\n", r.Method, body)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

// TestAlerts: a refused account is told, and that mail goes again; who receives alerts may change with a reload.
func TestAlerts(t *testing.T) {
	url, got := receiver(t)
	h, fake := resendHouse(t, "")
	reload := func(key string) {
		t.Helper()
		h.write(fmt.Sprintf("[[alert]]\non = [\"upstream_closed\", \"queue_old\", \"failed\", \"disk\", \"expiring\", \"maildrop\", \"internal_error\"]\nafter = \"0s\"\n"+
			"url = %[1]q\n[[alert]]\nevery = \"1s\"\nurl = %[1]q\n[upstream.main]\ntype = \"resend\"\napi_key = %[2]q\nbase_url = %[3]q\n[[route]]\nvia = [\"main\"]\n",
			url, key, fake.URL))
		if err := h.g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reload("wrong")
	h.await("a heartbeat", func() bool { return strings.Contains(got.String(), "GET \n") })
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("the alert", func() bool {
		return strings.Contains(got.String(), `"event":"upstream_closed","status":"firing","subject":"main","text":"upstream main is closed (account): `)
	})
	reload("k")
	h.await("the recovery", func() bool { return strings.Contains(got.String(), `"event":"upstream_closed","status":"resolved"`) })
	if _, err := os.Stat(filepath.Join(h.cfg.StateDir, "alerts.json")); err != nil {
		t.Error(err)
	}
	results, err := h.g.alerts.Test(t.Context(), "1")
	if err != nil || len(results) != 1 || results[0].Answer != "200 OK" {
		t.Errorf("%+v, %v", results, err)
	}
}

// TestUpstreamsBeforeTheStart: an upstream of which nothing is known yet is not taken for one that has gone.
func TestUpstreamsBeforeTheStart(t *testing.T) {
	h, _ := resendHouse(t, "")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	g, err := New(t.Context(), h.cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if list := g.faultyUpstreams(); len(list) != 1 || list[0].Name != "main" || list[0].Closed {
		t.Errorf("%+v", list)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	h.start()
}

// TestListenerCertificate: one that ends soon is told.
func TestListenerCertificate(t *testing.T) {
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(10 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pair.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, fmt.Sprintf("[[listener]]\naddress = \"ADDR\"\ntls = \"starttls\"\ncert_file = %[1]q\nkey_file = %[1]q\n", file)+
		"[upstream.main]\ntype = \"memory\"\n[[route]]\nvia = [\"main\"]\n")
	h.await("the warning", func() bool {
		return strings.Contains(h.log.String(), "msg=expiring listener="+h.addr+" what=certificate")
	})
	if list := h.g.endings(); len(list) != 1 || list[0].Owner != "listener "+h.addr {
		t.Errorf("%+v", list)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if list := certificates(&config.Config{Listeners: h.cfg.Listeners}); list != nil {
		t.Errorf("%+v", list)
	}
}
