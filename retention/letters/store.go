// Package letters is retention of dead letters: segments in the state directory, or objects in the spool's bucket.
package letters

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/archive"
	"sluice/internal/crash"
	"sluice/internal/deadletter"
	"sluice/retention/plan"
)

// Name is what a plan calls the store.
const Name = "dead letters"

// queue keeps segments in order: a note that a letter was retried lies behind it, and must not go before it.
const queue = "letters"

// Dir is dead letters in a directory. Segments are deleted whole, oldest first.
type Dir struct{ path string }

// NewDir looks into a directory of segments.
func NewDir(path string) *Dir { return &Dir{path} }

// Close has nothing to do.
func (d *Dir) Close(context.Context) {}

// Inventory lists the segments.
func (d *Dir) Inventory(context.Context, time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: Name, Kind: plan.DeadLetters, Free: FreeOn(d.path), Ahead: "on the file system of the state directory"}
	segments, err := deadletter.Segments(d.path)
	if err != nil {
		return inv, err
	}
	for _, s := range segments {
		it := plan.Item{Target: s.Name, AnyOrg: true, From: s.Begun, To: s.Written, Records: s.Lines, Bytes: s.Bytes, Queue: queue}
		if s.InUse {
			it.Pinned = deadletter.ErrInUse.Error()
		}
		inv.Items = append(inv.Items, it)
	}
	return inv, nil
}

// Do deletes a segment.
func (d *Dir) Do(_ context.Context, a *plan.Action, done func(int64)) error {
	if a.Verb != plan.DeleteSegment {
		return fmt.Errorf("%s is not for dead letters", a.Verb)
	}
	if err := deadletter.Remove(d.path, a.Target); err != nil {
		return err
	}
	done(a.Records)
	return nil
}

// FreeOn is what the file system of a path can still take, in bytes, or -1.
func FreeOn(path string) int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * s.Bsize
}

// Bucket is dead letters in a bucket: an object a call, never changed.
type Bucket struct {
	store  archive.Store
	prefix string
}

// NewBucket looks below the prefix that deadletter.NewBucket was given.
func NewBucket(s archive.Store, prefix string) *Bucket { return &Bucket{s, prefix + "deadletters/"} }

// Close has nothing to do: the store is its maker's.
func (b *Bucket) Close(context.Context) {}

// Inventory lists the objects. How many letters each holds is not read.
func (b *Bucket) Inventory(ctx context.Context, _ time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: Name, Kind: plan.DeadLetters, Free: -1}
	for info, err := range b.store.List(ctx, b.prefix) {
		if err != nil {
			return inv, fmt.Errorf("list dead letters: %w", err)
		}
		// a note that a letter was retried is younger than the letter, and sorts behind all of them
		inv.Items = append(inv.Items, plan.Item{Target: path.Base(info.Key), AnyOrg: true, From: info.Modified, To: info.Modified,
			Records: 1, Bytes: info.Size})
	}
	return inv, nil
}

// Do deletes an object.
func (b *Bucket) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	if a.Verb != plan.DeleteSegment || strings.Contains(a.Target, "/") {
		return fmt.Errorf("%s of %s is not for dead letters", a.Verb, a.Target)
	}
	crash.Before("retention/letters")
	err := b.store.Delete(ctx, b.prefix+a.Target)
	crash.After("retention/letters")
	if err != nil {
		return err
	}
	done(a.Records)
	return nil
}
