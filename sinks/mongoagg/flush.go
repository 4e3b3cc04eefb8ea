package mongoagg

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/pipeline"
)

// maxMisses is how often a document's update may miss within one flush. Each miss means that another process wrote the
// document between our read and our update; after that many the next flush goes on.
const maxMisses = 8

// Flush writes what waits, and brings derived fields up to date when that is due, or when all is set and the flush was
// not asked for to make room.
func (s *Sink) Flush(ctx context.Context, all bool) (p pipeline.Progress, err error) {
	s.flushes++
	full := s.full
	s.full = false
	if s.touched || len(s.waiting) > 0 {
		if all || !s.now().Before(s.since.Add(s.cfg.Flush.D())) {
			p.Rewind, err = s.write(ctx)
		}
	}
	if err == nil && (all && !full || !s.now().Before(s.derived.Add(deriveEvery))) {
		err = s.derive(ctx, all && !full)
	}
	p.Settled = s.marks()
	s.forgetOld()
	return p, err
}

// flushing is the state of one Flush.
type flushing struct {
	*Sink
	rewound []pipeline.StreamID
	misses  map[*document]int
	left    map[*document]error // documents that this flush is done with, though something waits for them
	wrote   bool                // the store has taken something
}

// write updates every document that something waits for, in rounds: in each, one update a document.
func (s *Sink) write(ctx context.Context) ([]pipeline.StreamID, error) {
	s.closeSegments()
	f := &flushing{Sink: s, misses: map[*document]int{}, left: map[*document]error{}}
	var err error
	for err == nil { // ends: each round, a document's queue gets shorter, or it misses, which is counted, or it is left
		docs := f.next()
		if len(docs) == 0 {
			break
		}
		f.read(ctx, docs)
		f.skip(docs)
		f.update(ctx, docs)
		err = ctx.Err()
	}
	s.touched = false
	if len(s.waiting) == 0 || err != nil { // what waits: again, as soon as the pipeline likes
		return f.rewound, err
	}
	why := f.why()
	if why != nil && f.wrote {
		return f.rewound, pipeline.Apart(why) // the store is well: other documents were written
	}
	return f.rewound, why
}

// next are the documents of the next round, in a fixed order.
func (f *flushing) next() []*document {
	var docs []*document
	for d := range f.waiting {
		if f.left[d] == nil {
			docs = append(docs, d)
		}
	}
	slices.SortFunc(docs, func(a, b *document) int {
		if c := strings.Compare(a.collection, b.collection); c != 0 {
			return c
		}
		return slices.Compare(a.id[:], b.id[:])
	})
	return docs
}

// leave gives a document up for this flush.
func (f *flushing) leave(d *document, err error) {
	d.forgotten()
	f.left[d] = err
}

// why says what keeps documents waiting: one reason and how many documents.
func (f *flushing) why() error {
	var first error
	n := 0
	for d, err := range f.left {
		if _, waits := f.waiting[d]; !waits {
			continue
		}
		n++
		// the most telling one: what only an operator cures
		if c, _ := pipeline.Classify(err); first == nil || c == pipeline.FatalError {
			first = fmt.Errorf("%s: %w", d.collection, err)
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%d aggregate documents are not written: %w", n, first)
}

// skip drops what the documents have counted already. Where they have a part of what was folded together, the stream
// must come again: then what they have is known, and not folded.
func (f *flushing) skip(docs []*document) {
	for _, d := range docs {
		if !d.known {
			continue
		}
		for _, l := range d.waiting() {
			if d.passed(l, d.pos[l], f.drop) {
				f.rewind(l)
			}
		}
		f.settle(d)
	}
}

// settle takes a document off the list of those that something waits for, if nothing does.
func (f *flushing) settle(d *document) {
	if len(d.queue) == 0 {
		delete(f.waiting, d)
	}
}

func (f *flushing) rewind(lineage string) {
	if st := f.streams[lineage]; st != nil {
		f.rewound = append(f.rewound, st.id)
		f.Forget(st.id)
	}
}

// condemn gives a document up for good: what waits for it comes again, and becomes dead letters.
func (f *flushing) condemn(d *document, err error) {
	d.bad = fmt.Sprintf("the aggregate document %s of %s cannot be written: %v", d.id.Hex(), d.collection, err)
	f.log.Error("an aggregate document cannot be written; its records become dead letters",
		"collection", d.collection, "id", d.id.Hex(), "bucket", d.timestamp(), "err", err)
	for _, l := range d.waiting() {
		f.rewind(l)
	}
}

// keepDocuments is how many documents' positions are remembered; each is some hundred bytes a lineage.
const keepDocuments = 10_000

// forgetOld drops what is known of documents that were not needed for long. Forgetting costs a read.
func (s *Sink) forgetOld() {
	if len(s.docs) <= keepDocuments {
		return
	}
	for id, d := range s.docs {
		if len(d.queue) == 0 && !d.dirty && d.used+100 < s.flushes {
			delete(s.docs, id)
		}
	}
}
