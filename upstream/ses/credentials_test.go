package ses

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
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
		{"ECS with a token file", func(t *testing.T, url string) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url+"/eks")
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", writeFile(t, "pod-token\n"))
		}},
		{"role of another profile", func(t *testing.T, url string) {
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", writeFile(t, shared))
			t.Setenv("AWS_CONFIG_FILE", writeFile(t, "[default]\nrole_arn = arn:aws:iam::1:role/mail\nsource_profile = ops\nexternal_id = x1\nduration_seconds = 1000\n"))
			t.Setenv("AWS_ENDPOINT_URL_STS", url+"/sts")
		}},
		{"role of the container", func(t *testing.T, url string) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url+"/base")
			t.Setenv("AWS_CONFIG_FILE", writeFile(t, "[default]\nrole_arn = arn:aws:iam::1:role/mail\ncredential_source = EcsContainer\nexternal_id = x1\n"))
			t.Setenv("AWS_ENDPOINT_URL_STS", url+"/sts")
		}},
		{"web identity of a profile", func(t *testing.T, url string) {
			t.Setenv("AWS_CONFIG_FILE", writeFile(t, "[default]\nrole_arn = arn:aws:iam::1:role/mail\nweb_identity_token_file = "+writeFile(t, "the-jwt")+"\n"))
			t.Setenv("AWS_ENDPOINT_URL_STS", url+"/sts")
		}},
		{"process", func(t *testing.T, _ string) {
			answer := `{"Version":1,"AccessKeyId":"` + fakes.SESKeyID + `","SecretAccessKey":"` + secret + `","SessionToken":"` + token + `"}`
			t.Setenv("AWS_CONFIG_FILE", writeFile(t, "[default]\ncredential_process = cat "+writeFile(t, answer)+"\n"))
		}},
	} {
		t.Run(place.name, func(t *testing.T) {
			if place.name == "process" && runtime.GOOS == "windows" {
				t.Skip("there is no cat")
			}
			nothingSet(t)
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

// nothingSet takes away what this machine knows of AWS.
func nothingSet(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_CONFIG_FILE", none)
}

// TestChainRefuses: what can give no credentials is refused when the config is read, with the reason.
func TestChainRefuses(t *testing.T) {
	for _, row := range []struct {
		name, profile, config, words string
		env                          [2]string
	}{
		{"no such profile", "mail", "", "mail", [2]string{}},
		{"no such profile by environment", "", "", "mail", [2]string{"AWS_PROFILE", "mail"}},
		{"people", "", "[default]\nsso_start_url = https://x.example/\nsso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = r\n", "credential_process", [2]string{}},
		{"a second factor", "", "[default]\nrole_arn = arn:aws:iam::1:role/r\ncredential_source = Environment\nmfa_serial = s\n", "second factor", [2]string{}},
		{"a source that is missing", "", "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = none\n", "source_profile = none of the profile default leads nowhere", [2]string{}},
		{"sources in a circle", "a", "[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a\n", "source_profile = a of the profile b leads nowhere", [2]string{}},
		{"no duration", "", "[default]\nrole_arn = r\ncredential_source = Environment\nduration_seconds = 1h\n", "duration_seconds = 1h of the profile default", [2]string{}},
		{"a folder", "", "", "read ", [2]string{"AWS_SHARED_CREDENTIALS_FILE", os.TempDir()}},
		{"no container", "", "[default]\nrole_arn = arn:aws:iam::1:role/r\ncredential_source = EcsContainer\n", "this machine does not have it", [2]string{}},
		{"an endpoint in clear", "", "", "nor one of this machine", [2]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://credentials.example/"}},
		{"no endpoint", "", "", "nor one of this machine", [2]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "ftp://127.0.0.1/"}},
		{"a web identity without a role", "", "", "AWS_ROLE_ARN", [2]string{"AWS_WEB_IDENTITY_TOKEN_FILE", "/token"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			nothingSet(t)
			t.Setenv("AWS_CONFIG_FILE", writeFile(t, row.config))
			if row.env[0] != "" {
				t.Setenv(row.env[0], row.env[1])
			}
			s := &settings{Region: "eu-west-1", Profile: row.profile}
			_, _, err := s.signer()
			if ke, ok := errors.AsType[*upstream.KeyError](err); !ok || ke.Key != "profile" || !strings.Contains(ke.Problem, row.words) {
				t.Errorf("%v, want %s", err, row.words)
			}
		})
	}
	for _, source := range []string{"Environment", "Ec2InstanceMetadata"} {
		if p, err := (chain{shared: &shared{}}).named(source); p == nil || err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	for _, endpoint := range []string{"https://credentials.example/", "http://localhost:1/", "http://127.0.0.1/", "http://169.254.170.2/v2", "http://169.254.170.23/v1", "http://[fd00:ec2::23]/v1"} {
		if err := checkContainer(endpoint); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// TestRegionOfTheChain: ours, then that of the environment, then that of the profile.
func TestRegionOfTheChain(t *testing.T) {
	nothingSet(t)
	t.Setenv("AWS_CONFIG_FILE", writeFile(t, "[default]\nregion = eu-west-1\n[profile mail]\nregion = eu-west-2\n"))
	for _, row := range []struct{ profile, region, env, want string }{
		{"", "", "", "eu-west-1"}, {"mail", "", "", "eu-west-2"}, {"mail", "", "eu-west-3", "eu-west-3"}, {"mail", "us-east-1", "eu-west-3", "us-east-1"},
	} {
		t.Setenv("AWS_REGION", row.env)
		s := &settings{Region: row.region, Profile: row.profile}
		if _, region, err := s.signer(); err != nil || region != row.want {
			t.Errorf("%+v: %s, %v", row, region, err)
		}
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
	case "/ecs", "/eks":
		if r.URL.Path == "/eks" && r.Header.Get("Authorization") != "pod-token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		s.asked.Add(1)
		_ = json.NewEncoder(w).Encode(keys)
	case "/base": // keys that may do nothing but take a role
		keys["AccessKeyId"] = "AKIDBASE"
		_ = json.NewEncoder(w).Encode(keys)
	case "/sts/", "/sts":
		_ = r.ParseForm()
		action := r.PostForm.Get("Action")
		mine := action == "AssumeRole" && strings.Contains(r.Header.Get("Authorization"), "Credential=AKID") && r.PostForm.Get("ExternalId") == "x1"
		if !mine && r.PostForm.Get("WebIdentityToken") != "the-jwt" || r.PostForm.Get("RoleArn") != "arn:aws:iam::1:role/mail" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		s.asked.Add(1)
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(`<` + action + `Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><` + action + `Result><Credentials><AccessKeyId>` +
			fakes.SESKeyID + `</AccessKeyId><SecretAccessKey>` + s.secret + `</SecretAccessKey><SessionToken>` + s.token + `</SessionToken><Expiration>` + end +
			`</Expiration></Credentials></` + action + `Result></` + action + `Response>`))
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
