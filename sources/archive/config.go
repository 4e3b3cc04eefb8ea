package archive

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sluice/internal/archive/s3store"
	"sluice/internal/units"
)

// Config of a source that follows an archive: a bucket, or a directory.
type Config struct {
	Bucket    string `yaml:"bucket" doc:"Bucket of the archive that is followed."`
	Prefix    string `yaml:"prefix" doc:"What the keys of all its objects begin with, as the s3-csv sink that writes it has it."`
	Dir       string `yaml:"dir" doc:"Directory of the archive, in place of a bucket."`
	Endpoint  string `yaml:"endpoint" doc:"URL of a store that speaks S3 but is not AWS; empty for AWS."`
	PathStyle bool   `yaml:"path_style" doc:"Put the bucket's name into the path instead of the host name."`
	Region    string `yaml:"region" doc:"AWS region of the bucket; empty: from the AWS default chain."`
	AccessKey string `yaml:"access_key" doc:"Access key; empty: credentials from the AWS default chain."`
	SecretKey string `yaml:"secret_key" secret:"true" doc:"Secret of the access key."`

	Regions  []string `yaml:"regions" doc:"Only what these regions wrote (region of their configurations); empty: all."`
	Since    string   `yaml:"since" doc:"Hours before this time, like 2026-11-23T09:00:00Z or 2026-11-23, are never followed; empty: the archive from its beginning."`
	Follower string   `yaml:"follower" doc:"Name under which it is kept how far the archive was followed. Processes with one name share the work: one follows, the others stand by. Another name begins anew."`
	Cursor   string   `yaml:"cursor" doc:"Where that is kept: empty, in the followed archive itself, below _sluice/follow/; or s3://bucket/prefix/ (same endpoint and credentials), or a directory, where the archive may only be read."`

	Poll   units.Duration `yaml:"poll" doc:"How often it is looked for new objects of the last two days."`
	Sweep  units.Duration `yaml:"sweep" doc:"How often it is looked for new objects of all days."`
	Lease  units.Duration `yaml:"lease" doc:"How long a follower that fell silent keeps the archive from those that stand by."`
	Buffer units.Size     `yaml:"buffer" doc:"What is read ahead of the sinks; it is beside what pipeline.memory buffers."`
}

// Defaults of a source that follows an archive.
func Defaults() Config {
	return Config{Prefix: "analytics/", Follower: "sluice", Poll: units.Duration(10 * time.Second), Sweep: units.Duration(time.Hour),
		Lease: units.Duration(30 * time.Second), Buffer: 32 << 20}
}

var followerForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Validate tells what is wrong with the configuration.
func (c Config) Validate() []units.Problem {
	var ps []units.Problem
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	switch {
	case c.Bucket == "" && c.Dir == "":
		add("bucket", "is missing", "name the bucket, or with dir the directory, of the archive that is followed")
	case c.Bucket != "" && c.Dir != "":
		add("dir", "stands beside bucket", "an archive lies in one of them: remove the other")
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
	if _, err := c.since(); err != nil {
		add("since", err.Error(), "write it like 2026-11-23T09:00:00Z or 2026-11-23")
	}
	if !followerForm.MatchString(c.Follower) {
		add("follower", "is not a name", "use up to 63 letters, digits, . _ and -")
	}
	if bucket, _, ok := c.cursorBucket(); ok && bucket == "" {
		add("cursor", "names no bucket", "write it like s3://bucket/prefix/")
	}
	if d := c.Poll.D(); d < 100*time.Millisecond || d > time.Hour {
		add("poll", fmt.Sprintf("%s is not between 100ms and 1h", c.Poll), "10s is the default")
	}
	if d := c.Sweep.D(); d < c.Poll.D() || d > 7*24*time.Hour {
		add("sweep", fmt.Sprintf("%s is not between poll and 7d", c.Sweep), "1h is the default")
	}
	if d := c.Lease.D(); d < 2*time.Second || d > time.Hour {
		add("lease", fmt.Sprintf("%s is not between 2s and 1h", c.Lease), "30s is the default")
	}
	if c.Buffer < 1<<20 {
		add("buffer", "is less than 1MiB", "32MiB is the default")
	}
	return ps
}

func (c Config) since() (time.Time, error) {
	if c.Since == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, c.Since); err == nil {
			return t.UTC().Truncate(time.Hour), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time", c.Since)
}

// cursorBucket is the bucket that cursor names, if it names one.
func (c Config) cursorBucket() (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(c.Cursor, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	return bucket, prefix, ok
}

// Where names the archive, without secrets.
func (c Config) Where() string {
	if c.Dir != "" {
		return c.Dir
	}
	host := "aws"
	if u, err := url.Parse(c.Endpoint); err == nil && u.Host != "" {
		host = u.Host
	}
	return host + " " + c.Bucket + "/" + c.Prefix
}

// Target is the archive and the follower's name.
func (c Config) Target() string { return "archive " + c.Where() + "#" + c.Follower }

func (c Config) options(bucket string) s3store.Options {
	return s3store.Options{Bucket: bucket, Endpoint: c.Endpoint, PathStyle: c.PathStyle, Region: c.Region, AccessKey: c.AccessKey, SecretKey: c.SecretKey}
}
