package ses

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// role gets the keys of a role from the Security Token Service,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html. The library's client of that service is
// a thirtieth of the program; these are the two requests that we need.
type role struct {
	endpoint, region string
	arn, session     string
	duration         time.Duration           // 0: that of the service
	externalID       string                  // "": none
	base             aws.CredentialsProvider // whose keys ask for it; nil: the token does
	tokenFile        string                  // a web identity, which is replaced from time to time
}

const (
	stsVersion     = "2011-06-15"
	stsTimeout     = 10 * time.Second // of one request
	stsAttempts    = 3
	stsPause       = 200 * time.Millisecond // before the second attempt; then twice as long
	stsAnswerBytes = 64 << 10
	assumeDuration = 15 * time.Minute // of an assumed role, where the profile says nothing
)

// Retrieve implements aws.CredentialsProvider. What may pass is tried again.
func (r *role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	pause := stsPause
	for n := 1; ; n++ {
		keys, again, err := r.ask(ctx)
		if err == nil || !again || n == stsAttempts {
			return keys, err
		}
		select {
		case <-ctx.Done():
			return keys, err
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// form returns the parameters of the request. A session is named by the time where the config has no name for it.
func (r *role) form() (url.Values, error) {
	form := url.Values{"Version": {stsVersion}, "RoleArn": {r.arn}, "Action": {"AssumeRole"},
		"RoleSessionName": {cmp.Or(r.session, strconv.FormatInt(time.Now().UnixNano(), 10))}}
	if r.duration > 0 {
		form.Set("DurationSeconds", strconv.Itoa(int(r.duration/time.Second)))
	}
	if r.externalID != "" {
		form.Set("ExternalId", r.externalID)
	}
	if r.base == nil {
		token, err := os.ReadFile(r.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("the web identity: %w", err)
		}
		form.Set("Action", "AssumeRoleWithWebIdentity")
		form.Set("WebIdentityToken", string(token))
	}
	return form, nil
}

// ask makes one request; again is true where another might succeed.
func (r *role) ask(ctx context.Context) (keys aws.Credentials, again bool, err error) {
	form, err := r.form()
	if err != nil {
		return keys, false, err
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint, strings.NewReader(body))
	if err != nil {
		return keys, false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if r.base != nil {
		by, err := r.base.Retrieve(ctx)
		if err != nil {
			return keys, false, err
		}
		hash := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(ctx, by, req, hex.EncodeToString(hash[:]), "sts", r.region, time.Now().UTC()); err != nil {
			return keys, false, err
		}
	}
	resp, err := awshttp.NewBuildableClient().WithTimeout(stsTimeout).Do(req)
	if err != nil {
		return keys, true, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, stsAnswerBytes))
	if err != nil {
		return keys, true, err
	}
	return readKeys(resp.StatusCode, text)
}

// stsAnswer is what either request is answered with.
type stsAnswer struct {
	Role    stsKeys `xml:"AssumeRoleResult>Credentials"`
	Web     stsKeys `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	Code    string  `xml:"Error>Code"`
	Message string  `xml:"Error>Message"`
}

type stsKeys struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

// readKeys reads an answer, https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func readKeys(status int, text []byte) (keys aws.Credentials, again bool, err error) {
	var a stsAnswer
	bad := xml.Unmarshal(text, &a)
	got := a.Role
	if got.AccessKeyID == "" {
		got = a.Web
	}
	switch {
	case status == http.StatusOK && bad == nil && got.AccessKeyID != "" && got.SecretAccessKey != "":
		return aws.Credentials{AccessKeyID: got.AccessKeyID, SecretAccessKey: got.SecretAccessKey, SessionToken: got.SessionToken,
			Source: "STS", CanExpire: true, Expires: got.Expiration}, false, nil
	case a.Code != "":
		err = fmt.Errorf("STS: %d %s: %s", status, a.Code, a.Message)
	default:
		err = fmt.Errorf("STS: status %d with an answer that is not from STS", status)
	}
	switch a.Code {
	case "Throttling", "ThrottlingException", "RequestLimitExceeded", "IDPCommunicationError", "InvalidIdentityToken": // the last while a provider of identities is new
		return keys, true, err
	}
	return keys, status >= http.StatusInternalServerError || status == http.StatusTooManyRequests, err
}

// stsEndpoint returns the address of the service: that of environment or profile, else that of the region,
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
func (c chain) stsEndpoint() string {
	profile := c.shared.profiles[c.name]
	if !c.enabled("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls") {
		own := cmp.Or(environment("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"), c.shared.services[profile["services"]]["sts.endpoint_url"], profile["endpoint_url"])
		if own != "" {
			return own
		}
	}
	region, name, domain, dual := c.region, "sts", "amazonaws.com", "api.aws"
	for _, p := range [][3]string{ // partitions whose domains are others: regions, domain, domain with IPv6
		{"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
		{"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
		{"us-iso-", "c2s.ic.gov", "c2s.ic.gov"},
		{"us-isob-", "sc2s.sgov.gov", "sc2s.sgov.gov"},
		{"us-isof-", "csp.hci.ic.gov", "csp.hci.ic.gov"},
		{"eu-isoe-", "cloud.adc-e.uk", "cloud.adc-e.uk"},
	} {
		if strings.HasPrefix(region, p[0]) {
			domain, dual = p[1], p[2]
		}
	}
	if c.enabled("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint") {
		domain = dual
	}
	fips := c.enabled("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")
	if fips && (!strings.HasPrefix(region, "us-gov-") || domain == dual) { // there the usual one is
		name = "sts-fips"
	}
	return "https://" + name + "." + region + "." + domain
}

// enabled reports whether a setting is true.
func (c chain) enabled(variable, key string) bool {
	return strings.EqualFold(c.setting(variable, key), "true")
}
