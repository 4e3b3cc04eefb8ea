package columnar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"

	"sluice/internal/archive"
	"sluice/internal/crash"
)

// Table keeps the Parquet files of an archive in step with it. It never changes what is there: a file has the next number of
// its hour, which a conditional write lets one of two processes have.
type Table struct {
	Store  archive.Store
	Prefix string // of the archive
	Dir    string // for one temporary file, of a Parquet file's size
}

// tries is how often an hour is looked at anew when it changed meanwhile.
const tries = 3

// source is an object that a file was made from.
type source struct {
	Object  string `json:"object"`
	SHA256  string `json:"sha256"` // of its rows
	Records int64  `json:"records"`
}

// note says what a file is. It lies beside it, under a name that has its digest.
type note struct {
	File    string   `json:"file"`
	Records int64    `json:"records"`
	Bytes   int64    `json:"bytes"`
	SHA256  string   `json:"sha256"` // of the file
	Schema  int      `json:"schema"`
	Sources []source `json:"sources"`
}

// Write brings the file of an hour in step with the archive. It does nothing where that is so; of an hour without rows
// nothing stays. done is called with the records of a file that was made.
func (t *Table) Write(ctx context.Context, region string, at time.Time, done func(records int64)) error {
	for try := 1; ; try++ {
		err := t.write(ctx, region, at, done)
		if again := errors.Is(err, archive.ErrRaced) || errors.Is(err, archive.ErrNotFound); !again || try >= tries {
			return err
		}
	}
}

func (t *Table) write(ctx context.Context, region string, at time.Time, done func(int64)) error {
	// in this order: who finds a higher number has seen the archive later than the one who wrote it
	have, err := ReadHour(ctx, t.Store, t.Prefix, region, at)
	if err != nil {
		return err
	}
	h, err := archive.ReadHour(ctx, t.Store, t.Prefix, region, at)
	if err != nil {
		return err
	}
	if len(h.Broken) > 0 {
		return fmt.Errorf("what the hour has is not known: %w", h.Broken[0].Err)
	}
	n := note{Schema: schemaVersion}
	for _, m := range h.Manifests {
		n.Records += m.Records
		n.Sources = append(n.Sources, source{m.Object, m.SHA256, m.Records})
	}
	switch digest := Digest(&h); {
	case n.Records == 0:
		return t.drop(ctx, have)
	case have.Current(digest):
		return nil
	default:
		if err := t.make(ctx, &h, have.next(), digest, &n); err != nil {
			return err
		}
	}
	done(n.Records)
	return nil
}

// make writes an hour's file under a number, then its note.
func (t *Table) make(ctx context.Context, h *archive.Hour, number uint64, digest string, n *note) error {
	f, err := os.CreateTemp(t.Dir, "parquet-*")
	if err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	defer discard(f)
	sum := sha256.New()
	if err := t.fill(ctx, io.MultiWriter(f, sum), h, n); err != nil {
		return err
	}
	if n.Bytes, err = f.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	n.SHA256 = hex.EncodeToString(sum.Sum(nil))
	n.File = fmt.Sprintf("%08d%s", number, ext)
	at := archive.Partition(Prefix(t.Prefix), h.Region, h.Time)
	crash.Before("archive/parquet")
	there, created, err := t.Store.PutIfAbsent(ctx, at+n.File, f, n.Bytes, n.SHA256)
	crash.After("archive/parquet")
	if err != nil {
		return err
	}
	if !created && there.SHA256 != n.SHA256 { // equal when it was ours and the answer was lost
		return fmt.Errorf("%w: %s is there", archive.ErrRaced, at+n.File)
	}
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	own := sha256.Sum256(line)
	crash.Before("archive/parquet-note")
	_, _, err = t.Store.PutIfAbsent(ctx, fmt.Sprintf("%s_%08d-%s.json", at, number, digest), bytes.NewReader(line), int64(len(line)), hex.EncodeToString(own[:]))
	crash.After("archive/parquet-note")
	return err
}

// fill writes the rows of all objects of an hour that count.
func (t *Table) fill(ctx context.Context, to io.Writer, h *archive.Hour, n *note) error {
	out, err := newFile(to, n.Sources)
	if err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	for _, m := range h.Manifests {
		if err := out.object(ctx, t.Store, m); err != nil {
			return fmt.Errorf("write Parquet: %w", err)
		}
	}
	if err := out.finish(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	return nil
}

// discard closes and removes a temporary file. What a crash left is removed when retention begins next.
func discard(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// Drop deletes all that there is of an hour.
func (t *Table) Drop(ctx context.Context, region string, at time.Time) error {
	h, err := ReadHour(ctx, t.Store, t.Prefix, region, at)
	if err != nil {
		return err
	}
	return t.drop(ctx, h)
}

// DropDay deletes all that there is of a region's day.
func (t *Table) DropDay(ctx context.Context, region string, day time.Time) error {
	hour := archive.Partition(Prefix(t.Prefix), region, day) // ends with hour=HH/
	h := &Hour{}
	for i, err := range t.Store.List(ctx, path.Dir(path.Dir(hour))+"/") {
		if err != nil {
			return fmt.Errorf("list Parquet files: %w", err)
		}
		h.add(i)
	}
	return t.drop(ctx, h)
}

func (t *Table) drop(ctx context.Context, h *Hour) error {
	for _, i := range slices.Concat(h.Notes, h.Files) { // a file without a note is made anew
		if err := t.delete(ctx, i.Key); err != nil {
			return err
		}
	}
	return nil
}

// Sweep deletes what a newer file has stood for since before a moment.
func (t *Table) Sweep(ctx context.Context, region string, at, before time.Time) error {
	h, err := ReadHour(ctx, t.Store, t.Prefix, region, at)
	if err != nil {
		return err
	}
	for _, l := range h.Leftovers() {
		if l.Since.After(before) {
			continue
		}
		if err := t.delete(ctx, l.Key); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) delete(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	crash.Before("archive/parquet-old")
	err := t.Store.Delete(ctx, key)
	crash.After("archive/parquet-old")
	if err != nil {
		return fmt.Errorf("delete Parquet files: %w", err)
	}
	return nil
}
