package archive

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"sluice/internal/pipeline"
)

// body is a compressed object: its pieces, in memory and in the file of gathered rows, read as one.
type body struct {
	parts []part
	size  int64
	off   int64
	file  *os.File // that holds the object and nothing else; nil: there is none
}

var errScattered = errors.New("the object is in no file of its own")

// Link implements Linker.
func (b *body) Link(name string) error {
	if b.file == nil {
		return errScattered
	}
	return os.Link(b.file.Name(), name)
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
	var err error
	if rows.own != nil {
		err = r.rows.inFile(b, rows)
	} else {
		err = r.rows.inPieces(b, rows)
	}
	if err != nil {
		return nil, nil, err
	}
	rows.sum.Write(rows.mem[rows.hashed:])
	rows.hashed = len(rows.mem)
	m := r.manifest(rows)
	m.Bytes, m.SHA256 = int64(len(AppendHeader(nil)))+rows.bytes, hex.EncodeToString(rows.sum.Sum(nil))
	return b, m, nil
}

// inFile makes the hour's own file the object.
func (b *buffer) inFile(to *body, rows *hourRows) error {
	if err := b.spill(rows); err != nil {
		return err
	}
	if err := rows.own.finish(); err != nil {
		return fmt.Errorf("gather rows: %w", err)
	}
	to.file = rows.own.file
	to.add(to.file, 0, rows.own.end)
	return nil
}

func (b *buffer) inPieces(to *body, rows *hourRows) error {
	if err := b.inMemory(to, AppendHeader(nil)); err != nil {
		return err
	}
	for _, p := range rows.parts {
		to.add(b.common.file, p.off, p.n)
	}
	return b.inMemory(to, rows.mem)
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
