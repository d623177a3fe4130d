package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// TestEchoedKey: an answer that repeats the key, wherever it is cut later, shows nothing of it.
func TestEchoedKey(t *testing.T) {
	key := upstreamtest.EchoedSecret
	echoes := []string{key, base64.StdEncoding.EncodeToString([]byte("api:" + key)), url.QueryEscape(key), strings.ReplaceAll(key, "-", `\u002d`)}
	for _, kind := range apiKinds {
		fake := kind.fake()
		t.Cleanup(fake.Close)
		up := mustOpen(t, kind.name, kind.with(key)+"base_url = '"+fake.URL+"'\n")
		check := func(body string) {
			fake.Script(upstreamtest.Fault{Status: 500, Body: body, Header: http.Header{"X-Message-Id": {key}}})
			e := asError(t, up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))[0].Err)
			upstreamtest.CheckRedacted(t, e.Error())
		}
		for _, echo := range echoes {
			for n := 300; n <= 400; n += 3 { // across the limit of words
				check(strings.Repeat("x", n) + " " + echo)
				check(fmt.Sprintf(`{"name":"x","message":"%s %s","errors":[{"message":"%[1]s %[2]s"}]}`, strings.Repeat("x", n), echo))
			}
			check("<title>" + strings.Repeat("x", 60) + echo + "</title>")
			check(strings.Repeat(" ", 1<<20-10) + echo) // across the limit of the answer
		}
		fake.Script(upstreamtest.Fault{Status: 202, Header: http.Header{"X-Message-Id": {key}}, Body: `{"id":"` + key + `","message":"Queued. Thank you."}`})
		for _, o := range up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org")) {
			upstreamtest.CheckRedacted(t, o.ID)
		}
	}
}

// TestProxyPassword: the credentials of a proxy are in no error.
func TestProxyPassword(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://user:"+upstreamtest.EchoedSecret+"@127.0.0.1:bad port")
	up := mustOpen(t, "resend", "api_key = 'k'\nbase_url = 'https://api.example.net'\n")
	e := asError(t, up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))[0].Err)
	upstreamtest.CheckRedacted(t, e.Error())
	if e.Class != upstream.Temporary {
		t.Errorf("%+v", e)
	}
}
