package mailgun

import (
	"io"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/api"
)

func TestMailgunFieldNames(t *testing.T) {
	g := &provider{control: true}
	msg, err := mime.Parse(mime.NewBytesSource([]byte("From: a@x.org\r\nX-Mailgun-Variables: {\"a\\\"b\\r\\n\": \"v\"}\r\n\r\nx")))
	if err != nil {
		t.Fatal(err)
	}
	letter, e := g.Compose(&upstream.Mail{ID: "Q", Message: msg, To: []upstream.Recipient{{Address: "a@x.org"}}})
	if e != nil {
		t.Fatal(e)
	}
	req, e := letter(&api.Call{To: []mime.Address{{Addr: "a@x.org"}}})
	if e != nil {
		t.Fatal(e)
	}
	body, err := io.ReadAll(req.Body.Open())
	if err != nil || !strings.Contains(string(body), `name="v:a%22b%0D%0A"`) || int64(len(body)) != req.Body.Size() {
		t.Errorf("%v\n%s", err, body)
	}
}
