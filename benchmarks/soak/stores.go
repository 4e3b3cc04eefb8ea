package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"sluice/internal/testenv/launch"
)

// stores are the sinks' stores, seen past the proxies: what the judge reads. Database, index prefix and bucket are the
// soak's own.
type stores struct {
	uri       string // of MongoDB
	mongoAddr string // host:port
	mongo     *mongo.Database
	search    string // URL
	index     string // prefix of the index names
	endpoint  string // URL of S3
	key       string
	secret    string
	bucket    string
	s3        *s3.Client
}

const (
	s3Region      = "us-east-1"
	archivePrefix = "a/"
)

// required are the servers that the environment must name.
var required = []string{launch.EnvMongo, launch.EnvOpenSearch, launch.EnvS3}

// openStores takes the MongoDB at uri, or that of the environment.
func openStores(ctx context.Context, uri string) (*stores, error) {
	for _, env := range required {
		if os.Getenv(env) == "" {
			return nil, fmt.Errorf("%s is not set: run `make servers` and source what it prints", env)
		}
	}
	s := &stores{search: os.Getenv(launch.EnvOpenSearch), index: unique(), bucket: unique()}
	if uri == "" {
		uri = os.Getenv(launch.EnvMongo)
	}
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(uri))
	if err != nil {
		return nil, err
	}
	s.uri, s.mongo, s.mongoAddr = uri, client.Database(unique()), host(uri)
	u, err := url.Parse(os.Getenv(launch.EnvS3))
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL", launch.EnvS3) // the error would quote the secret
	}
	s.key, s.endpoint = u.User.Username(), u.Scheme+"://"+u.Host
	s.secret, _ = u.User.Password()
	s.s3 = s3.New(s3.Options{BaseEndpoint: aws.String(s.endpoint), Region: s3Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.key, s.secret, "")})
	if _, err := s.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &s.bucket}); err != nil {
		return nil, fmt.Errorf("create bucket %s: %w", s.bucket, err)
	}
	return s, nil
}

// remove deletes what the soak has stored.
func (s *stores) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	errs := []error{s.mongo.Drop(ctx), s.mongo.Client().Disconnect(ctx), s.removeBucket(ctx)}
	for _, path := range []string{"/" + s.index + "-*", "/_index_template/*" + s.index + "*"} {
		_, err := s.ask(ctx, http.MethodDelete, path, "")
		errs = append(errs, err)
	}
	http.DefaultClient.CloseIdleConnections()
	return errors.Join(errs...)
}

func (s *stores) removeBucket(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{Bucket: &s.bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			if _, err := s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: o.Key}); err != nil {
				return err
			}
		}
	}
	_, err := s.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &s.bucket})
	return err
}

// ask sends a request to OpenSearch. What is not there is no error.
func (s *stores) ask(ctx context.Context, method, path, body string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, s.search+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(a.Body)
	if err = errors.Join(err, a.Body.Close()); err == nil && a.StatusCode >= 300 && a.StatusCode != http.StatusNotFound {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, a.Status, b)
	}
	return b, err
}
