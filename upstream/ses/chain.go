package ses

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// chain is the usual AWS chain, https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html, but for
// logins of people (IAM Identity Center).
type chain struct {
	shared *shared
	name   string // of the profile
	region string
}

// chained returns the credentials of the chain, and the region that it knows. profile and region are those of our config.
func chained(profile, region string) (aws.CredentialsProvider, string, error) {
	files, err := readShared()
	if err != nil {
		return nil, region, err
	}
	name := cmp.Or(profile, environment("AWS_PROFILE", "AWS_DEFAULT_PROFILE"))
	if files.profiles[name] == nil && name != "" {
		return nil, region, fmt.Errorf("there is no profile %s", name)
	}
	c := chain{shared: files, name: cmp.Or(name, defaultProfile)}
	c.region = cmp.Or(region, environment("AWS_REGION", "AWS_DEFAULT_REGION"), c.shared.profiles[c.name]["region"])
	var p aws.CredentialsProvider
	keys, token := environmentKeys(), os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	switch {
	case profile == "" && keys.HasKeys():
		p = credentials.StaticCredentialsProvider{Value: keys}
	case profile == "" && token != "":
		p, err = c.webIdentity(token, os.Getenv("AWS_ROLE_ARN"), os.Getenv("AWS_ROLE_SESSION_NAME"))
	default:
		p, err = c.ofProfile(c.name, nil)
	}
	if err != nil {
		return nil, c.region, err
	}
	return aws.NewCredentialsCache(p, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = early }), c.region, nil
}

// early is how long before their end credentials are replaced.
const early = time.Minute

func environmentKeys() aws.Credentials {
	return aws.Credentials{AccessKeyID: environment("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"),
		SecretAccessKey: environment("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Source: "environment"}
}

// setting returns the value of a variable of the environment, else that of the profile.
func (c chain) setting(variable, key string) string {
	return cmp.Or(os.Getenv(variable), c.shared.profiles[c.name][key])
}

// ofProfile returns the credentials that a profile names, those of the machine where it names none. above are the
// profiles that name it as their source.
func (c chain) ofProfile(name string, above []string) (p aws.CredentialsProvider, err error) {
	s := c.shared.profiles[name]
	keys := aws.Credentials{AccessKeyID: s["aws_access_key_id"], SecretAccessKey: s["aws_secret_access_key"],
		SessionToken: s["aws_session_token"], Source: "profile " + name}
	source := s["source_profile"]
	switch {
	case source != "" && source != name:
		if above = append(above, name); slices.Contains(above, source) || c.shared.profiles[source] == nil {
			return nil, fmt.Errorf("source_profile = %s of the profile %s leads nowhere", source, name)
		}
		p, err = c.ofProfile(source, above)
	case keys.HasKeys():
		p = credentials.StaticCredentialsProvider{Value: keys}
	case s["credential_source"] != "":
		p, err = c.named(s["credential_source"])
	case s["web_identity_token_file"] != "":
		return c.webIdentity(s["web_identity_token_file"], s["role_arn"], s["role_session_name"])
	case s["sso_session"] != "" || s["sso_start_url"] != "" || s["login_session"] != "":
		return nil, fmt.Errorf("the profile %s is for people who log in; a service needs keys, a role, or credential_process = aws configure export-credentials", name)
	case s["credential_process"] != "":
		p = processcreds.NewProvider(s["credential_process"])
	default:
		p, err = c.ofMachine()
	}
	if err != nil || s["role_arn"] == "" {
		return p, err
	}
	return c.assume(name, p)
}

// assume returns the provider of the role that a profile names, asked for with the keys of base.
func (c chain) assume(name string, base aws.CredentialsProvider) (aws.CredentialsProvider, error) {
	s := c.shared.profiles[name]
	if s["mfa_serial"] != "" {
		return nil, fmt.Errorf("the role of profile %s asks for a second factor, which a service does not have", name)
	}
	as := c.role(s["role_arn"], s["role_session_name"])
	as.base, as.externalID, as.duration = aws.NewCredentialsCache(base), s["external_id"], assumeDuration
	if d := s["duration_seconds"]; d != "" {
		seconds, err := strconv.Atoi(d)
		if err != nil || seconds <= 0 {
			return nil, fmt.Errorf("duration_seconds = %s of the profile %s is not a number of seconds", d, name)
		}
		as.duration = time.Duration(seconds) * time.Second
	}
	return as, nil
}

// role returns the provider of a role's keys.
func (c chain) role(arn, session string) *role {
	return &role{endpoint: c.stsEndpoint(), region: c.region, arn: arn, session: session}
}

// named returns the credentials of a credential_source.
func (c chain) named(source string) (aws.CredentialsProvider, error) {
	switch {
	case source == "Environment":
		return credentials.StaticCredentialsProvider{Value: environmentKeys()}, nil
	case source == "Ec2InstanceMetadata":
		return c.instance(), nil
	case source == "EcsContainer" && environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return c.ofMachine()
	}
	return nil, fmt.Errorf("credential_source %q is unknown, or this machine does not have it", source)
}

// ofMachine returns the credentials of the container, or those of the EC2 instance (IMDSv2).
func (c chain) ofMachine() (aws.CredentialsProvider, error) {
	endpoint, path := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
	switch {
	case path != "":
		endpoint = "http://169.254.170.2" + path
	case endpoint == "":
		return c.instance(), nil
	default:
		if err := checkContainer(endpoint); err != nil {
			return nil, err
		}
	}
	return endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
		o.AuthorizationToken = os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if path := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				b, err := os.ReadFile(path) // it is replaced from time to time
				return strings.TrimSpace(string(b)), err
			})
		}
	}), nil
}

// instance asks the metadata service of EC2.
func (c chain) instance() aws.CredentialsProvider {
	options := imds.Options{Endpoint: c.setting("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint")}
	if strings.EqualFold(c.setting("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode"), "ipv6") {
		options.EndpointMode = imds.EndpointModeStateIPv6
	}
	if c.enabled("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled") {
		options.EnableFallback = aws.FalseTernary
	}
	return ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = imds.New(options) })
}

func (c chain) webIdentity(file, role, session string) (aws.CredentialsProvider, error) {
	if role == "" {
		return nil, errors.New("a web identity needs a role: AWS_ROLE_ARN, or role_arn of the profile")
	}
	as := c.role(role, session)
	as.tokenFile = file
	return as, nil
}

// checkContainer lets credentials come in clear from this machine, ECS and EKS alone,
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func checkContainer(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err == nil && u.Scheme == "https" && u.Host != "" {
		return nil
	}
	if err == nil && u.Scheme == "http" {
		switch ip := net.ParseIP(u.Hostname()); {
		case u.Hostname() == "localhost", ip.IsLoopback(), ip.Equal(net.IPv4(169, 254, 170, 2)), ip.Equal(net.IPv4(169, 254, 170, 23)), ip.Equal(net.ParseIP("fd00:ec2::23")):
			return nil
		}
	}
	return errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither an https:// address nor one of this machine, ECS or EKS")
}
