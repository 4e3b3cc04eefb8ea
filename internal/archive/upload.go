package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// memberError is an error of a stream's registry, not of the store.
type memberError struct{ error }

func (e memberError) Unwrap() error { return e.error }

// onlyStream tells whether an error concerns one stream, so that the others can go on.
func onlyStream(err error) bool {
	var conflict *ConflictError
	var member memberError
	return errors.As(err, &conflict) || errors.As(err, &member)
}

// uploader puts closed ranges into the store, one after another.
type uploader struct {
	store Store
}

// put makes a range durable. It goes on where an earlier call failed. A range without rows is recorded as well: else the
// range behind it could be recorded before this one is settled, and whoever begins at the cursor after a crash would come
// from before a recorded range.
func (u *uploader) put(ctx context.Context, r *gathered) error {
	if err := r.recordMembers(ctx); err != nil {
		return memberError{err}
	}
	for _, h := range r.rows.sorted() {
		rows := r.rows.hours[h]
		if rows.done {
			continue
		}
		if r.partly {
			if err := u.confirm(ctx, r, h, rows); err != nil {
				return err
			}
			rows.done = true
			continue
		}
		if err := u.putHour(ctx, r, h, rows); err != nil {
			return err
		}
		rows.done = true
	}
	return nil
}

// settlePoll is how often the registry is asked whether the range before is settled, which happens beside the flush and
// usually long before. recordWait is how long that and the recording may take: another stream, perhaps of a Redis that is
// well, waits behind.
const (
	settlePoll = 20 * time.Millisecond
	recordWait = 5 * time.Second
)

// recordMembers makes the range durable in the registry before the first byte leaves.
func (r *gathered) recordMembers(ctx context.Context) error {
	if r.recorded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	tag, err := r.members.encode()
	if err != nil {
		return err
	}
	want := pipeline.MemberRange{From: r.from, To: r.to, Tag: tag}
	for {
		before, ok := r.registry.Recorded()
		if !ok || before == want {
			break
		}
		if before.To.Compare(r.from) > 0 {
			return fmt.Errorf("members are recorded from %s to %s already, ours are from %s to %s",
				before.From, before.To, r.from, r.to)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the members recorded up to %s are not settled yet: %w", before.To, context.Cause(ctx))
		case <-time.After(settlePoll):
		}
	}
	if err := r.registry.Record(ctx, want); err != nil {
		return fmt.Errorf("record members: %w", err)
	}
	r.recorded = true
	return nil
}

// putHour uploads the object of an hour and then its manifest.
func (u *uploader) putHour(ctx context.Context, r *gathered, h hour, rows *hourRows) error {
	body, m, err := r.object(rows)
	if err != nil {
		return err
	}
	m.Key = Partition(r.members.Prefix, r.members.Region, h.time()) + m.Object
	if err := u.putObject(ctx, m, body); err != nil {
		return err
	}
	return u.putManifest(ctx, m)
}

// putObject uploads an object, or adopts the one that is there.
func (u *uploader) putObject(ctx context.Context, m *Manifest, body *body) error {
	crash.Before("archive/object")
	there, created, err := u.store.PutIfAbsent(ctx, m.Key, body, body.size, m.SHA256)
	crash.After("archive/object")
	if err == nil && !created {
		err = u.adopt(ctx, m, there)
	}
	return err
}

// confirm holds that an hour of a range that was settled in part is in the store, and so are the rows that come again.
func (u *uploader) confirm(ctx context.Context, r *gathered, h hour, rows *hourRows) error {
	m := r.manifest(rows)
	m.Key = Partition(r.members.Prefix, r.members.Region, h.time()) + m.Object
	_, err := ReadManifest(ctx, u.store, m.ManifestKey())
	if errors.Is(err, ErrNotFound) {
		return memberError{fmt.Errorf("the range from %s to %s is settled in part, but has no manifest %s", r.from, r.fixed.To, m.ManifestKey())}
	}
	return err
}

// adopt takes an object that is there for ours if its rows are the same; its bytes need not be.
func (u *uploader) adopt(ctx context.Context, m *Manifest, there Info) error {
	theirs := there.SHA256
	if theirs == "" {
		var err error
		if theirs, err = contentSHA(ctx, u.store, m); err != nil {
			return err
		}
	}
	if theirs != m.SHA256 {
		return &ConflictError{Key: m.Key, Ours: m.SHA256, Theirs: theirs}
	}
	return nil
}

// contentSHA is the hash of a stored object's uncompressed content; what cannot be uncompressed, or is too long, is
// told in its place.
func contentSHA(ctx context.Context, s Store, m *Manifest) (string, error) {
	raw, err := s.Get(ctx, m.Key)
	if err != nil {
		return "", err
	}
	defer func() { _ = raw.Close() }()
	hash := sha256.New()
	r, err := decompress(m.Compression, raw)
	if err == nil {
		defer func() { _ = r.Close() }()
		_, err = io.Copy(hash, io.LimitReader(r, m.Bytes+1))
	}
	if err != nil && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return fmt.Sprintf("unknown (%v)", err), nil
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func (u *uploader) putManifest(ctx context.Context, m *Manifest) error {
	line, err := m.Encode()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(line)
	sha := hex.EncodeToString(sum[:])
	key := m.ManifestKey()
	crash.Before("archive/manifest")
	there, created, err := u.store.PutIfAbsent(ctx, key, bytes.NewReader(line), int64(len(line)), sha)
	crash.After("archive/manifest")
	if err != nil || created || there.SHA256 == sha {
		return err
	}
	found, err := ReadManifest(ctx, u.store, key)
	if err != nil {
		return err
	}
	if !found.same(m) {
		return &ConflictError{Key: key, Ours: m.SHA256, Theirs: found.SHA256}
	}
	return nil
}
