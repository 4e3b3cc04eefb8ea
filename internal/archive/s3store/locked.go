package s3store

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Locked tells why an object cannot be deleted for good, empty if it can: an object lock or a legal hold of the bucket's. It
// needs s3:GetObjectRetention and s3:GetObjectLegalHold, without which S3 leaves them out of its answer.
func (s *Store) Locked(ctx context.Context, key string) (string, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.o.Bucket, Key: &key})
	if err != nil {
		return "", classify(fmt.Errorf("head %s: %w", key, err))
	}
	if out.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn {
		return "the object " + key + " is under a legal hold in its bucket", nil
	}
	if until := aws.ToTime(out.ObjectLockRetainUntilDate); out.ObjectLockMode != "" && until.After(time.Now()) {
		return fmt.Sprintf("the object %s is locked in its bucket until %s (%s)", key, until.UTC().Format(time.RFC3339), out.ObjectLockMode), nil
	}
	return "", nil
}

// Versioned tells whether the bucket keeps older versions of what is deleted. A store that does not know versions has none.
func (s *Store) Versioned(ctx context.Context) bool {
	out, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &s.o.Bucket})
	return err == nil && out.Status != ""
}
