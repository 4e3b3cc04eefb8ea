package awscreds

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bare is a configuration of a machine that has nothing of AWS.
func bare(t *testing.T) aws.Config {
	t.Helper()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
	c, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMachineWithoutAWS asks the SDK itself, whose words may change.
func TestMachineWithoutAWS(t *testing.T) {
	c := bare(t)
	_, err := c.Credentials.Retrieve(t.Context())
	if err == nil {
		t.Fatal("there are credentials")
	}
	if got := Explain(err, "access_key", "secret_key"); !strings.Contains(got.Error(), "give the machine") || !strings.Contains(got.Error(), "set access_key and secret_key here") ||
		!errors.Is(got, err) {
		t.Errorf("%v\nbecomes %v", err, got)
	}
	somewhere := c.Copy()
	somewhere.Credentials = credentials.NewStaticCredentialsProvider("a", "b", "")
	if _, err = s3.NewFromConfig(somewhere).HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("b")}); err == nil {
		t.Fatal("a bucket was found")
	}
	if got := Explain(err).Error(); !strings.Contains(got, "AWS_REGION") {
		t.Errorf("%v\nbecomes %v", err, got)
	}
	c.Region = "eu-west-1"
	if _, err = s3.NewFromConfig(c).HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("b")}); err == nil {
		t.Fatal("a bucket was found")
	}
	if got := Explain(err).Error(); !strings.Contains(got, "AWS_PROFILE") || strings.Contains(got, "ec2imds: GetMetadata") {
		t.Errorf("%v\nbecomes %v", err, got)
	}
}

func TestOtherErrorsStay(t *testing.T) {
	for _, err := range []error{nil, context.DeadlineExceeded, errors.New("AccessDenied: no")} {
		if got := Explain(err); !errors.Is(got, err) || err != nil && got.Error() != err.Error() {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}
