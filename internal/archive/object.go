package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"sluice/internal/pipeline"
)

// body is a compressed object, in memory or in a temporary file.
type body struct {
	io.ReadSeeker
	size int64
	file *os.File
}

func (b *body) drop() {
	if b.file != nil {
		discard(b.file)
	}
}

// smallObject is up to which size of rows an object is made in memory.
const smallObject = 1 << 20

// build compresses an hour's rows and describes them.
func (u *uploader) build(r *gathered, rows *hourRows) (*body, *Manifest, error) {
	b := &body{}
	var mem bytes.Buffer
	var out io.Writer = &mem
	if rows.bytes > smallObject {
		f, err := os.CreateTemp(u.dir, "object-*")
		if err != nil {
			return nil, nil, fmt.Errorf("compress gathered rows: %w", err)
		}
		b.file, out = f, f
	}
	counted := &counter{w: out}
	m, err := u.compress(counted, r, rows)
	if err != nil {
		b.drop()
		return nil, nil, err
	}
	b.size, b.ReadSeeker = counted.n, b.file
	if b.file == nil {
		b.ReadSeeker = bytes.NewReader(mem.Bytes())
	}
	return b, m, nil
}

func (u *uploader) compress(w io.Writer, r *gathered, rows *hourRows) (*Manifest, error) {
	comp, err := u.comp.writer(r.members.Compression, w)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	content := &counter{w: io.MultiWriter(hash, comp)}
	if _, err = content.Write(AppendHeader(nil)); err == nil {
		err = r.rows.copyTo(content, rows)
	}
	if end := comp.Close(); err == nil {
		err = end
	}
	if err != nil {
		return nil, fmt.Errorf("compress gathered rows: %w", err)
	}
	m := r.manifest(rows)
	m.Bytes, m.SHA256 = content.n, hex.EncodeToString(hash.Sum(nil))
	return m, nil
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

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
