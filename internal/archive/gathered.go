package archive

import (
	"fmt"
	"time"

	"sluice/internal/pipeline"
)

// maxClaims bounds the claims that a range spans, and with them the fields that the settle of its end touches at once.
const maxClaims = 256

// gathered is what was gathered of one stream: the rows of a range of positions, which grows until it is closed. It
// never spans two shapes or two epochs.
type gathered struct {
	stream   pipeline.StreamID
	members  members // what shapes keys and rows
	shapeKey string
	record   pipeline.RecordShape
	registry pipeline.Members

	from, to pipeline.Position
	claims   int
	opened   time.Time
	fixed    *pipeline.MemberRange // recorded by whoever gathered it before: exactly this range must come again
	recorded bool
	partly   bool // the range was settled in part, so that all of it is in the store; what comes again is only passed
	closed   bool // nothing more comes in; next is the store
	rows     buffer
}

// begin starts a range with the batch that is its first. When the registry has a recorded range that begins here, it is
// that one, under the layout it was recorded with. When delivery begins inside a recorded range, what is before is settled:
// marks pass a range as a whole, and only when all of it is in the store, but what came from the spool and what came from
// the claims is booked by two scripts, and a crash may come between them.
func begin(b *pipeline.Batch, layout Layout, dir string, pack *packer, files *handles) (*gathered, error) {
	r := &gathered{
		stream: b.Stream, shapeKey: b.Shape.Key, record: b.Shape.Record, registry: b.Members,
		members: members{Layout: layout, Region: b.Shape.Record.Region},
		from:    b.First(), to: b.First(), opened: time.Now(), rows: buffer{dir: dir, kind: layout.Compression, pack: pack, files: files},
	}
	if b.Members == nil {
		return nil, fmt.Errorf("gather %s of %s: the stream cannot record members", b.Stream.List, b.Stream.Source)
	}
	m, ok := b.Members.Recorded()
	if !ok || m.To.Compare(r.from) <= 0 { // the range before this one, about to be settled
		return r, r.members.check()
	}
	if m.From.Compare(r.from) > 0 {
		return nil, fmt.Errorf("gather %s of %s: members are recorded from %s to %s, but delivery begins at %s",
			b.Stream.List, b.Stream.Source, m.From, m.To, r.from)
	}
	r.partly, r.from = m.From != r.from, m.From
	tag, err := parseMembers(m.Tag)
	if err != nil {
		return nil, err
	}
	r.fixed, r.recorded, r.members = &m, true, tag
	r.rows.kind = tag.Compression
	return r, nil
}

// misplaced says why a batch cannot follow in the range although it is of its shape: that would make rows appear twice,
// or in an object that is not theirs.
func (r *gathered) misplaced(b *pipeline.Batch) error {
	if b.First().Compare(r.to) < 0 {
		return fmt.Errorf("gather %s of %s: a batch begins at %s, but %s is next", b.Stream.List, b.Stream.Source,
			b.First(), r.to)
	}
	if r.fixed != nil && (b.End().Compare(r.fixed.To) > 0 || b.Shape.Key != r.shapeKey) {
		return fmt.Errorf("gather %s of %s: a batch from %s to %s does not fit the members recorded from %s to %s",
			b.Stream.List, b.Stream.Source, b.First(), b.End(), r.fixed.From, r.fixed.To)
	}
	return nil
}

// fits tells whether the batch may become part of the range.
func (r *gathered) fits(b *pipeline.Batch) bool {
	return b.Shape.Key == r.shapeKey && b.Claim.Epoch == r.from.Claim.Epoch &&
		(b.Claim == r.to.Claim || r.claims < maxClaims || r.fixed != nil)
}

// extend moves the range's end behind a batch whose rows are in, and closes the range when it is full.
func (r *gathered) extend(b *pipeline.Batch, maxBytes int64) {
	if r.claims == 0 || b.Claim != r.to.Claim {
		r.claims++
	}
	r.to = b.End()
	if r.fixed != nil {
		r.closed = r.to == r.fixed.To
		return
	}
	r.closed = r.rows.bytes >= maxBytes
}

// due is when the range wants to go to the store; zero while it cannot.
func (r *gathered) due(maxAge time.Duration) time.Time {
	switch {
	case r.closed:
		return r.opened
	case r.fixed != nil:
		return time.Time{}
	}
	return r.opened.Add(maxAge)
}
