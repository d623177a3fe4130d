package smtp

import (
	"fmt"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/mime/mimetest"
	"mailhatch/upstream"
)

// TestManyControlFieldsHostile: to take away fields of many names costs no more than to take away one.
func TestManyControlFieldsHostile(t *testing.T) {
	u, err := (&settings{Host: "127.0.0.1", Port: 1, TLS: tlsNone}).Open(upstream.Env{})
	if err != nil {
		t.Fatal(err)
	}
	mimetest.CheckLinear(t, "control fields", 2000, func(n int) func() {
		var raw strings.Builder
		for i := range n {
			fmt.Fprintf(&raw, "X-MC-%d: b\r\n", i)
		}
		m, err := mime.Parse(mime.NewBytesSource([]byte(raw.String() + "Subject: x\r\n\r\nx\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			edited, err := u.(*relay).editHeader(m, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(edited.HeaderBytes()); got != "Subject: x\r\n" {
				t.Fatalf("%.200q is left", got)
			}
		}
	})
}
