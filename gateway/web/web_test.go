package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// serve runs a server: stop ends it, and ended has what Serve returned.
func serve(t *testing.T, srv *http.Server) (address string, stop func(), ended <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv.ErrorLog = log.New(io.Discard, "", 0)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, srv, l) }()
	return l.Addr().String(), cancel, done
}

func ask(c *http.Client, url string) (string, error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// TestServe: a server answers with TLS and without, and requests that run when it is to end get their answer.
func TestServe(t *testing.T) {
	lender := httptest.NewTLSServer(http.NotFoundHandler())
	defer lender.Close()
	for scheme, config := range map[string]*tls.Config{"http": nil, "https": {Certificates: lender.TLS.Certificates}} {
		t.Run(scheme, func(t *testing.T) {
			entered, goOn := make(chan struct{}), make(chan struct{})
			address, stop, ended := serve(t, &http.Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(entered)
				<-goOn
				io.WriteString(w, "yes")
			})})
			answer := make(chan string, 1)
			go func() {
				defer lender.Client().CloseIdleConnections()
				text, err := ask(lender.Client(), scheme+"://"+address)
				if err != nil {
					t.Error(err)
				}
				answer <- text
			}()
			<-entered
			stop()
			close(goOn)
			if got := <-answer; got != "yes" {
				t.Errorf("the answer is %q", got)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if c, err := net.Dial("tcp", address); err == nil {
				c.Close()
				t.Error("somebody listens still")
			}
		})
	}
}

// TestServeCutsOff: a request that goes on for too long does not keep the program from ending.
func TestServeCutsOff(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	address, stop, ended := serve(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})})
	failed := make(chan error, 1)
	go func() {
		_, err := ask(http.DefaultClient, "http://"+address)
		failed <- err
	}()
	<-entered
	began := time.Now()
	stop()
	if err := <-ended; err != nil || time.Since(began) < stopTimeout {
		t.Errorf("ended after %v: %v", time.Since(began), err)
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), &http.Server{}, l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
