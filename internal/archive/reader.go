package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"strings"
)

// maxLine bounds a row: the largest list element that a source passes on (32 MiB), if each of its bytes is escaped by four.
const maxLine = 128 << 20

// ErrCorrupt is what a Reader answers when an object is not what its manifest says.
var ErrCorrupt = errors.New("the object is not what its manifest says")

// Reader reads the rows of one object and checks them against its manifest: a row may come before a fault further on is
// found, so whoever must not act on damaged objects calls Verify first. It is for one goroutine at a time.
type Reader struct {
	manifest *Manifest
	raw      io.Closer
	from     *remembering
	plain    io.Closer
	lines    *bufio.Reader
	hash     hash.Hash
	head     *Header
	bytes    int64
	records  int64
	err      error
}

// Open starts to read the object that a manifest describes. The caller closes the Reader.
func Open(ctx context.Context, s Store, m *Manifest) (*Reader, error) {
	raw, err := s.Get(ctx, m.Key)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", m.Key, err)
	}
	r, err := NewReader(raw, m)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	r.raw = raw
	return r, nil
}

// NewReader reads rows from the bytes of an object.
func NewReader(raw io.Reader, m *Manifest) (*Reader, error) {
	from := &remembering{r: raw}
	plain, err := decompress(m.Compression, from)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", m.Key, from.blame(err))
	}
	r := &Reader{manifest: m, from: from, plain: plain, hash: sha256.New()}
	limited := io.LimitReader(plain, m.Bytes+1)
	r.lines = bufio.NewReaderSize(io.TeeReader(limited, r.hash), 64<<10)
	line, err := r.line()
	if err == nil {
		r.head, err = ParseHeader(line)
	}
	if err != nil {
		_ = plain.Close()
		return nil, fmt.Errorf("open object %s: %w", m.Key, from.blame(noEOF(err)))
	}
	return r, nil
}

// Header has the object's columns.
func (r *Reader) Header() *Header { return r.head }

// Next reads the next row, whose strings are its own. After the last one, and only when everything agreed with the
// manifest, it returns io.EOF.
func (r *Reader) Next() (Row, error) {
	if r.err != nil {
		return Row{}, r.err
	}
	row, err := r.next()
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read object %s: row %d: %w", r.manifest.Key, r.records+1, err)
	}
	r.err = err
	return row, err
}

func (r *Reader) next() (Row, error) {
	line, err := r.rowLine()
	if err != nil {
		return Row{}, err
	}
	row, err := r.head.Row(line)
	if err != nil {
		return Row{}, r.from.blame(err)
	}
	r.records++
	return row, nil
}

// Line is Next for who wants a row as it lies there, without its line feed. Of the row itself nothing is looked at.
func (r *Reader) Line() (string, error) {
	if r.err != nil {
		return "", r.err
	}
	line, err := r.rowLine()
	switch {
	case err == nil:
		r.records++
	case err != io.EOF:
		err = fmt.Errorf("read object %s: row %d: %w", r.manifest.Key, r.records+1, err)
	}
	r.err = err
	return line, err
}

// rowLine reads a row's line; io.EOF behind the last one, when everything agreed.
func (r *Reader) rowLine() (string, error) {
	line, err := r.line()
	switch {
	case err == io.EOF:
		return "", r.finish()
	case err != nil:
		return "", r.from.blame(err)
	}
	return line, nil
}

// line reads a line without its line feed.
func (r *Reader) line() (string, error) {
	var b strings.Builder
	for {
		part, err := r.lines.ReadSlice('\n')
		r.bytes += int64(len(part))
		if err == nil && b.Len() == 0 {
			return string(part[:len(part)-1]), nil
		}
		if b.Cap()-b.Len() < len(part) { // doubling takes half of the memory that appending would
			b.Grow(max(len(part), b.Cap()))
		}
		b.Write(part)
		switch {
		case err == nil:
			return b.String()[:b.Len()-1], nil
		case err == io.EOF && b.Len() == 0:
			return "", io.EOF
		case err == io.EOF:
			return "", errors.New("the last row is cut off")
		case err != bufio.ErrBufferFull:
			return "", err
		case b.Len() > maxLine:
			return "", fmt.Errorf("the row is longer than %d bytes", maxLine)
		}
	}
}

// finish compares the whole with the manifest.
func (r *Reader) finish() error {
	m := r.manifest
	sum := hex.EncodeToString(r.hash.Sum(nil))
	if r.bytes != m.Bytes || r.records != m.Records || sum != m.SHA256 {
		return fmt.Errorf("%w: %d records, %d bytes, SHA-256 %s; it says %d, %d and %s", ErrCorrupt,
			r.records, r.bytes, sum, m.Records, m.Bytes, m.SHA256)
	}
	return io.EOF
}

// All are the rows that are left; an error is the last thing it yields.
func (r *Reader) All() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			row, err := r.Next()
			if err == io.EOF {
				return
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// Close frees what the Reader holds.
func (r *Reader) Close() error {
	err := r.plain.Close()
	if r.raw != nil {
		err = errors.Join(err, r.raw.Close())
	}
	return err
}

// Verify reads an object to its end and tells whether it is what its manifest says, row by row.
func Verify(ctx context.Context, s Store, m *Manifest) error {
	r, err := Open(ctx, s, m)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for _, err := range r.All() {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// ErrManifest says that a manifest is there and cannot be understood: damaged, or of a newer version.
var ErrManifest = errors.New("the manifest cannot be understood")

// ReadManifest reads the manifest that lies under key.
func ReadManifest(ctx context.Context, s Store, key string) (*Manifest, error) {
	raw, err := s.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	defer func() { _ = raw.Close() }()
	b, err := io.ReadAll(io.LimitReader(raw, MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("read manifest %s: %w: it is larger than %d bytes", key, ErrManifest, MaxManifest)
	}
	m, err := ParseManifest(key, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return m, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// remembering keeps the error of the store's bytes apart from those of what they hold.
type remembering struct {
	r   io.Reader
	err error
}

func (s *remembering) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// blame is the store's error if there was one, and else says that the object is corrupt.
func (s *remembering) blame(err error) error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}
