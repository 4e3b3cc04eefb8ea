package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"

	"sluice/internal/crash"
)

// Copier puts objects of one archive into another, with their names, rows and manifests.
type Copier struct {
	From, To Store
	Prefix   string // of To
	Dir      string // for one temporary file, of an object's compressed size
}

// Hour copies the objects of an hour that count. One that is there is not copied again, nor one whose rows are all there in
// objects of other names. One of which the other archive has a part is refused, since that would be there twice. done is
// called with the records of each object that is there now, fault with what could not be copied.
func (c *Copier) Hour(ctx context.Context, h *Hour, done func(int64), fault func(key string, err error)) error {
	there, err := ReadHour(ctx, c.To, c.Prefix, h.Region, h.Time)
	if err != nil {
		return err
	}
	if len(there.Broken) > 0 {
		return fmt.Errorf("what the other archive has is not known: %w", there.Broken[0].Err)
	}
	for _, m := range h.Manifests {
		has, err := there.has(m)
		if err == nil && !has {
			if err = Verify(ctx, c.From, m); err == nil {
				err = c.one(ctx, m, Partition(c.Prefix, h.Region, h.Time))
			}
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			fault(m.Key, err)
		default:
			done(m.Records)
		}
	}
	return nil
}

// has tells whether an hour has the rows of an object, under its name.
func (h *Hour) has(m *Manifest) (bool, error) {
	for _, list := range [][]*Manifest{h.Manifests, h.Replaced} {
		for _, o := range list {
			if o.Name() != m.Name() {
				continue
			}
			if o.SHA256 != m.SHA256 {
				return false, &ConflictError{Key: o.Key, Ours: m.SHA256, Theirs: o.SHA256}
			}
			return true, nil
		}
	}
	if h.covers(m) {
		return true, nil
	}
	for _, o := range h.Manifests {
		// numbers of joined objects are each archive's own
		if slices.Contains(m.Replaces, o.Name()) || slices.Contains(o.Replaces, m.Name()) {
			return false, fmt.Errorf("the other archive has joined objects of its own in this hour, whose names are in the way: %s", o.Key)
		}
		if slices.ContainsFunc(o.Positions, func(r Range) bool { return slices.ContainsFunc(m.Positions, r.meets) }) {
			return false, fmt.Errorf("the other archive has positions of it in %s: its rows would be there twice", o.Key)
		}
	}
	return false, nil
}

// covers tells whether the rows of an object are all there in others, as after one of two archives joined its objects.
func (h *Hour) covers(m *Manifest) bool {
	records := int64(0)
	for _, o := range h.Manifests {
		inside := func(r Range) bool { return slices.ContainsFunc(m.Positions, r.within) }
		if len(o.Positions) == 0 || slices.ContainsFunc(o.Positions, func(r Range) bool { return !inside(r) }) {
			continue
		}
		if !o.Complete() {
			return false
		}
		records += o.Records
	}
	return m.Complete() && records == m.Records // they are disjoint: no row counts twice in an archive
}

// one copies an object and then its manifest.
func (c *Copier) one(ctx context.Context, m *Manifest, dir string) error {
	f, err := os.CreateTemp(c.Dir, "copy-*")
	if err != nil {
		return fmt.Errorf("copy %s: %w", m.Key, err)
	}
	defer discard(f)
	raw, err := c.From.Get(ctx, m.Key)
	if err != nil {
		return fmt.Errorf("copy %s: %w", m.Key, err)
	}
	defer func() { _ = raw.Close() }() // it was only read from
	size, err := io.Copy(f, raw)
	if err != nil {
		return fmt.Errorf("copy %s: %w", m.Key, err)
	}
	out := *m
	out.Key = dir + m.Object
	crash.Before("archive/copied-object")
	there, created, err := c.To.PutIfAbsent(ctx, out.Key, f, size, m.SHA256)
	crash.After("archive/copied-object")
	if err != nil {
		return err
	}
	if !created {
		if err := (&uploader{store: c.To}).adopt(ctx, &out, there); err != nil {
			return err
		}
	}
	line, err := out.Encode()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(line)
	crash.Before("archive/copied-manifest")
	_, created, err = c.To.PutIfAbsent(ctx, out.ManifestKey(), bytes.NewReader(line), int64(len(line)), hex.EncodeToString(sum[:]))
	crash.After("archive/copied-manifest")
	if err != nil || created {
		return err
	}
	found, err := ReadManifest(ctx, c.To, out.ManifestKey())
	if err == nil && (!found.same(&out) || !slices.Equal(found.Replaces, out.Replaces)) { // given up by who joins objects there
		err = &ConflictError{Key: out.ManifestKey(), Ours: out.SHA256, Theirs: found.SHA256}
	}
	return err
}
