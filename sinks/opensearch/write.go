package opensearch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
	"sluice/internal/tally"
)

// Write creates the batch's documents, in as many bulk requests as their size asks for. Records that are older than the
// retention of their index are left out.
func (s *Sink) Write(ctx context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	c, err := s.opened()
	if err != nil {
		return pipeline.Result{}, err
	}
	w, err := s.newWriter(c, b)
	if err != nil {
		return pipeline.Result{}, err
	}
	w.send(ctx, w.ensured(ctx, w.place()))
	w.reopen(ctx)
	return w.tally.Result()
}

// late is an item whose index is closed to writing, and the server's word for it.
type late struct {
	item int
	err  error
}

// reopen opens the indices that retention made read-only, and sends what they are owed again. A block that somebody else
// set stays, and records wait for it.
func (w *writer) reopen(ctx context.Context) {
	lates := w.late
	w.late, w.reopened = nil, true
	opened := map[string]bool{}
	var items []int
	for _, l := range lates {
		name := w.index[l.item]
		open, known := opened[name]
		if !known {
			var err error
			if open, err = w.client.unseal(ctx, name); err != nil {
				w.sink.log.Warn("late records wait for an index that is read-only", "index", name, "err", err)
			} else if open {
				w.sink.log.Info("an index that retention made read-only is open again for late records", "index", name)
			}
			opened[name] = open
		}
		if open {
			items = append(items, l.item)
		} else {
			w.tally.Retry([]int{l.item}, l.err)
		}
	}
	w.send(ctx, items)
}

// writer writes one batch.
type writer struct {
	sink   *Sink
	client *client
	batch  *pipeline.Batch
	shape  shape
	namer  namer
	tally  *tally.Tally
	index  []string // by item

	late     []late // items whose index is closed to writing
	reopened bool   // that was tried
}

func (s *Sink) newWriter(c *client, b *pipeline.Batch) (*writer, error) {
	sh, err := parseShape(b.Shape.JSON, s.cfg.shape())
	if err != nil {
		return nil, err
	}
	p := s.pattern
	if sh.Index != s.cfg.Index { // claimed under another configuration
		if p, err = parsePattern(sh.Index); err != nil {
			return nil, fmt.Errorf("the claim was made for index %q, which %w", sh.Index, err)
		}
	}
	return &writer{sink: s, client: c, batch: b, shape: sh, namer: namer{pattern: p},
		tally: tally.New(len(b.Items)), index: make([]string, len(b.Items))}, nil
}

// place finds the index of each item and returns the items that have one. The time that counts is the claim's, so that a
// redelivery decides alike.
func (w *writer) place() []int {
	var oldest time.Time
	if w.shape.Keep > 0 {
		oldest = w.batch.ClaimTime.Add(-w.shape.Keep.D())
	}
	items := make([]int, 0, len(w.batch.Items))
	for i := range w.batch.Items {
		at := w.batch.Items[i].Record.TimeStamp
		if w.shape.Keep > 0 && at.Before(oldest) {
			w.tally.Filter()
			continue
		}
		name, err := w.namer.name(at)
		if err != nil {
			w.tally.Dead(i, err.Error())
			continue
		}
		w.index[i] = name
		items = append(items, i)
	}
	return items
}

// ensured makes the indices of the items and returns the items whose index is there.
func (w *writer) ensured(ctx context.Context, items []int) []int {
	failed := map[string]error{}
	kept := items[:0]
	for _, i := range items {
		name := w.index[i]
		err, known := failed[name]
		if !known {
			err = w.sink.ensureIndex(ctx, w.client, name)
			if err != nil {
				failed[name] = err
			}
		}
		switch class, _ := pipeline.Classify(err); {
		case err == nil:
			kept = append(kept, i)
		case class == pipeline.PermanentBatch:
			w.tally.Dead(i, err.Error())
		default:
			w.tally.Retry([]int{i}, err)
		}
	}
	return kept
}

// send writes the items, one bulk request after another.
func (w *writer) send(ctx context.Context, items []int) {
	for len(items) > 0 {
		if err := ctx.Err(); err != nil {
			w.tally.Retry(items, err)
			return
		}
		n, err := w.sendSome(ctx, items)
		if err != nil {
			// The cluster cannot be reached or takes nothing: the rest would meet the same.
			w.tally.Retry(items, err)
			return
		}
		items = items[n:]
	}
}

// sendSome writes the first of the items, as many as one request holds, and returns how many it tallied or saw stored.
func (w *writer) sendSome(ctx context.Context, items []int) (int, error) {
	p := newPayload(w.sink.cfg.Gzip)
	defer p.free()
	n := 0
	for n < len(items) && n < w.sink.cfg.Bulk.Records {
		i := items[n]
		item := &w.batch.Items[i]
		added, err := p.add(w.index[i], item.ID, item.Record, w.shape.Extended, int(w.sink.cfg.Bulk.Bytes))
		if err != nil {
			return 0, fmt.Errorf("compress documents: %w", err)
		}
		if !added {
			break
		}
		n++
	}
	if err := p.finish(); err != nil {
		return 0, fmt.Errorf("compress documents: %w", err)
	}
	res, err := w.post(ctx, p)
	if err != nil {
		return 0, err
	}
	if res.tooLargeOrBad() {
		return n, w.halve(ctx, items[:n], res)
	}
	if res.status != http.StatusOK {
		return 0, res.err("bulk request")
	}
	results, err := parseBulk(res.body, n)
	if err != nil {
		return 0, err
	}
	w.sort(items[:n], results)
	return n, nil
}

func (w *writer) post(ctx context.Context, p *payload) (response, error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}}
	if p.gz != nil {
		header["Content-Encoding"] = []string{"gzip"}
	}
	body := &content{open: func() io.ReadCloser { return p.reader() }, size: int64(p.out.Len())}
	crash.Before("opensearch/bulk")
	res, err := w.client.do(ctx, http.MethodPost, bulkPath, header, body)
	crash.After("opensearch/bulk")
	if err != nil {
		return res, fmt.Errorf("bulk request: %w", err)
	}
	return res, nil
}

// bulkPath asks for what is needed of the answer only: 2,000 documents make some 300 kB of it otherwise.
const bulkPath = "/_bulk?filter_path=items.*.status,items.*.error"

// halve finds the document that a whole request is refused for, by writing the halves.
func (w *writer) halve(ctx context.Context, items []int, res response) error {
	if len(items) == 1 {
		w.tally.Dead(items[0], clip(fmt.Sprintf("index %s: status %d: %s", w.index[items[0]], res.status, res.failure())))
		return nil
	}
	w.send(ctx, items[:len(items)/2])
	w.send(ctx, items[len(items)/2:])
	return nil
}

// sort tallies the documents of a request that were not stored.
func (w *writer) sort(items []int, results []itemResult) {
	for n, r := range results {
		i := items[n]
		switch r.fate() {
		case stored:
		case hopeless:
			w.tally.Dead(i, clip(fmt.Sprintf("index %s: %s", w.index[i], r.Error)))
		case noIndex: // it vanished under way: the next attempt makes it
			w.sink.indices.forget(w.index[i])
			w.tally.Retry([]int{i}, errors.New("index "+w.index[i]+" is gone"))
		case blocked:
			if w.reopened {
				w.tally.Retry([]int{i}, r.err(w.index[i]))
				continue
			}
			w.late = append(w.late, late{i, r.err(w.index[i])})
		default:
			w.tally.Retry([]int{i}, r.err(w.index[i]))
		}
	}
}
