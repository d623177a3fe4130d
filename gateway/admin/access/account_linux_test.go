package access

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestAccount: the account behind a connection is found, however it came.
func TestAccount(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		t.Run(address, func(t *testing.T) {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Skip("the machine has no such address: ", err)
			}
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, account(r)) }))
			srv.Listener.Close()
			srv.Listener = l
			srv.Start()
			defer srv.Close()
			resp, err := srv.Client().Get("http://" + strings.Replace(l.Addr().String(), "[::]", "127.0.0.1", 1))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := text(t, resp); got != strconv.Itoa(os.Getuid()) {
				t.Errorf("%q, want %d", got, os.Getuid())
			}
		})
	}
	if got := account(httptest.NewRequest("GET", "/", nil)); got != "" {
		t.Errorf("from elsewhere: %q", got)
	}
	if ownerOf("/proc/net/none", "") != "" {
		t.Error("a table that is not there")
	}
}

func TestInTable(t *testing.T) {
	for in, want := range map[string]string{"127.0.0.1:8025": ":1F59", "[::1]:22": ":0016", "[::ffff:127.0.0.1]:1": ":0001"} {
		short := inTable(netip.MustParseAddrPort(in), false)
		if long := inTable(netip.MustParseAddrPort(in), true); len(long) != 32+5 || !strings.HasSuffix(long, want) || !strings.HasSuffix(short, want) {
			t.Errorf("%s: %s and %s", in, short, long)
		}
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

// TestStolenCookie: a cookie that was given to one account is no good to another.
func TestStolenCookie(t *testing.T) {
	stolen := 0
	c := New(Config{Stolen: func(string) { stolen++ }})
	srv := httptest.NewServer(server(c))
	defer srv.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	defer client.CloseIdleConnections()
	get := func(path string) int {
		t.Helper()
		resp, err := client.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := get(c.Link("root")); status != http.StatusOK {
		t.Fatal(status)
	}
	for _, s := range c.book.sessions {
		if s.account != strconv.Itoa(os.Getuid()) {
			t.Errorf("the session is %q's", s.account)
		}
		s.account = "65534"
	}
	claim := mustRequest(t, srv.URL)
	claim.Header.Set(accountField, "65534")
	if resp, err := client.Do(claim); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("one who says whose it is: %v %v", resp, err)
	}
	if status := get("/"); status != http.StatusForbidden || stolen == 0 {
		t.Errorf("in another account: %d, on record %d times", status, stolen)
	}
	if len(c.book.sessions) != 1 {
		t.Error("the session of its owner is gone")
	}
}
