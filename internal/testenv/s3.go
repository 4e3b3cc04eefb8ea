package testenv

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/internal/testenv/launch"
)

// S3Bucket is a bucket that belongs to one test, at an endpoint that takes
// path-style requests.
type S3Bucket struct {
	Endpoint  string // http://host:port
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string
}

const defaultRegion = "us-east-1"

// S3 creates a bucket at the shared S3 endpoint. It is deleted, with what is in
// it, when the test ends.
func S3(t testing.TB) S3Bucket {
	t.Helper()
	b, err := parseS3(address(t, launch.EnvS3, "S3"))
	if err != nil {
		t.Fatal(err)
	}
	b.Bucket = "sluice-test-" + strings.ToLower(rand.Text())
	client := b.Client()
	if _, err := client.CreateBucket(t.Context(), b.create()); err != nil {
		t.Fatalf("create bucket %s at %s: %v", b.Bucket, b.Endpoint, err)
	}
	t.Cleanup(func() {
		if err := b.remove(context.Background(), client); err != nil {
			t.Logf("bucket %s is left behind: %v", b.Bucket, err)
		}
	})
	return b
}

// Client returns an S3 client for the bucket's endpoint. It leaves no idle
// connection behind that a test for leaks would find.
func (b S3Bucket) Client() *s3.Client {
	noKeepAlive := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.DisableKeepAlives = true
	})
	return s3.New(s3.Options{
		HTTPClient:   noKeepAlive,
		BaseEndpoint: aws.String(b.Endpoint),
		Region:       b.Region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(b.AccessKey, b.SecretKey, ""),
	})
}

// parseS3 reads the value of EnvS3.
func parseS3(value string) (S3Bucket, error) {
	const form = "http://key:secret@host:port?region=us-east-1"
	u, err := url.Parse(value)
	if err != nil {
		// The error of url.Parse would quote the value, and with it the secret.
		return S3Bucket{}, fmt.Errorf("%s is not a URL of the form %s", launch.EnvS3, form)
	}
	secret, ok := u.User.Password()
	if !ok || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return S3Bucket{}, fmt.Errorf("%s is not a URL of the form %s", launch.EnvS3, form)
	}
	region := u.Query().Get("region")
	if region == "" {
		region = defaultRegion
	}
	return S3Bucket{
		Endpoint: u.Scheme + "://" + u.Host, Region: region,
		AccessKey: u.User.Username(), SecretKey: secret,
	}, nil
}

// create is the request for the bucket. us-east-1 is the one region that S3
// refuses as a location constraint.
func (b S3Bucket) create() *s3.CreateBucketInput {
	in := &s3.CreateBucketInput{Bucket: aws.String(b.Bucket)}
	if b.Region != defaultRegion {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(b.Region),
		}
	}
	return in
}

func (b S3Bucket) remove(ctx context.Context, client *s3.Client) error {
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(b.Bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list bucket %s: %w", b.Bucket, err)
		}
		for _, object := range page.Contents {
			_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(b.Bucket), Key: object.Key})
			if err != nil {
				return fmt.Errorf("delete %s: %w", aws.ToString(object.Key), err)
			}
		}
	}
	if _, err := client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(b.Bucket)}); err != nil {
		return fmt.Errorf("delete bucket %s: %w", b.Bucket, err)
	}
	return nil
}
