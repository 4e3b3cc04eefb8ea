package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"sluice/internal/crash"
)

// ErrRaced says that another process rewrote objects of the same hour meanwhile. Nothing is lost and nothing is there
// twice; it is to be tried again later.
var ErrRaced = errors.New("another process is rewriting objects of this hour")

// Rewriter writes objects that stand for others: joined ones, and ones without somebody's records. It never changes or
// deletes what is there. An object of its own is numbered within its hour. The conditional write of its manifest is the
// one moment at which readers go from the old objects to the new one: the manifest names what it replaces. Whoever writes
// next names all of that as well, so that what is replaced stays so for ever, even if a frozen process sends it again.
//
// Of two processes that are at one hour, one finds its number taken and ends with ErrRaced. A number whose object has no
// manifest is given up by a manifest that replaces itself; if its process was only slow, that one finds it there.
type Rewriter struct {
	Store  Store
	Prefix string
	Dir    string // for one temporary file, of an object's compressed size at most
}

// raceTries is how often an hour is looked at anew when another process was faster.
const raceTries = 3

// Damaged says that objects could not be joined since they are not what their manifests say. The rest was.
type Damaged struct{ Errs []error }

func (d *Damaged) Error() string { return errors.Join(d.Errs...).Error() }

func (d *Damaged) Unwrap() []error { return d.Errs }

// Compact joins the small objects of an hour, see Hour.Merges. made is called with each object that was made.
func (w *Rewriter) Compact(ctx context.Context, region string, t time.Time, target int64, made func(*Manifest)) error {
	bad := map[string]error{}
	for raced := 0; ; {
		h, err := ReadHour(ctx, w.Store, w.Prefix, region, t)
		if err != nil {
			return err
		}
		if len(h.Broken) > 0 {
			return fmt.Errorf("what the hour has is not known: %w", h.Broken[0].Err)
		}
		groups := h.without(bad).Merges(target)
		if len(groups) == 0 {
			return damaged(bad)
		}
		err = w.join(ctx, &h, groups, bad, made)
		if raced++; errors.Is(err, ErrRaced) && raced < raceTries {
			continue
		}
		if err != nil {
			return err
		}
	}
}

func damaged(bad map[string]error) error {
	if len(bad) == 0 {
		return nil
	}
	d := &Damaged{}
	for _, key := range sortedKeys(bad) {
		d.Errs = append(d.Errs, bad[key])
	}
	return d
}

// without leaves out what is known to be damaged.
func (h *Hour) without(bad map[string]error) *Hour {
	out := *h
	out.Manifests = nil
	for _, m := range h.Manifests {
		if bad[m.Key] == nil {
			out.Manifests = append(out.Manifests, m)
		}
	}
	return &out
}

// join makes an object of each group. A group with a damaged object ends the round; the next one leaves that out.
func (w *Rewriter) join(ctx context.Context, h *Hour, groups [][]*Manifest, bad map[string]error, made func(*Manifest)) error {
	n, err := w.numbers(ctx, h)
	if err != nil {
		return err
	}
	for _, group := range groups {
		m := joined(group, numbered(n.next), n.void)
		err := w.write(ctx, m, func(out *rowWriter) error { return merge(ctx, w.Store, group, out) })
		var fault *faulty
		switch {
		case errors.As(err, &fault) && ctx.Err() == nil:
			bad[fault.key] = fault.err
			return nil
		case err != nil:
			return err
		}
		n.next++
		made(m)
	}
	return nil
}

// numbers gives up what has no manifest, so that it never counts beside what is made now.
func (w *Rewriter) numbers(ctx context.Context, h *Hour) (numbers, error) {
	n := h.numbers()
	for _, object := range n.pending {
		if err := w.void(ctx, h, object); err != nil {
			return n, err
		}
		name, _, _ := strings.Cut(object, ".")
		n.void = append(n.void, name)
	}
	return n, nil
}

// void gives an object without a manifest up.
func (w *Rewriter) void(ctx context.Context, h *Hour, object string) error {
	name, ext, _ := strings.Cut(object, ".")
	m := &Manifest{Version: FormatVersion, Object: object, SHA256: strings.Repeat("0", sha256.Size*2), First: h.Time, Last: h.Time,
		Positions: []Range{}, Columns: Columns(), Replaces: []string{name}, Region: h.Region}
	for _, c := range []Compression{Zstd, Gzip, None} {
		if c.Ext() == "."+ext {
			m.Compression = c
		}
	}
	m.Key = Partition(w.Prefix, h.Region, h.Time) + object
	_, created, err := w.commit(ctx, m)
	if err == nil && !created {
		err = ErrRaced // it was on its way; the next round sees it
	}
	return err
}

