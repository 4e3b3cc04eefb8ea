package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// faulty is an object that cannot be joined.
type faulty struct {
	key string
	err error
}

func (f *faulty) Error() string { return f.err.Error() }
func (f *faulty) Unwrap() error { return f.err }

// spring is an object that is being joined: the row that comes next, and where it belongs.
type spring struct {
	m     *Manifest
	r     *Reader
	line  string
	at    place
	begin place
	end   place
}

// merge writes the rows of a group, which comes in the order of its objects' first rows, by lineage and position. An
// object is open only while others' rows may lie between its own.
func merge(ctx context.Context, s Store, group []*Manifest, out *rowWriter) error {
	var open []*spring
	defer func() {
		for _, o := range open {
			_ = o.close(nil)
		}
	}()
	waiting := make([]*spring, len(group))
	for i, m := range group {
		waiting[i] = &spring{m: m}
		waiting[i].begin, waiting[i].end = m.bounds()
	}
	for len(open)+len(waiting) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		first := least(open)
		if first < 0 || len(waiting) > 0 && waiting[0].begin.compare(open[first].at) <= 0 {
			o := waiting[0]
			waiting = waiting[1:]
			more, err := o.begins(ctx, s, out)
			if err != nil {
				return err
			}
			if more {
				open = append(open, o)
			}
			continue
		}
		alone := len(open) == 1 && (len(waiting) == 0 || open[first].end.compare(waiting[0].begin) <= 0)
		more, err := open[first].pour(ctx, out, alone)
		if err != nil {
			return err
		}
		if !more {
			open = slices.Delete(open, first, first+1)
		}
	}
	return nil
}

// least is the one whose row comes first, -1 of none.
func least(open []*spring) int {
	first := -1
	for i, o := range open {
		if first < 0 || o.at.compare(open[first].at) < 0 {
			first = i
		}
	}
	return first
}

// begins opens the object and reads its first row; false: it has none.
func (o *spring) begins(ctx context.Context, s Store, out *rowWriter) (more bool, err error) {
	if o.r, err = Open(ctx, s, o.m); err != nil {
		return false, o.blame(err)
	}
	if err := out.header(o.r.head.line); err != nil {
		return false, o.close(o.blame(err))
	}
	return o.next()
}

// next reads the next row. Behind the last one the object was what its manifest says, and is closed.
func (o *spring) next() (more bool, err error) {
	line, err := o.r.Line()
	if err == io.EOF {
		return false, o.close(nil)
	}
	if err != nil {
		return false, o.close(o.blame(err))
	}
	at, err := o.r.head.place(line)
	if err == nil && (at.compare(o.at) < 0 || at.compare(o.begin) < 0 || at.compare(o.end) >= 0) {
		err = fmt.Errorf("read object %s: a row of %s at %s is out of order", o.m.Key, at.lineage, at.position)
	}
	if err != nil {
		return false, o.close(o.blame(err))
	}
	o.line, o.at = line, at
	return true, nil
}

// pour writes the row that comes next, or all that are left where no other's lie between them.
func (o *spring) pour(ctx context.Context, out *rowWriter, all bool) (more bool, err error) {
	if err := out.row(o.line); err != nil {
		return false, err
	}
	if !all {
		return o.next()
	}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		line, err := o.r.Line()
		if err == io.EOF {
			return false, o.close(nil)
		}
		if err != nil {
			return false, o.close(o.blame(err))
		}
		if err := out.row(line); err != nil {
			return false, err
		}
	}
}

// blame tells errors of the object from those of its store.
func (o *spring) blame(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) || o.r != nil && o.r.from.err == nil {
		return &faulty{o.m.Key, err}
	}
	return err
}

func (o *spring) close(err error) error {
	if o.r == nil {
		return err
	}
	closing := o.r.Close()
	o.r = nil
	if err == nil && closing != nil {
		err = fmt.Errorf("read object %s: %w", o.m.Key, closing)
	}
	return err
}
