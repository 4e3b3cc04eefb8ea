package archive

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sluice/internal/pipeline"
)

// ImportOptions of an Importer.
type ImportOptions struct {
	Store  Store
	Layout Layout
	Shape  pipeline.RecordShape // what was done to the rows; its region is that of the objects
	From   string               // the kind of store they come from
	Stream pipeline.StreamID    // of a lineage that IsImport
	Dir    string               // for temporary files
}

// Importer writes rows that were read from another store: an object for each hour that they touch, named by its first and last
// row, then its manifest. Rows come in the order of their positions, each once; that none is in the archive already is its
// user's to see to. It is for one goroutine.
type Importer struct {
	o     ImportOptions
	enc   Encoder
	buf   []byte
	rows  buffer
	spans map[hour]*importSpan
}

type importSpan struct{ first, last pipeline.Position }

// NewImporter makes an Importer. The caller closes it.
func NewImporter(o ImportOptions) *Importer {
	o.Layout.Version = FormatVersion
	return &Importer{o: o, enc: Encoder{Neutral: o.Layout.Neutral}, spans: map[hour]*importSpan{},
		rows: buffer{dir: o.Dir, kind: o.Layout.Compression, pack: &packer{}, files: &handles{ownFiles}, limit: rowLimit(1)}}
}

// Add takes a row over.
func (im *Importer) Add(r *Row) error {
	if err := im.rows.relieve(); err != nil {
		return err
	}
	im.buf = im.enc.AppendRow(im.buf[:0], r)
	h := hourOf(r.Record.TimeStamp)
	one := run{hour: h, rows: im.buf}
	one.count(r.Record)
	im.rows.add(one)
	if s := im.spans[h]; s == nil {
		im.spans[h] = &importSpan{r.Position, r.Position}
	} else {
		s.last = r.Position
	}
	return nil
}

// Bytes is what was added since the last Flush, in bytes of rows.
func (im *Importer) Bytes() int64 { return im.rows.bytes }

// Flush makes durable what was added, and tells what was made. After an error it may be repeated.
func (im *Importer) Flush(ctx context.Context) (made []*Manifest, err error) {
	for _, h := range im.rows.sorted() {
		rows := im.rows.hours[h]
		m, err := im.put(ctx, h, rows)
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		made = append(made, m)
	}
	im.Close()
	return made, nil
}

// Close drops what was added and not flushed.
func (im *Importer) Close() {
	im.rows.drop()
	clear(im.spans)
}

func (im *Importer) put(ctx context.Context, h hour, rows *hourRows) (*Manifest, error) {
	s := im.spans[h]
	g := &gathered{stream: im.o.Stream, record: im.o.Shape, rows: im.rows, from: s.first, to: behind(s.last),
		members: members{Layout: im.o.Layout, Region: im.o.Shape.Region}}
	body, m, err := g.object(rows)
	im.rows = g.rows
	if err != nil {
		return nil, err
	}
	m.Imported = im.o.From
	m.Key = Partition(im.o.Layout.Prefix, im.o.Shape.Region, h.time()) + m.Object
	up := uploader{store: im.o.Store}
	err = up.putObject(ctx, m, body)
	var conflict *ConflictError
	if errors.As(err, &conflict) {
		return im.instead(ctx, h, body, m, conflict)
	}
	if err != nil {
		return nil, err
	}
	return m, up.putManifest(ctx, m)
}

// instead writes rows whose name is taken by an object with other ones. Without a manifest that is what a crash left before the
// rows changed, for one by other masks: it never counted, and what is written now stands for it for ever.
func (im *Importer) instead(ctx context.Context, h hour, body *body, m *Manifest, conflict error) (*Manifest, error) {
	if _, err := im.o.Store.Head(ctx, m.ManifestKey()); !errors.Is(err, ErrNotFound) {
		return nil, errors.Join(conflict, err)
	}
	there, err := ReadHour(ctx, im.o.Store, im.o.Layout.Prefix, im.o.Shape.Region, h.time())
	if err != nil {
		return nil, err
	}
	w := &Rewriter{Store: im.o.Store, Prefix: im.o.Layout.Prefix, Dir: im.o.Dir}
	n, err := w.numbers(ctx, &there)
	if err != nil {
		return nil, err
	}
	out := *m
	out.Replaces = append(n.void, m.Name())
	slices.Sort(out.Replaces)
	out.Object = numbered(n.next) + m.Compression.Ext()
	out.Key = strings.TrimSuffix(m.Key, m.Object) + out.Object
	return &out, w.write(ctx, &out, func(to *rowWriter) error {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return copyRows(body, m.Compression, to)
	})
}

// copyRows writes an object's rows anew, as they are.
func copyRows(from io.Reader, kind Compression, to *rowWriter) error {
	plain, err := decompress(kind, from)
	if err != nil {
		return err
	}
	defer func() { _ = plain.Close() }() // it was only read from
	lines := bufio.NewReader(plain)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		}
		if err != nil {
			return err
		}
		write := to.row
		if n == 0 {
			write = to.header
		}
		if err := write(strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
}

// IDs reads the record IDs of an object, in the order of its rows.
func IDs(ctx context.Context, s Store, m *Manifest, each func(id [12]byte)) error {
	r, err := Open(ctx, s, m)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read from
	for n := 0; ; n++ {
		line, err := r.Line()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		id, err := r.head.id(line)
		if err != nil {
			return fmt.Errorf("read object %s: row %d: %w", m.Key, n+1, err)
		}
		each(id)
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// id reads the ID of a row alone, which today's objects have in their first column.
func (h *Header) id(line string) (id [12]byte, err error) {
	if cell, _, ok := strings.Cut(line, ","); ok && strings.HasPrefix(h.line, columns[0].name+",") && len(cell) == hex.EncodedLen(len(id)) {
		_, err := hex.Decode(id[:], []byte(cell))
		return id, err
	}
	row, err := h.Row(line)
	return row.ID, err
}