// commit writes a manifest, unless there is one.
func (w *Rewriter) commit(ctx context.Context, m *Manifest) (there Info, created bool, err error) {
	line, err := m.Encode()
	if err != nil {
		return there, false, err
	}
	if len(line) > MaxManifest {
		return there, false, fmt.Errorf("the manifest of %s would have %d bytes", m.Object, len(line))
	}
	sum := sha256.Sum256(line)
	crash.Before("archive/merged-manifest")
	there, created, err = w.Store.PutIfAbsent(ctx, m.ManifestKey(), bytes.NewReader(line), int64(len(line)), hex.EncodeToString(sum[:]))
	crash.After("archive/merged-manifest")
	return there, created, err
}

// write makes an object of the rows that fill writes, then its manifest. m lacks what the rows tell.
func (w *Rewriter) write(ctx context.Context, m *Manifest, fill func(*rowWriter) error) error {
	f, err := os.CreateTemp(w.Dir, "merge-*")
	if err != nil {
		return fmt.Errorf("rewrite objects: %w", err)
	}
	defer discard(f)
	out := &rowWriter{file: f, kind: m.Compression, hash: sha256.New()}
	if err := fill(out); err != nil {
		return err
	}
	size, err := out.finish()
	if err != nil {
		return err
	}
	m.Records, m.Bytes, m.SHA256 = out.records, out.bytes, hex.EncodeToString(out.hash.Sum(nil))
	crash.Before("archive/merged-object")
	there, created, err := w.Store.PutIfAbsent(ctx, m.Key, f, size, m.SHA256)
	crash.After("archive/merged-object")
	if err != nil {
		return err
	}
	if !created {
		err := (&uploader{store: w.Store}).adopt(ctx, m, there)
		var conflict *ConflictError
		if errors.As(err, &conflict) {
			return fmt.Errorf("%w: %w", ErrRaced, err)
		}
		if err != nil {
			return err
		}
	}
	if _, created, err = w.commit(ctx, m); err != nil || created {
		return err
	}
	found, err := ReadManifest(ctx, w.Store, m.ManifestKey())
	if err != nil {
		return err
	}
	if !found.same(m) || len(found.Replaces) != len(m.Replaces) { // equal when it was ours and the answer was lost
		return ErrRaced
	}
	return nil
}

// rowWriter compresses rows into a file, piece by piece.
type rowWriter struct {
	file    *os.File
	kind    Compression
	pack    packer
	buf     []byte
	head    string
	hash    hash.Hash
	bytes   int64
	records int64
	size    int64
}

// header writes the header row. All objects that are joined must have the same one.
func (w *rowWriter) header(line string) error {
	if w.head != "" {
		if w.head != line {
			return errors.New("its header row is another than that of the objects it is to be joined with")
		}
		return nil
	}
	w.head = line
	return w.line(line)
}

func (w *rowWriter) row(line string) error {
	w.records++
	return w.line(line)
}

func (w *rowWriter) line(s string) error {
	w.buf = append(append(w.buf, s...), '\n')
	if len(w.buf) >= pieceSize {
		return w.flush()
	}
	return nil
}

func (w *rowWriter) flush() error {
	w.hash.Write(w.buf)
	w.bytes += int64(len(w.buf))
	packed, err := w.pack.pack(w.kind, w.buf)
	if err == nil {
		var n int
		crash.Before("archive/merged-rows")
		n, err = w.file.Write(packed)
		crash.After("archive/merged-rows")
		w.size += int64(n)
	}
	w.buf = w.buf[:0]
	if err != nil {
		return fmt.Errorf("rewrite objects: %w", err)
	}
	return nil
}

// finish tells how large the object is.
func (w *rowWriter) finish() (int64, error) {
	if w.head == "" { // nothing had a row
		if err := w.header(strings.TrimSuffix(string(AppendHeader(nil)), "\n")); err != nil {
			return 0, err
		}
	}
	if len(w.buf) > 0 {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	_, err := w.file.Seek(0, io.SeekStart)
	return w.size, err
}
