package archived

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	"sluice/internal/archive"
	"sluice/internal/crash"
)

// leaseDir lies beside the partitions; Athena and Hive pass over names that begin with an underscore.
const leaseDir = "_sluice/retain/"

// Lease keeps retention jobs on one archive apart. Objects never change, so that it is a row of numbered ones: whoever
// makes the next number has it, and a conditional write lets one do so. The last one holds for its span from when it was
// written; clocks must agree to some seconds.
type Lease struct {
	store archive.Store
	dir   string
	owner string
	span  time.Duration
	last  uint64 // the number that is ours; 0: none
}

// NewLease makes a lease; nothing is read yet.
func NewLease(s archive.Store, prefix, owner string, span time.Duration) *Lease {
	return &Lease{store: s, dir: prefix + leaseDir, owner: owner, span: span}
}

// Close has nothing to do: the store is its maker's.
func (l *Lease) Close(context.Context) {}

func (l *Lease) String() string { return "objects " + l.dir + " of the archive" }

func (l *Lease) key(n uint64) string { return fmt.Sprintf("%s%020d", l.dir, n) }

// Take takes the lease or renews it; who is whose it is while another's holds.
func (l *Lease) Take(ctx context.Context) (who string, err error) {
	var keys []archive.Info
	for info, err := range l.store.List(ctx, l.dir) {
		if err != nil {
			return "", fmt.Errorf("read the lease: %w", err)
		}
		keys = append(keys, info)
	}
	var n uint64
	if len(keys) > 0 {
		last := keys[len(keys)-1]
		if n, err = strconv.ParseUint(path.Base(last.Key), 10, 64); err != nil {
			return "", fmt.Errorf("read the lease: %s is none", last.Key)
		}
		if n != l.last && time.Since(last.Modified) < l.span {
			return l.holder(ctx, last.Key)
		}
	}
	body := []byte(l.owner)
	sum := sha256.Sum256(body)
	crash.Before("retention/lease-object")
	_, made, err := l.store.PutIfAbsent(ctx, l.key(n+1), bytes.NewReader(body), int64(len(body)), hex.EncodeToString(sum[:]))
	crash.After("retention/lease-object")
	if err != nil {
		return "", fmt.Errorf("write the lease: %w", err)
	}
	if !made {
		// another's, or ours if the answer to it was lost
		if who, err = l.holder(ctx, l.key(n+1)); err != nil || who != l.owner {
			return who, err
		}
	}
	l.last = n + 1
	for _, old := range keys {
		crash.Before("retention/lease-object-old")
		err = l.store.Delete(ctx, old.Key)
		crash.After("retention/lease-object-old")
		if err != nil {
			return "", fmt.Errorf("clear the lease: %w", err)
		}
	}
	return "", nil
}

func (l *Lease) holder(ctx context.Context, key string) (string, error) {
	body, err := l.store.Get(ctx, key)
	if errors.Is(err, archive.ErrNotFound) {
		return "a job that just renewed it", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the lease: %w", err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, 1024))
	return string(b), err
}

// Release gives the lease back if it is still this job's.
func (l *Lease) Release(ctx context.Context) error {
	if l.last == 0 {
		return nil
	}
	crash.Before("retention/lease-object-end")
	err := l.store.Delete(ctx, l.key(l.last))
	crash.After("retention/lease-object-end")
	l.last = 0
	return err
}
