// Package s3store is an archive's store in a bucket of S3, or of anything that speaks S3 and knows conditional writes.
//
// Rights that it needs, on the bucket: s3:ListBucket; on the bucket's keys below the prefix: s3:PutObject, s3:GetObject
// (also for what S3 calls HEAD). Only what deletes (retention) needs s3:DeleteObject. With server-side encryption by a
// KMS key: kms:GenerateDataKey and kms:Decrypt on that key. Without s3:ListBucket S3 answers 403 where it means 404.
package s3store

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/internal/pipeline"
)

// Options say where the bucket is and how objects are stored there.
type Options struct {
	Bucket    string
	Endpoint  string // empty: AWS
	PathStyle bool
	Region    string // empty: as the AWS default chain finds it
	AccessKey string // empty: as the AWS default chain finds it
	SecretKey string

	StorageClass string // empty: the bucket's
	KMSKeyID     string // empty: the bucket's encryption
}

// attempts of the SDK itself: one repetition mends a broken connection, all others are the pipeline's.
const attempts = 2

// fallbackRegion is signed with where an endpoint is given and no region: most that are not AWS do not look at it.
const fallbackRegion = "us-east-1"

// Store keeps each object under its key, with the hash of its rows in the object's metadata.
type Store struct {
	o      Options
	client *s3.Client
	http   aws.HTTPClient
}

// New makes a Store. It reads the AWS configuration of the machine, but does not speak to the bucket.
func New(ctx context.Context, o Options) (*Store, error) {
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(so *retry.StandardOptions) {
				so.MaxAttempts = attempts
				so.MaxBackoff = time.Second
			})
		}),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, "")))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if c.Region == "" && o.Endpoint != "" {
		c.Region = fallbackRegion
	}
	if b, ok := c.HTTPClient.(*awshttp.BuildableClient); ok {
		c.HTTPClient = b.Freeze() // one set of connections, with the machine's CA bundle, that Close can close
	}
	client := s3.NewFromConfig(c, func(so *s3.Options) {
		so.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			so.BaseEndpoint = aws.String(o.Endpoint)
			// trailing checksums are AWS's own; signatures protect the body elsewhere
			so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	})
	return &Store{o: o, client: client, http: c.HTTPClient}, nil
}

// Close closes idle connections.
func (s *Store) Close() {
	if c, ok := s.http.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Check tells whether the bucket can be reached and listed. It writes nothing.
func (s *Store) Check(ctx context.Context, prefix string) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.o.Bucket})
	if err == nil {
		return nil
	}
	// HEAD has no body, so its errors have no reason; and some policies allow the list only below a prefix.
	_, err = s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.o.Bucket, Prefix: aws.String(prefix), MaxKeys: aws.Int32(1),
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("look into bucket %s: %w", s.o.Bucket, plain(err))
	if status(err) == http.StatusNotFound { // no such bucket, or in some stores no such user
		return pipeline.Fatal(err)
	}
	return classify(err)
}

func (s *Store) put(key, sha string) *s3.PutObjectInput {
	in := &s3.PutObjectInput{
		Bucket: &s.o.Bucket, Key: &key, IfNoneMatch: aws.String("*"), Metadata: map[string]string{hashKey: sha},
		StorageClass: types.StorageClass(s.o.StorageClass),
	}
	if s.o.KMSKeyID != "" {
		in.ServerSideEncryption = types.ServerSideEncryptionAwsKms
		in.SSEKMSKeyId = &s.o.KMSKeyID
	}
	return in
}
