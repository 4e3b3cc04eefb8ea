package archive

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"time"

	"sluice/internal/record"
)

// Bounds of the memory that rows take before they are compressed and go to their range's file. Ranges share rowMemory:
// the more rows are compressed at once, the smaller they become.
const (
	rowMemory   = 8 << 20   // of all ranges
	bufferLimit = 256 << 10 // of one, at least, however many there are
	directWrite = 64 << 10  // beyond it a buffer is not kept for what comes next, where hours are many
)

// rowLimit is what each of n ranges may hold.
func rowLimit(n int) int64 { return min(max(rowMemory/int64(max(n, 1)), bufferLimit), pieceSize) }

// buffer holds the rows of a range, by hour: in memory while they are few, else compressed in temporary files. An hour has
// a file of its own while there are few of them, which then is the object, header and all, and need not be copied where the
// archive lies in a directory.
type buffer struct {
	dir   string
	kind  Compression
	pack  *packer  // shared with other ranges
	files *handles // shared with other ranges
	hours map[hour]*hourRows
	limit int64 // of held
	held  int64 // bytes in memory
	bytes int64 // bytes in all, not compressed

	common rowsFile // of the hours that have none of their own
}

// hourRows are the rows of one hour, in the order of their positions.
type hourRows struct {
	own     *rowsFile // header and rows, compressed
	parts   []extent  // or, without the header: in the common file
	mem     []byte    // behind them, not compressed
	bytes   int64     // in all, not compressed
	sum     hash.Hash // SHA-256 of header and rows, not compressed, but for those behind hashed
	hashed  int       // of mem
	records int64
	first   time.Time
	last    time.Time
	done    bool // object and manifest are in the store
}

type extent struct{ off, n int64 }

// run is a stretch of encoded rows of one hour.
type run struct {
	hour  hour
	rows  []byte
	n     int64
	first time.Time
	last  time.Time
}

func (r *run) count(rec *record.Record) {
	t := rec.TimeStamp.UTC()
	if r.n == 0 || t.Before(r.first) {
		r.first = t
	}
	if r.n == 0 || t.After(r.last) {
		r.last = t
	}
	r.n++
}

// add takes a run over; its rows are copied or written. It cannot fail: what the file does not take stays in memory, and
// the next relieve says so before more comes.
func (b *buffer) add(r run) {
	if b.hours == nil {
		b.hours = make(map[hour]*hourRows)
	}
	h := b.hours[r.hour]
	if h == nil {
		h = &hourRows{first: r.first, last: r.last, sum: sha256.New()}
		h.sum.Write(AppendHeader(nil))
		b.hours[r.hour] = h
	}
	if r.first.Before(h.first) {
		h.first = r.first
	}
	if r.last.After(h.last) {
		h.last = r.last
	}
	h.records += r.n
	h.bytes += int64(len(r.rows))
	b.bytes += int64(len(r.rows))
	hashed := false
	if b.direct(len(r.rows)) && b.spill(h) == nil {
		if b.write(h, r.rows, 0) == nil {
			return
		}
		hashed = true
	}
	h.mem = append(h.mem, r.rows...)
	b.held += int64(len(r.rows))
	if hashed {
		h.hashed = len(h.mem)
	}
}

// direct tells whether rows go to the file by themselves, without waiting for more: what is compressed becomes smaller the
// more it is.
func (b *buffer) direct(n int) bool {
	if b.kind == None {
		return n >= directWrite
	}
	return int64(n) >= b.limit/2
}

// relieve moves what is in memory to the file once it is more than the limit.
func (b *buffer) relieve() error {
	if b.held <= b.limit {
		return nil
	}
	return b.spillAll()
}

func (b *buffer) spillAll() error {
	for _, h := range b.hours {
		if err := b.spill(h); err != nil {
			return err
		}
	}
	return nil
}

// spill moves an hour's rows from memory to the file.
func (b *buffer) spill(h *hourRows) error {
	if len(h.mem) == 0 {
		return nil
	}
	hashed := h.hashed
	h.hashed = len(h.mem)
	if err := b.write(h, h.mem, hashed); err != nil {
		return err
	}
	b.held -= int64(len(h.mem))
	h.mem, h.hashed = h.mem[:0], 0
	if cap(h.mem) > directWrite && len(b.hours) > 1 {
		h.mem = nil
	}
	return nil
}

// write appends all of the rows to the file, piece by piece, or none of them. Meanwhile those from hashed on go into the
// hash, also when the file does not take them.
func (b *buffer) write(h *hourRows, rows []byte, hashed int) error {
	summed := make(chan struct{})
	go func() {
		defer close(summed)
		h.sum.Write(rows[hashed:])
	}()
	defer func() { <-summed }()
	if err := b.begin(h); err != nil {
		return fmt.Errorf("gather rows: %w", err)
	}
	parts, last, end := len(h.parts), extent{}, int64(0)
	if parts > 0 {
		last = h.parts[parts-1]
	}
	if h.own != nil {
		end = h.own.end
	}
	for piece := range slices.Chunk(rows, pieceSize) {
		packed, err := b.pack.pack(b.kind, piece)
		if err == nil {
			err = b.append(h, packed)
		}
		if err != nil {
			if h.parts = h.parts[:parts]; parts > 0 {
				h.parts[parts-1] = last
			}
			if h.own != nil {
				h.own.end = end
			}
			return fmt.Errorf("gather rows: %w", err)
		}
	}
	return nil
}

// begin gives an hour a file of its own, unless there are too many.
func (b *buffer) begin(h *hourRows) error {
	if h.own != nil || len(h.parts) > 0 || b.files.left == 0 {
		return nil
	}
	packed, err := b.pack.pack(b.kind, AppendHeader(nil))
	if err != nil {
		return err
	}
	own := &rowsFile{}
	if _, err := own.append(b.dir, packed); err != nil {
		own.discard()
		return err
	}
	b.files.left--
	h.own = own
	return nil
}

func (b *buffer) append(h *hourRows, packed []byte) error {
	if h.own != nil {
		_, err := h.own.append(b.dir, packed)
		return err
	}
	e, err := b.common.append(b.dir, packed)
	if err != nil {
		return err
	}
	if last := len(h.parts) - 1; last >= 0 && h.parts[last].off+h.parts[last].n == e.off {
		h.parts[last].n += e.n
		return nil
	}
	h.parts = append(h.parts, e)
	return nil
}

// sorted are the hours in order.
func (b *buffer) sorted() []hour {
	list := make([]hour, 0, len(b.hours))
	for h := range b.hours {
		list = append(list, h)
	}
	slices.Sort(list)
	return list
}

// drop frees everything.
func (b *buffer) drop() {
	for _, h := range b.hours {
		if h.own != nil {
			h.own.discard()
			b.files.left++
		}
	}
	b.common.discard()
	*b = buffer{dir: b.dir, kind: b.kind, pack: b.pack, files: b.files, limit: b.limit}
}
