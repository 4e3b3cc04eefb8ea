package archive

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"sluice/internal/pipeline"
)

// body is a compressed object: its pieces, in memory and in the file of gathered rows, read as one.
type body struct {
	parts []part
	size  int64
	off   int64
}

// part is a stretch of an object.
type part struct {
	from io.ReaderAt
	off  int64 // in from
	at   int64 // in the object
	n    int64
}

func (b *body) add(from io.ReaderAt, off, n int64) {
	if n > 0 {
		b.parts = append(b.parts, part{from, off, b.size, n})
		b.size += n
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	i, ok := slices.BinarySearchFunc(b.parts, b.off, func(p part, off int64) int {
		switch {
		case off < p.at:
			return 1
		case off >= p.at+p.n:
			return -1
		}
		return 0
	})
	if !ok {
		return 0, io.EOF
	}
	c := &b.parts[i]
	within := b.off - c.at
	n, err := c.from.ReadAt(p[:min(int64(len(p)), c.n-within)], c.off+within)
	b.off += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == io.EOF { // the file is shorter than what was written to it
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// Seek implements io.Seeker.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.off
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d", offset)
	}
	b.off = offset
	return offset, nil
}

// object puts an hour's pieces together and describes them. The body is valid as long as the buffer is not changed.
func (r *gathered) object(rows *hourRows) (*body, *Manifest, error) {
	b := &body{}
	if err := r.rows.inMemory(b, AppendHeader(nil)); err != nil {
		return nil, nil, err
	}
	for _, p := range rows.parts {
		b.add(r.rows.file, p.off, p.n)
	}
	if err := r.rows.inMemory(b, rows.mem); err != nil {
		return nil, nil, err
	}
	m := r.manifest(rows)
	m.Bytes, m.SHA256 = int64(len(AppendHeader(nil)))+rows.bytes, hex.EncodeToString(rows.sum.Sum(nil))
	return b, m, nil
}

// inMemory appends what is not compressed yet to an object.
func (b *buffer) inMemory(to *body, rows []byte) error {
	for piece := range slices.Chunk(rows, pieceSize) {
		packed, err := b.pack.pack(b.kind, piece)
		if err != nil {
			return fmt.Errorf("compress gathered rows: %w", err)
		}
		to.add(bytes.NewReader(bytes.Clone(packed)), 0, int64(len(packed)))
	}
	return nil
}

// manifest describes an hour's rows, but for their bytes and hash.
func (r *gathered) manifest(rows *hourRows) *Manifest {
	shape := &r.record
	masks := shape.Masks
	if masks == nil {
		masks = []pipeline.Mask{}
	}
	return &Manifest{
		Version: r.members.Version, Object: Name(r.stream.Lineage, r.from, r.to) + r.members.Compression.Ext(),
		Records: rows.records, First: rows.first, Last: rows.last,
		Positions: []Range{{r.stream.Lineage, r.from.String(), r.to.String()}},
		Columns:   Columns(), Replaces: []string{}, Filters: shape.Filters, Masks: masks,
		DropBodies: shape.DropBodies, Accept: shape.Accept, Compression: r.members.Compression,
		Region: r.members.Region, Source: r.stream.Source, List: r.stream.List, Lineage: r.stream.Lineage,
	}
}
