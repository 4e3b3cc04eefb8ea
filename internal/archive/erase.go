package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Fate is what becomes of a row when an object is rewritten.
type Fate int

// The fates.
const (
	Keep    Fate = iota
	Drop         // the row is left out
	Changed      // the row was changed and is written as it is now
)

// Affected is an object of which rows would be dropped or changed.
type Affected struct {
	Object *Manifest
	Rows   int64
}

// Affected reads the objects of an hour that count and tells which hold rows that judge does not keep. Nothing is changed in
// the archive.
func (w *Rewriter) Affected(ctx context.Context, h *Hour, judge func(*Row) Fate) (out []Affected, err error) {
	for _, m := range h.Manifests {
		r, err := Open(ctx, w.Store, m)
		if err != nil {
			return out, err
		}
		n := int64(0)
		for row, err := range r.All() {
			if err != nil {
				return out, errors.Join(err, r.Close())
			}
			if ctx.Err() != nil {
				return out, errors.Join(context.Cause(ctx), r.Close())
			}
			if judge(&row) != Keep {
				n++
			}
		}
		if err := r.Close(); err != nil {
			return out, fmt.Errorf("read object %s: %w", m.Key, err)
		}
		if n > 0 {
			out = append(out, Affected{m, n})
		}
	}
	return out, nil
}

// Rewrite writes the hour's objects of which judge does not keep all rows anew. What was there is replaced and stays until it
// is deleted, see Leftovers. made is called with the rows that were dropped or changed, object by object.
func (w *Rewriter) Rewrite(ctx context.Context, region string, t time.Time, judge func(*Row) Fate, made func(rows int64)) error {
	for raced := 1; ; raced++ {
		err := w.rewriteHour(ctx, region, t, judge, made)
		if !errors.Is(err, ErrRaced) || raced >= raceTries {
			return err
		}
	}
}

func (w *Rewriter) rewriteHour(ctx context.Context, region string, t time.Time, judge func(*Row) Fate, made func(int64)) error {
	h, err := ReadHour(ctx, w.Store, w.Prefix, region, t)
	if err != nil {
		return err
	}
	if len(h.Broken) > 0 {
		return fmt.Errorf("what the hour has is not known: %w", h.Broken[0].Err)
	}
	affected, err := w.Affected(ctx, &h, judge)
	if err != nil || len(affected) == 0 {
		return err
	}
	n, err := w.numbers(ctx, &h)
	if err != nil {
		return err
	}
	for _, a := range affected {
		m := joined([]*Manifest{a.Object}, numbered(n.next), n.void)
		m.Columns = Columns()
		if err := w.write(ctx, m, func(out *rowWriter) error { return w.judged(ctx, a.Object, m, judge, out) }); err != nil {
			return err
		}
		n.next++
		made(a.Rows)
	}
	return nil
}

// judged writes the rows of an object as they are judged. Those that are kept stay as they are to the byte, if the columns
// are those of today.
func (w *Rewriter) judged(ctx context.Context, from, to *Manifest, judge func(*Row) Fate, out *rowWriter) error {
	r, err := Open(ctx, w.Store, from)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read from
	today := strings.TrimSuffix(string(AppendHeader(nil)), "\n")
	if err := out.header(today); err != nil {
		return err
	}
	same := r.head.line == today
	enc := Encoder{Neutral: true} // harmless to whoever reads it, and needed if the object was written so
	for n := 0; ; n++ {
		line, err := r.Line()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		row, err := r.head.Row(line)
		if err != nil {
			return fmt.Errorf("read object %s: row %d: %w", from.Key, n+1, err)
		}
		fate := judge(&row)
		switch {
		case fate == Drop:
			to.Erased++
			continue
		case fate == Changed:
			to.Anonymised++
		}
		if fate == Changed || !same {
			line = strings.TrimSuffix(string(enc.AppendRow(nil, &row)), "\n")
		}
		if err := out.row(line); err != nil {
			return err
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
