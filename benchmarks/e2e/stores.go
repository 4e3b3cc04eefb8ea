package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/internal/testenv/launch"
)

// bucket is one of the S3 endpoint in the environment, removed at the end.
type bucket struct {
	client                      *s3.Client
	endpoint, key, secret, name string
}

const s3Region = "us-east-1"

func newBucket(ctx context.Context, value string) (*bucket, error) {
	u, err := url.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL", launch.EnvS3) // the error would quote the secret
	}
	secret, _ := u.User.Password()
	b := &bucket{endpoint: u.Scheme + "://" + u.Host, key: u.User.Username(), secret: secret, name: unique()}
	b.client = s3.New(s3.Options{
		BaseEndpoint: aws.String(b.endpoint), Region: s3Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(b.key, b.secret, ""),
	})
	if _, err := b.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &b.name}); err != nil {
		return nil, fmt.Errorf("create bucket %s: %w", b.name, err)
	}
	return b, nil
}

// empty deletes every object.
func (b *bucket) empty(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			if _, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: o.Key}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bucket) remove(ctx context.Context) error {
	if err := b.empty(ctx); err != nil {
		return err
	}
	_, err := b.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &b.name})
	return err
}

// run is one configuration of sluice with stores of its own.
type run struct {
	b        *bench
	dir      string
	database string
	index    string
	config   strings.Builder
	missing  []string // servers that are not there
}

// newRun writes a configuration with these sinks: discard, csv-none, csv-zstd, aggregate, raw, search, archive, down.
func (b *bench) newRun(sinks []string, keys ...string) (*run, error) {
	b.runs++
	r := &run{b: b, dir: filepath.Join(b.dir, fmt.Sprint("run", b.runs)), database: unique(), index: unique()}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return nil, err
	}
	fmt.Fprintf(&r.config, "region: bench\nsources: {main: {type: redis, addrs: [%q]}}\n", b.redis.Addr)
	fmt.Fprintf(&r.config, "state: {dir: ./state}\nadmin: {listen: \"127.0.0.1:0\"}\nlog: {level: warn}\n")
	for _, k := range keys {
		r.config.WriteString(k + "\n")
	}
	r.config.WriteString("sinks:\n")
	for _, s := range sinks {
		r.config.WriteString("  " + r.sink(s) + "\n")
	}
	return r, os.WriteFile(filepath.Join(r.dir, "sluice.yaml"), []byte(r.config.String()), 0o600)
}

func (r *run) sink(kind string) string {
	switch kind {
	case "discard":
		return "discard: {type: discard}"
	case "csv-none":
		return "csv-none: {type: csv, dir: ./csv, compression: none, object: {max_age: 1s}}"
	case "csv-zstd":
		return "csv-zstd: {type: csv, dir: ./csv, compression: zstd}"
	case "aggregate":
		return fmt.Sprintf("aggregate: {type: mongo-aggregate, uri: %q, database: %s, track_all_paths: true}", r.mongo(), r.database)
	case "raw":
		return fmt.Sprintf("raw: {type: mongo-raw, uri: %q, database: %s, capped_size: 1GiB}", r.mongo(), r.database)
	case "down":
		return fmt.Sprintf("down: {type: mongo-raw, uri: \"mongodb://127.0.0.1:1/\", database: %s}", r.database)
	case "search":
		if r.b.openSearch == "" {
			r.missing = append(r.missing, "OpenSearch")
		}
		return fmt.Sprintf("search: {type: opensearch, urls: [%q], index: \"%s-{yyyy.MM.dd}\"}", r.b.openSearch, r.index)
	case "archive":
		if r.b.s3 == nil {
			r.missing = append(r.missing, "S3")
			return "archive: {type: discard}"
		}
		return fmt.Sprintf("archive: {type: s3-csv, bucket: %s, prefix: %s/, endpoint: %q, path_style: true, region: %s, access_key: %q, secret_key: %q}",
			r.b.s3.name, r.database, r.b.s3.endpoint, s3Region, r.b.s3.key, r.b.s3.secret)
	}
	return kind + ": {type: unknown}"
}

func (r *run) mongo() string {
	if r.b.mongod == nil {
		r.missing = append(r.missing, "MongoDB")
		return "mongodb://127.0.0.1:1/"
	}
	return launch.MongoURI(r.b.mongod)
}

// drop removes what the run has stored.
func (r *run) drop(ctx context.Context) error {
	errs := []error{os.RemoveAll(r.dir)}
	if r.b.mongo != nil {
		errs = append(errs, r.b.mongo.Database(r.database).Drop(ctx))
	}
	if r.b.s3 != nil {
		errs = append(errs, r.b.s3.empty(ctx))
	}
	if strings.Contains(r.config.String(), "type: opensearch") {
		for _, path := range []string{"/" + r.index + "-*", "/_index_template/*" + r.index + "*"} {
			errs = append(errs, remove(ctx, r.b.openSearch+path))
		}
	}
	return errors.Join(errs...)
}

func remove(ctx context.Context, address string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodDelete, address, nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	return a.Body.Close()
}
