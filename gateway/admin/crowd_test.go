package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// TestSlowClients: however many connections ask for nothing, or never come to the end of their request, those who ask
// get their answer; and so does one whose answer takes long.
func TestSlowClients(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	_, address := start(t, Config{Queue: newFake(), Ready: func() []string { close(entered); <-leave; return nil }})
	patient := make(chan int)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(mustRequest(t, "http://"+address+"/readyz"))
		if err != nil {
			t.Error(err)
			patient <- 0
			return
		}
		resp.Body.Close()
		patient <- resp.StatusCode
	}()
	<-entered
	var slow []net.Conn
	for i := range 3 * maxConnections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: local")
		}
		slow = append(slow, conn)
	}
	own := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		resp, err := own.Get("http://" + address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	}
	if _, err := bufio.NewReader(slow[0]).ReadByte(); err == nil {
		t.Error("the slowest is still there")
	}
	close(leave)
	if status := <-patient; status != http.StatusOK {
		t.Errorf("the answer that takes long: %d", status)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
