// Package s3csv is the sink that writes the CSV archive into a bucket of S3, or of anything that speaks S3 and knows
// conditional writes. The format is that of package archive.
//
// Rights that the sink needs: s3:ListBucket on the bucket (it looks into it when it opens, and S3 answers 403 instead of
// 404 without it), s3:PutObject and s3:GetObject below the prefix; with sse.kms_key_id also kms:GenerateDataKey and
// kms:Decrypt on that key. It never deletes and never overwrites: every PUT is conditional (If-None-Match: *).
package s3csv

import (
	"fmt"
	"net/url"
	"strings"

	"sluice/internal/archive"
	"sluice/internal/archive/s3store"
	"sluice/internal/units"
)

// Config is the sink's part of the configuration.
type Config struct {
	Bucket       string               `yaml:"bucket" required:"true" doc:"Name of the bucket; it must exist."`
	Prefix       string               `yaml:"prefix" doc:"What the keys of all objects begin with; end it with a slash to make it a folder."`
	Endpoint     string               `yaml:"endpoint" doc:"URL of a store that speaks S3 but is not AWS, with conditional writes (If-None-Match); empty for AWS."`
	PathStyle    bool                 `yaml:"path_style" doc:"Put the bucket's name into the path instead of the host name, as most stores beside AWS want it."`
	Region       string               `yaml:"region" doc:"Region of the bucket; empty: from the AWS default chain."`
	AccessKey    string               `yaml:"access_key" doc:"Access key; empty: credentials from the AWS default chain (environment, profile, role)."`
	SecretKey    string               `yaml:"secret_key" secret:"true" doc:"Secret of the access key."`
	Compression  string               `yaml:"compression" enum:"zstd|gzip|none" doc:"zstd, gzip or none; zstd is smaller and faster, and Athena reads it."`
	Object       archive.ObjectConfig `yaml:"object" doc:"When gathered rows become objects."`
	StorageClass string               `yaml:"storage_class" doc:"S3 storage class of the objects, for example STANDARD_IA or INTELLIGENT_TIERING; empty: the bucket's default."`
	SSE          SSE                  `yaml:"sse" doc:"Server-side encryption."`
	Formulas     bool                 `yaml:"formulas" doc:"Neutralise cells that a spreadsheet would run as a formula, by writing their first character as \\xHH; readers of the archive get the same text. Off because Athena and programs run nothing."`
}

// SSE is server-side encryption.
type SSE struct {
	KMSKeyID string `yaml:"kms_key_id" doc:"ID or ARN of the KMS key that objects are encrypted with; empty: the bucket's default encryption."`
}

// Defaults are the settings of a sink that names only its bucket.
func Defaults() Config {
	return Config{Prefix: "analytics/", Compression: string(archive.Zstd), Object: archive.DefaultObject()}
}

// Validate tells what is wrong, without any I/O.
func (c Config) Validate() []units.Problem {
	problems := archive.ValidateObject(c.Object, archive.Compression(c.Compression))
	add := func(key, what, cure string) {
		problems = append(problems, units.Problem{Key: key, What: what, Cure: cure})
	}
	if c.Bucket == "" {
		add("bucket", "is missing", "name the bucket that the archive lies in")
	}
	if strings.HasPrefix(c.Prefix, "/") || strings.Contains(c.Prefix, "//") {
		add("prefix", fmt.Sprintf("%q has an empty step", c.Prefix), "write it like analytics/")
	}
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		add("endpoint", "is not a URL", "write it like https://host:port")
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		add("secret_key", "access_key and secret_key belong together", "give both, or neither for the AWS default chain")
	}
	return problems
}

// Target names the store, without secrets.
func (c Config) Target() string {
	host := "aws"
	if u, err := url.Parse(c.Endpoint); err == nil && u.Host != "" {
		host = u.Host
	}
	return "s3-csv " + host + " " + c.Bucket + "/" + c.Prefix
}

// Store says where the archive is, for its readers.
func (c Config) Store() s3store.Options {
	return s3store.Options{
		Bucket: c.Bucket, Endpoint: c.Endpoint, PathStyle: c.PathStyle, Region: c.Region,
		AccessKey: c.AccessKey, SecretKey: c.SecretKey, StorageClass: c.StorageClass, KMSKeyID: c.SSE.KMSKeyID,
	}
}
