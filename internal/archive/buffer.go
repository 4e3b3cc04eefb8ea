package archive

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"sluice/internal/record"
)

// Bounds of the memory that a range's rows take before they go to its file. With the eleven lists of a source and their
// twins that is some 6 MiB.
const (
	bufferLimit = 256 << 10 // a range's rows in memory
	directWrite = 64 << 10  // a run of rows of this size goes to the file without a stop in a buffer
	keptHours   = 4         // up to so many hours keep their empty buffers for what comes next
)

// buffer holds the uncompressed rows of a range, by hour, in memory while they are few and else in one temporary file.
type buffer struct {
	dir   string
	hours map[hour]*hourRows
	held  int64 // bytes in memory
	bytes int64 // bytes in all

	file *os.File
	off  int64
}

// hourRows are the rows of one hour, in the order of their positions.
type hourRows struct {
	parts   []extent // in the file
	mem     []byte   // behind them
	bytes   int64
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
		h = &hourRows{first: r.first, last: r.last}
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
	if len(r.rows) >= directWrite && b.spill(h) == nil && b.write(h, r.rows) == nil {
		return
	}
	h.mem = append(h.mem, r.rows...)
	b.held += int64(len(r.rows))
}

// relieve moves what is in memory to the file once it is more than the limit.
func (b *buffer) relieve() error {
	if b.held <= bufferLimit {
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
	if cap(h.mem) > directWrite || len(b.hours) > keptHours {
		h.mem = nil
	}
	return nil
}

// write appends to the file. A write that fails half-way leaves bytes that no extent names.
func (b *buffer) write(h *hourRows, rows []byte) error {
	if b.file == nil {
		f, err := os.CreateTemp(b.dir, "rows-*")
		if err != nil {
			return fmt.Errorf("gather rows: %w", err)
		}
		b.file = f
	}
	n, err := b.file.WriteAt(rows, b.off)
	at := b.off
	b.off += int64(n)
	if err != nil {
		return fmt.Errorf("gather rows: %w", err)
	}
	if last := len(h.parts) - 1; last >= 0 && h.parts[last].off+h.parts[last].n == at {
		h.parts[last].n += int64(n)
		return nil
	}
	h.parts = append(h.parts, extent{at, int64(n)})
	return nil
}

// copyTo writes an hour's rows in order.
func (b *buffer) copyTo(w io.Writer, h *hourRows) error {
	for _, p := range h.parts {
		if _, err := io.Copy(w, io.NewSectionReader(b.file, p.off, p.n)); err != nil {
			return fmt.Errorf("read gathered rows: %w", err)
		}
	}
	_, err := w.Write(h.mem)
	return err
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
	*b = buffer{dir: b.dir}
}

// discard closes and removes a temporary file. What fails is found and removed when the gatherer opens next.
func discard(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}
