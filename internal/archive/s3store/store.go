package s3store

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/internal/archive"
)

// hashKey is the metadata field (x-amz-meta-...) of the SHA-256 of the uncompressed rows.
const hashKey = "sluice-sha256"

// A conditional write that meets another one of the same key is refused with 409 and is to be repeated.
const (
	conflictTries = 4
	conflictPause = 100 * time.Millisecond
)

// PutIfAbsent implements archive.Store. A single PUT takes up to 5 GiB, which a range never reaches.
func (s *Store) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (archive.Info, bool, error) {
	for try := 1; ; try++ {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return archive.Info{}, false, fmt.Errorf("put %s: %w", key, err)
		}
		in := s.put(key, sha)
		in.Body, in.ContentLength = body, aws.Int64(size)
		_, err := s.client.PutObject(ctx, in)
		switch {
		case err == nil:
			return archive.Info{Key: key, Size: size, SHA256: sha}, true, nil
		case status(err) == 412:
			// also when an attempt of our own was stored and its answer was lost
			there, err := s.Head(ctx, key)
			if err != nil {
				return archive.Info{}, false, fmt.Errorf("put %s: it was there, and now: %w", key, err)
			}
			return there, false, nil
		case status(err) == 409 && try < conflictTries:
			if err := pause(ctx, time.Duration(try)*conflictPause); err != nil {
				return archive.Info{}, false, err
			}
		default:
			return archive.Info{}, false, classify(fmt.Errorf("put %s: %w", key, err))
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// Head implements archive.Store.
func (s *Store) Head(ctx context.Context, key string) (archive.Info, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.o.Bucket, Key: &key})
	if err != nil {
		return archive.Info{}, classify(fmt.Errorf("head %s: %w", key, err))
	}
	info := archive.Info{Key: key, Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified)}
	for k, v := range out.Metadata { // stores differ in the case of the names
		if strings.EqualFold(k, hashKey) {
			info.SHA256 = v
		}
	}
	return info, nil
}

// Get implements archive.Store.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.o.Bucket, Key: &key})
	if err != nil {
		return nil, classify(fmt.Errorf("get %s: %w", key, err))
	}
	return out.Body, nil
}

// Delete implements archive.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.o.Bucket, Key: &key})
	if err != nil && status(err) != 404 {
		return classify(fmt.Errorf("delete %s: %w", key, err))
	}
	return nil
}

// List implements archive.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[archive.Info, error] {
	return func(yield func(archive.Info, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.o.Bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(archive.Info{}, classify(fmt.Errorf("list %s: %w", prefix, err)))
				return
			}
			for _, o := range page.Contents {
				info := archive.Info{
					Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified),
				}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// Dirs implements archive.Store.
func (s *Store) Dirs(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
			Bucket: &s.o.Bucket, Prefix: &prefix, Delimiter: aws.String("/"),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", classify(fmt.Errorf("list %s: %w", prefix, err)))
				return
			}
			for _, p := range page.CommonPrefixes {
				name := strings.TrimSuffix(strings.TrimPrefix(aws.ToString(p.Prefix), prefix), "/")
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}
