package archive

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
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

// buffer holds the rows of a range, by hour: in memory while they are few, else compressed in one temporary file.
type buffer struct {
	dir   string
	kind  Compression
	pack  *packer // shared with other ranges
	hours map[hour]*hourRows
	limit int64 // of held
	held  int64 // bytes in memory
	bytes int64 // bytes in all, not compressed

	file *os.File
	off  int64
}

// hourRows are the rows of one hour, in the order of their positions.
type hourRows struct {
	parts   []extent  // in the file, compressed
	mem     []byte    // behind them, not compressed
	bytes   int64     // in all, not compressed
	sum     hash.Hash // SHA-256 of header and rows, not compressed
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
	h.sum.Write(r.rows)
	b.bytes += int64(len(r.rows))
	if int64(len(r.rows)) >= b.limit/2 && b.spill(h) == nil && b.write(h, r.rows) == nil {
		return
	}
	h.mem = append(h.mem, r.rows...)
	b.held += int64(len(r.rows))
}

// relieve moves what is in memory to the file once it is more than the limit.
func (b *buffer) relieve() error {
	if b.held <= b.limit {
		return nil
	}
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
	if err := b.write(h, h.mem); err != nil {
		return err
	}
	b.held -= int64(len(h.mem))
	h.mem = h.mem[:0]
	if cap(h.mem) > directWrite && len(b.hours) > 1 {
		h.mem = nil
	}
	return nil
}

// write appends all of the rows to the file, piece by piece, or none of them.
func (b *buffer) write(h *hourRows, rows []byte) error {
	before, last := len(h.parts), extent{}
	if before > 0 {
		last = h.parts[before-1]
	}
	for piece := range slices.Chunk(rows, pieceSize) {
		packed, err := b.pack.pack(b.kind, piece)
		if err == nil {
			err = b.append(h, packed)
		}
		if err != nil {
			if h.parts = h.parts[:before]; before > 0 {
				h.parts[before-1] = last
			}
			return fmt.Errorf("gather rows: %w", err)
		}
	}
	return nil
}

// append writes to the file. A write that fails half-way leaves bytes that no extent names.
func (b *buffer) append(h *hourRows, packed []byte) error {
	if b.file == nil {
		f, err := os.CreateTemp(b.dir, "rows-*")
		if err != nil {
			return err
		}
		b.file = f
	}
	n, err := b.file.WriteAt(packed, b.off)
	at := b.off
	b.off += int64(n)
	if err != nil {
		return err
	}
	if last := len(h.parts) - 1; last >= 0 && h.parts[last].off+h.parts[last].n == at {
		h.parts[last].n += int64(n)
		return nil
	}
	h.parts = append(h.parts, extent{at, int64(n)})
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
	if b.file != nil {
		discard(b.file)
	}
	*b = buffer{dir: b.dir, kind: b.kind, pack: b.pack, limit: b.limit}
}

// discard closes and removes a temporary file. What fails is found and removed when the gatherer opens next.
func discard(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}
