package columnar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"sluice/internal/archive"
)

// Bounds of what is held before it is compressed and written: a row group's rows, and the values of a column that are worth
// a dictionary.
const (
	groupBytes = 32 << 20 // of cells
	groupRows  = 1 << 18
	dictionary = 256 << 10
	pageBytes  = 256 << 10
	writeRows  = 256
)

// file writes rows into a Parquet file, a row group at a time.
type file struct {
	w      *parquet.GenericWriter[any]
	schema *parquet.Schema
	width  int
	nanos  int // where the rest of a timestamp goes

	rows    []parquet.Row
	held    int // bytes in the row group
	inGroup int64
	Records int64
}

// newFile begins a file. from is what its footer says that it was made from.
func newFile(to io.Writer, from []source) (*file, error) {
	names, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	f := &file{schema: schema()}
	f.width = len(f.schema.Columns())
	leaf, ok := f.schema.Lookup(nanos)
	if !ok {
		return nil, errors.New("the schema has no column " + nanos)
	}
	f.nanos = leaf.ColumnIndex
	f.w = parquet.NewGenericWriter[any](to, f.schema, parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(1), parquet.PageBufferSize(pageBytes),
		parquet.DictionaryMaxBytes(dictionary), parquet.CreatedBy("sluice", fmt.Sprint(schemaVersion), ""), parquet.KeyValueMetadata("sluice.sources", string(names)))
	return f, nil
}

// object writes the rows of an object. What it holds was as its manifest says once this returns without an error.
func (f *file) object(ctx context.Context, s archive.Store, m *archive.Manifest) error {
	r, err := archive.Open(ctx, s, m)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read from
	cells, err := layout(f.schema, r.Header().Names())
	if err != nil {
		return fmt.Errorf("read object %s: %w", m.Key, err)
	}
	for n := int64(1); ; n++ {
		line, err := r.Line()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		texts, err := r.Header().Cells(line)
		if err == nil {
			err = f.row(cells, texts)
		}
		if err != nil {
			return fmt.Errorf("read object %s: row %d: %w", m.Key, n, err)
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// row takes a row in.
func (f *file) row(cells []cell, texts []string) error {
	row := make(parquet.Row, f.width)
	for i := range row {
		row[i] = parquet.NullValue().Level(0, 0, i)
	}
	for i := range cells {
		c := &cells[i]
		if c.index < 0 {
			continue
		}
		v, rest, err := c.value(texts[i])
		if err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		f.held += len(texts[i])
		if v.IsNull() {
			continue
		}
		row[c.index] = v.Level(0, 1, c.index)
		if c.kind == moment {
			row[f.nanos] = parquet.Int32Value(rest).Level(0, 1, f.nanos)
		}
	}
	f.rows = append(f.rows, row)
	f.Records++
	f.inGroup++
	if full := f.held >= groupBytes || f.inGroup >= groupRows; full || len(f.rows) >= writeRows {
		return f.flush(full)
	}
	return nil
}

// flush hands rows on, and ends the row group if that is full.
func (f *file) flush(full bool) error {
	if _, err := f.w.WriteRows(f.rows); err != nil {
		return err
	}
	clear(f.rows)
	f.rows = f.rows[:0]
	if !full {
		return nil
	}
	f.held, f.inGroup = 0, 0
	return f.w.Flush()
}

// finish writes what is left and the footer.
func (f *file) finish() error { return errors.Join(f.flush(false), f.w.Close()) }
