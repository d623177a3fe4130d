package ses

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

// TestSignature is a vector of AWS's test suite (get-vanilla),
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html (aws-sig-v4-test-suite).
func TestSignature(t *testing.T) {
	s := &settings{Region: "us-east-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: upstream.NewSecret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")}
	signer, region, err := s.signer()
	if err != nil || region != "us-east-1" {
		t.Fatal(region, err)
	}
	signer.service, signer.now = "service", func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }
	for _, row := range []struct{ method, url, signature string }{
		{"GET", "https://example.amazonaws.com/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"POST", "https://example.amazonaws.com/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	} {
		r, err := http.NewRequest(row.method, row.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e := signer.Authorize(t.Context(), r, nil); e != nil {
			t.Fatal(e)
		}
		if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+row.signature) {
			t.Errorf("%s: %s", row.method, got)
		}
	}
	if s := signer.Secrets(); s[0] != "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" {
		t.Error("the secret would not be redacted")
	}
}

// where is one of the places that credentials come from.
type where struct {
	name string
	set  func(t *testing.T, url string)
}

// TestRoles sends with credentials of the environment, the shared config, IMDSv2, ECS and a web identity.
func TestRoles(t *testing.T) {
	const secret, token = "role-secret-0123456789", "role-session-token"
	shared := "[ops]\naws_access_key_id = " + fakes.SESKeyID + "\naws_secret_access_key = " + secret + "\naws_session_token = " + token + "\n"
	for _, place := range []where{
		{"environment", func(t *testing.T, _ string) {
			t.Setenv("AWS_ACCESS_KEY_ID", fakes.SESKeyID)
			t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
			t.Setenv("AWS_SESSION_TOKEN", token)
		}},
		{"profile", func(t *testing.T, _ string) {
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", writeFile(t, shared))
			t.Setenv("AWS_PROFILE", "ops")
		}},
		{"IMDSv2", func(t *testing.T, url string) { t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url) }},
		{"ECS", func(t *testing.T, url string) { t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url+"/ecs") }},
		{"web identity", func(t *testing.T, url string) {
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", writeFile(t, "the-jwt"))
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/mail")
			t.Setenv("AWS_ENDPOINT_URL_STS", url+"/sts")
		}},
	} {
		t.Run(place.name, func(t *testing.T) {
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
				"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_EC2_METADATA_SERVICE_ENDPOINT"} {
				t.Setenv(name, "")
			}
			none := filepath.Join(t.TempDir(), "none")
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
			t.Setenv("AWS_CONFIG_FILE", none)
			asked := &atomic.Int32{}
			roles := httptest.NewServer(roleServer{secret, token, asked})
			defer roles.Close()
			place.set(t, roles.URL)
			fake := fakes.NewSES(secret, token)
			defer fake.Close()
			up, err := upstreamtest.Open(Kind(), "region = 'us-east-1'\nbase_url = '"+fake.URL+"'\n")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if out := up.Send(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "ann@example.org")); out[0].Err != nil {
					t.Fatal(out[0].Err)
				}
			}
			if n := asked.Load(); n > 1 {
				t.Errorf("the role was asked for %d times", n)
			}
		})
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// roleServer is IMDSv2, the credentials endpoint of ECS and STS.
type roleServer struct {
	secret, token string
	asked         *atomic.Int32
}

func (s roleServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	keys := map[string]string{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": fakes.SESKeyID, "SecretAccessKey": s.secret, "Token": s.token, "Expiration": end}
	switch r.URL.Path {
	case "/latest/api/token":
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		_, _ = w.Write([]byte("imds-token"))
	case "/latest/meta-data/iam/security-credentials/":
		_, _ = w.Write([]byte("mail"))
	case "/latest/meta-data/iam/security-credentials/mail":
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.asked.Add(1)
		_ = json.NewEncoder(w).Encode(keys)
	case "/ecs":
		s.asked.Add(1)
		_ = json.NewEncoder(w).Encode(keys)
	case "/sts/", "/sts":
		_ = r.ParseForm()
		if r.PostForm.Get("WebIdentityToken") != "the-jwt" || r.PostForm.Get("RoleArn") != "arn:aws:iam::1:role/mail" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		s.asked.Add(1)
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>` +
			fakes.SESKeyID + `</AccessKeyId><SecretAccessKey>` + s.secret + `</SecretAccessKey><SessionToken>` + s.token + `</SessionToken><Expiration>` + end +
			`</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestNoRole waits: the metadata service may be late at a start.
func TestNoRole(t *testing.T) {
	s := &signer{provider: nothing{}}
	r, err := http.NewRequest("GET", "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Authorize(t.Context(), r, nil); e == nil || e.Class != upstream.Account || !strings.Contains(e.Error(), "no AWS credentials") {
		t.Errorf("%v", e)
	}
}

type nothing struct{}

func (nothing) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New("no role here")
}
