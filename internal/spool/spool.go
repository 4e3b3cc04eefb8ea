// Package spool keeps batches of sinks that are down: in a directory, or below a prefix of a bucket, one object a batch
// (docs/decisions/0012-spool-and-guard.md).
package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"

	"sluice/internal/archive"
	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// suffix ends the names of batches.
const suffix = ".batch"

// Spool implements pipeline.Spool over the archive's store.
type Spool struct {
	store  archive.Store
	prefix string
	where  string
}

var _ pipeline.Spool = (*Spool)(nil)

// New keeps batches below the prefix. where names the spool in registries; every process that reaches the same store
// by the same prefix must call it so.
func New(s archive.Store, prefix, where string) *Spool {
	return &Spool{store: s, prefix: prefix, where: strings.ReplaceAll(where, " ", "%20")}
}

// Where implements pipeline.Spool.
func (s *Spool) Where() string { return s.where }

func (s *Spool) dir(id pipeline.SpoolID) string { return s.prefix + id.Lineage + "/" + id.Sink + "/" }

func (s *Spool) key(id pipeline.SpoolID, p pipeline.Position) string {
	return s.dir(id) + p.String() + suffix
}

// Put implements pipeline.Spool.
func (s *Spool) Put(ctx context.Context, id pipeline.SpoolID, b *pipeline.SpoolBatch) (uint32, error) {
	data, err := encode(b)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(data)
	start := pipeline.Position{Claim: b.Claim, Index: b.From}
	crash.Before("spool/put")
	_, created, err := s.store.PutIfAbsent(ctx, s.key(id, start), bytes.NewReader(data), int64(len(data)), hex.EncodeToString(sum[:]))
	crash.After("spool/put")
	if err != nil {
		return 0, err
	}
	if created {
		return b.To, nil
	}
	return s.check(ctx, id, start, b)
}

// check reads the batch that is there already to its end, and holds it against the one that should be.
func (s *Spool) check(ctx context.Context, id pipeline.SpoolID, start pipeline.Position, b *pipeline.SpoolBatch) (uint32, error) {
	r, err := s.open(ctx, id, start)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if h := r.head; h.ClaimLen != b.ClaimLen || h.Kind != b.Kind || h.Format != b.Format {
		return 0, fmt.Errorf("%w: the batch %s that is there is of another claim", errDamaged, start)
	}
	for index := r.head.From; index < r.head.To; index++ {
		e, err := r.element()
		if err != nil {
			return 0, err
		}
		if i := int(index - b.From); i < len(b.Elements) && (e.Hash != b.Elements[i].Hash || !bytes.Equal(e.Payload, b.Elements[i].Payload)) {
			return 0, fmt.Errorf("%w: the batch %s that is there has another element %d", errDamaged, start, index)
		}
	}
	return r.head.To, nil
}

// Starts implements pipeline.Spool.
func (s *Spool) Starts(ctx context.Context, id pipeline.SpoolID) iter.Seq2[pipeline.Position, error] {
	return func(yield func(pipeline.Position, error) bool) {
		dir := s.dir(id)
		for info, err := range s.store.List(ctx, dir) {
			if err != nil {
				yield(pipeline.Position{}, err)
				return
			}
			name, ok := strings.CutSuffix(strings.TrimPrefix(info.Key, dir), suffix)
			p, err := pipeline.ParsePosition(name)
			if !ok || err != nil {
				continue // not ours
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// Use counts the batches of a sink on a stream, and their bytes, from the position on, and tells where the first one begins.
func (s *Spool) Use(ctx context.Context, id pipeline.SpoolID, from pipeline.Position) (batches int, size int64, first pipeline.Position, err error) {
	dir := s.dir(id)
	for info, err := range s.store.List(ctx, dir) {
		if err != nil {
			return 0, 0, first, fmt.Errorf("look into the spool: %w", err)
		}
		name, ok := strings.CutSuffix(strings.TrimPrefix(info.Key, dir), suffix)
		p, err := pipeline.ParsePosition(name)
		if !ok || err != nil || p.Claim.Compare(from.Claim) < 0 {
			continue // not ours, or left behind
		}
		if batches == 0 {
			first = p
		}
		batches, size = batches+1, size+info.Size
	}
	return batches, size, first, nil
}

// Head implements pipeline.Spool.
func (s *Spool) Head(ctx context.Context, id pipeline.SpoolID, start pipeline.Position) (pipeline.SpoolHead, error) {
	r, err := s.open(ctx, id, start)
	if err != nil {
		return pipeline.SpoolHead{}, err
	}
	return r.head, r.Close()
}

// Read implements pipeline.Spool. What lies behind the bounds is not read; every element is checked by itself.
func (s *Spool) Read(ctx context.Context, id pipeline.SpoolID, start pipeline.Position, index, count uint32, limit int64) ([]pipeline.Element, error) {
	r, err := s.open(ctx, id, start)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if index < r.head.From || index >= r.head.To || count == 0 {
		return nil, fmt.Errorf("the spooled batch %s has no %d elements from %d", start, count, index)
	}
	for i := r.head.From; i < index; i++ {
		if err := r.skip(); err != nil {
			return nil, err
		}
	}
	var out []pipeline.Element
	for i := index; i < min(index+min(count, r.head.To-index), r.head.To); i++ {
		size, err := r.next()
		if err != nil {
			return nil, err
		}
		if limit -= int64(size); limit < 0 && len(out) > 0 {
			break
		}
		e, err := r.payload()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Remove implements pipeline.Spool.
func (s *Spool) Remove(ctx context.Context, id pipeline.SpoolID, start pipeline.Position) error {
	crash.Before("spool/remove")
	err := s.store.Delete(ctx, s.key(id, start))
	crash.After("spool/remove")
	return err
}

// open reads a batch up to its first element.
func (s *Spool) open(ctx context.Context, id pipeline.SpoolID, start pipeline.Position) (*reader, error) {
	body, err := s.store.Get(ctx, s.key(id, start))
	if errors.Is(err, archive.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrNotSpooled, err)
	}
	if err != nil {
		return nil, err
	}
	r, err := newReader(body)
	if err == nil && (pipeline.Position{Claim: r.head.Claim, Index: r.head.From}) != start {
		err = fmt.Errorf("%w: the batch %s has the name of %s", errDamaged, pipeline.Position{Claim: r.head.Claim, Index: r.head.From}, start)
	}
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return r, nil
}
