package ses

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// chain is the usual AWS chain, https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html, but for
// logins of people (IAM Identity Center). config.LoadDefaultConfig has these too; with them, an eighth of the program
// would be what no service uses.
type chain struct {
	env    config.EnvConfig
	shared config.SharedConfig
	aws    aws.Config // for the clients that ask for credentials
}

// chained returns the credentials of the chain, and the region that it knows. profile and region are those of our config.
func chained(ctx context.Context, profile, region string) (aws.CredentialsProvider, string, error) {
	env, err := config.NewEnvConfig()
	if err != nil {
		return nil, region, err
	}
	name := cmp.Or(profile, env.SharedConfigProfile)
	shared, err := config.LoadSharedConfigProfile(ctx, cmp.Or(name, config.DefaultSharedConfigProfile), func(o *config.LoadSharedConfigOptions) {
		if env.SharedCredentialsFile != "" {
			o.CredentialsFiles = []string{env.SharedCredentialsFile}
		}
		if env.SharedConfigFile != "" {
			o.ConfigFiles = []string{env.SharedConfigFile}
		}
	})
	if missing := (config.SharedConfigProfileNotExistError{}); errors.As(err, &missing) && name == "" {
		err = nil
	}
	if err != nil {
		return nil, region, err
	}
	region = cmp.Or(region, env.Region, shared.Region)
	c := chain{env: env, shared: shared, aws: aws.Config{Region: region, ConfigSources: []any{env, shared}}}
	var p aws.CredentialsProvider
	switch {
	case profile == "" && env.Credentials.HasKeys():
		p = credentials.StaticCredentialsProvider{Value: env.Credentials}
	case profile == "" && env.WebIdentityTokenFilePath != "":
		p, err = c.webIdentity(env.WebIdentityTokenFilePath, env.RoleARN, env.RoleSessionName)
	default:
		p, err = c.ofProfile(&shared)
	}
	if err != nil {
		return nil, region, err
	}
	return aws.NewCredentialsCache(p, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = early }), region, nil
}

// early is how long before their end credentials are replaced.
const early = time.Minute

// ofProfile returns the credentials that a profile names, those of the machine where it names none.
func (c chain) ofProfile(s *config.SharedConfig) (p aws.CredentialsProvider, err error) {
	switch {
	case s.Source != nil:
		p, err = c.ofProfile(s.Source)
	case s.Credentials.HasKeys():
		p = credentials.StaticCredentialsProvider{Value: s.Credentials}
	case s.CredentialSource != "":
		p, err = c.named(s.CredentialSource)
	case s.WebIdentityTokenFile != "":
		return c.webIdentity(s.WebIdentityTokenFile, s.RoleARN, s.RoleSessionName)
	case s.SSOSessionName != "" || s.SSOStartURL != "" || s.LoginSession != "":
		return nil, fmt.Errorf("the profile %s is for people who log in; a service needs keys, a role, or credential_process = aws configure export-credentials", s.Profile)
	case s.CredentialProcess != "":
		p = processcreds.NewProvider(s.CredentialProcess)
	default:
		p, err = c.ofMachine()
	}
	if err != nil || s.RoleARN == "" {
		return p, err
	}
	if s.MFASerial != "" {
		return nil, fmt.Errorf("the role of profile %s asks for a second factor, which a service has not", s.Profile)
	}
	as := c.role(s.RoleARN, s.RoleSessionName)
	as.base, as.externalID, as.duration = aws.NewCredentialsCache(p), s.ExternalID, assumeDuration
	if s.RoleDurationSeconds != nil {
		as.duration = *s.RoleDurationSeconds
	}
	return as, nil
}

// role returns the provider of a role's keys.
func (c chain) role(arn, session string) *role {
	return &role{endpoint: c.stsEndpoint(), region: c.aws.Region, arn: arn, session: session}
}

// named returns the credentials of a credential_source.
func (c chain) named(source string) (aws.CredentialsProvider, error) {
	switch {
	case source == "Environment":
		return credentials.StaticCredentialsProvider{Value: c.env.Credentials}, nil
	case source == "Ec2InstanceMetadata":
		return c.instance(), nil
	case source == "EcsContainer" && (c.env.ContainerCredentialsRelativePath != "" || c.env.ContainerCredentialsEndpoint != ""):
		return c.ofMachine()
	}
	return nil, fmt.Errorf("credential_source %q is none, or this machine does not have it", source)
}

// ofMachine returns the credentials of the container, or those of the EC2 instance (IMDSv2).
func (c chain) ofMachine() (aws.CredentialsProvider, error) {
	endpoint := c.env.ContainerCredentialsEndpoint
	switch {
	case c.env.ContainerCredentialsRelativePath != "":
		endpoint = "http://169.254.170.2" + c.env.ContainerCredentialsRelativePath
	case endpoint == "":
		return c.instance(), nil
	default:
		if err := checkContainer(endpoint); err != nil {
			return nil, err
		}
	}
	return endpointcreds.New(endpoint, func(o *endpointcreds.Options) {
		o.AuthorizationToken = c.env.ContainerAuthorizationToken
		if path := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); path != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				b, err := os.ReadFile(path) // it is replaced from time to time
				return strings.TrimSpace(string(b)), err
			})
		}
	}), nil
}

func (c chain) instance() aws.CredentialsProvider {
	return ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = imds.NewFromConfig(c.aws) })
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
	return errors.New("AWS_CONTAINER_CREDENTIALS_FULL_URI is no https:// address, nor one of this machine, ECS or EKS")
}
