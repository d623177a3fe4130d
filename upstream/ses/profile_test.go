package ses

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSharedFiles: what AWS's tools make of such files.
func TestSharedFiles(t *testing.T) {
	const configFile = `region = nowhere
# a comment
[default]
region = eu-west-1 # Ireland
  role_arn = promoted
[ profile  mail ]
Region: eu-west-2
output=json;not a comment
s3 =
  addressing_style = path
  ; another comment

	max_concurrent_requests = 2 ;two
region = eu-west-3
no value
[other]
region = us-east-1
[profile "two words"]
region = ap-south-1
[sso-session x]
region = us-east-1
[services local]
sts =
    endpoint_url = http://127.0.0.1
[profile]
region = us-east-1
`
	const credentialsFile = "[mail]\r\naws_access_key_id = AK\r\naws_secret_access_key = a=b:c#d\r\n[profile mail]\naws_access_key_id = no\n[default]\naws_access_key_id=AD\n"
	nothingSet(t)
	t.Setenv("AWS_CONFIG_FILE", writeFile(t, configFile))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", writeFile(t, credentialsFile))
	got, err := readShared()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]section{
		"default": {"region": "eu-west-1", "role_arn": "promoted", "aws_access_key_id": "AD"},
		"mail": {"region": "eu-west-3", "output": "json;not a comment", "s3": "", "s3.addressing_style": "path", "s3.max_concurrent_requests": "2",
			"aws_access_key_id": "AK", "aws_secret_access_key": "a=b:c#d"},
		"two words": {"region": "ap-south-1"},
	}
	if diff := cmp.Diff(want, got.profiles); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]section{"local": {"sts": "", "sts.endpoint_url": "http://127.0.0.1"}}, got.services); diff != "" {
		t.Error(diff)
	}
}

// TestInstanceSettings: environment and profile decide how the metadata service is asked.
func TestInstanceSettings(t *testing.T) {
	nothingSet(t)
	t.Setenv("AWS_CONFIG_FILE", writeFile(t, "[default]\nec2_metadata_service_endpoint_mode = IPv6\nec2_metadata_v1_disabled = true\n"))
	files, err := readShared()
	if err != nil {
		t.Fatal(err)
	}
	c := chain{files, defaultProfile, "eu-west-1"}
	if c.instance() == nil || !c.enabled("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled") {
		t.Error("the profile is not heard")
	}
}
