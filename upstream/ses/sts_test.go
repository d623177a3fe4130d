package ses

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestSTSEndpoint: https://docs.aws.amazon.com/general/latest/gr/sts.html
func TestSTSEndpoint(t *testing.T) {
	const services = "[default]\nservices = local\nendpoint_url = http://all\n[services local]\ns3 =\n  endpoint_url = http://s3\nsts =\n  endpoint_url = http://one # ours\n"
	for _, row := range []struct{ region, config, env, want string }{
		{"eu-west-1", "", "", "https://sts.eu-west-1.amazonaws.com"},
		{"cn-north-1", "", "", "https://sts.cn-north-1.amazonaws.com.cn"},
		{"eusc-de-east-1", "", "", "https://sts.eusc-de-east-1.amazonaws.eu"},
		{"us-isob-east-1", "", "", "https://sts.us-isob-east-1.sc2s.sgov.gov"},
		{"us-iso-east-1", "", "", "https://sts.us-iso-east-1.c2s.ic.gov"},
		{"us-east-1", "", "AWS_USE_FIPS_ENDPOINT=true", "https://sts-fips.us-east-1.amazonaws.com"},
		{"us-gov-west-1", "", "AWS_USE_FIPS_ENDPOINT=true", "https://sts.us-gov-west-1.amazonaws.com"},
		{"us-gov-west-1", "[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n", "", "https://sts-fips.us-gov-west-1.api.aws"},
		{"eu-west-1", "[default]\nuse_dualstack_endpoint = true\n", "", "https://sts.eu-west-1.api.aws"},
		{"cn-north-1", "", "AWS_USE_DUALSTACK_ENDPOINT=true", "https://sts.cn-north-1.api.amazonwebservices.com.cn"},
		{"eu-west-1", services, "AWS_ENDPOINT_URL_STS=http://env", "http://env"},
		{"eu-west-1", services, "AWS_ENDPOINT_URL=http://every", "http://every"},
		{"eu-west-1", services, "", "http://one"},
		{"eu-west-1", "[default]\nendpoint_url = http://all\n", "", "http://all"},
		{"eu-west-1", services, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "https://sts.eu-west-1.amazonaws.com"},
	} {
		t.Run(row.region+" "+row.env, func(t *testing.T) {
			nothingSet(t)
			if name, value, ok := strings.Cut(row.env, "="); ok {
				t.Setenv(name, value)
			}
			t.Setenv("AWS_CONFIG_FILE", writeFile(t, row.config))
			files, err := readShared()
			if err != nil {
				t.Fatal(err)
			}
			if got := (chain{files, defaultProfile, row.region}).stsEndpoint(); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

// TestSTSRefuses: what the service says is told, and what may pass is tried again.
func TestSTSRefuses(t *testing.T) {
	refusal := func(code string) string {
		return "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>" + code +
			"</Code><Message>not you</Message></Error><RequestId>1</RequestId></ErrorResponse>"
	}
	const good = `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Audience>a</Audience><Credentials><AccessKeyId>AK</AccessKeyId>` +
		`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2026-12-01T10:00:00Z</Expiration></Credentials>` +
		`</AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>`
	for _, row := range []struct {
		name    string
		answers []string // status and body
		want    string
		asked   int
	}{
		{"refused", []string{"403 " + refusal("AccessDenied")}, "STS: 403 AccessDenied: not you", 1},
		{"busy", []string{"400 " + refusal("Throttling"), "200 " + good}, "", 2},
		{"down", []string{"503 down", "500 " + refusal("InternalFailure"), "502 no"}, "STS: status 502 with an answer that is not from STS", 3},
		{"a portal", []string{"200 <html><body>Log in<br></body></html>"}, "STS: status 200 with an answer that is not from STS", 1},
		{"no keys", []string{"200 " + strings.ReplaceAll(good, ">AK<", "><")}, "STS: status 200", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				status, body, _ := strings.Cut(row.answers[min(asked, len(row.answers)-1)], " ")
				asked++
				var code int
				_, _ = fmt.Sscan(status, &code)
				w.WriteHeader(code)
				_, _ = w.Write([]byte(body))
			}))
			defer server.Close()
			r := &role{endpoint: server.URL, region: "eu-west-1", arn: "arn:aws:iam::1:role/mail", tokenFile: writeFile(t, "jwt")}
			keys, err := r.Retrieve(t.Context())
			switch {
			case asked != row.asked:
				t.Errorf("asked %d times: %v", asked, err)
			case row.want == "" && (err != nil || keys.AccessKeyID != "AK" || keys.SessionToken != "t" || !keys.CanExpire || keys.Expires.Hour() != 10):
				t.Errorf("%+v %v", keys, err)
			case row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want)):
				t.Error(err)
			}
		})
	}
}

// TestSTSBeforeTheRequest: what is missing here is told at once.
func TestSTSBeforeTheRequest(t *testing.T) {
	r := &role{endpoint: "http://127.0.0.1:1", tokenFile: filepath.Join(t.TempDir(), "none")}
	if _, err := r.Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "the web identity: ") {
		t.Error(err)
	}
	r = &role{endpoint: "http://127.0.0.1:1", base: nothing{}}
	if _, err := r.Retrieve(t.Context()); err == nil || err.Error() != "no role here" {
		t.Error(err)
	}
	r = &role{endpoint: "http://127.0.0.1:1\x00", tokenFile: writeFile(t, "jwt")}
	if _, err := r.Retrieve(t.Context()); err == nil {
		t.Error("no error")
	}
}
