package pipeline

import (
	"context"
	"math"
	"slices"
	"sort"
)

// collected is a batch in hand, with its hold on the chunks it points into.
type collected struct {
	batch    Batch
	chunks   []*chunk
	filtered uint64 // by the sink's filters, in the whole range
	dead     uint64 // dead for every sink, in the whole range
	repeats  uint64 // duplicates for every sink, in the whole range
	absent   uint64 // indices that the stream has nothing at
}

// collect makes the batch of a group; a group whose to is 0 goes as far as the limits allow. The caller must release it.
func (l *lane) collect(ctx context.Context, c Claim, g group, bytes int64) (*collected, error) {
	end := g.to
	open := end == 0
	if open {
		end = l.endOf(&c)
	}
	out := &collected{batch: Batch{
		Stream: l.stream.ID(), Kind: l.stream.Kind(), Claim: c.ID, ClaimTime: c.Time, From: g.from, Members: l.members,
		Note: l.note,
	}}
	sh, err := l.cache.shapes.get(c.Shape)
	if err != nil {
		return nil, Fatal(err)
	}
	sink := sh.sinks[l.run.name]
	out.batch.Shape = sink.shape
	l.buffer = l.buffer[:0]
	index, left := g.from, bytes
	for index < end && (!open || int(index-g.from) < l.limits.Records) {
		first := index == g.from
		if open && !first && left <= 0 {
			break
		}
		ch, err := l.reads.get(ctx, c, index, max(left, 1), patienceOf(first, open))
		if err != nil {
			l.release(out)
			return nil, err
		}
		if ch == nil { // no memory for more at the moment: what there is goes
			break
		}
		out.chunks = append(out.chunks, ch)
		upTo := min(ch.to, end)
		l.pick(out, ch, index, upTo, g.only, sink.filters)
		left -= ch.bytes
		index = upTo
	}
	out.batch.To = index
	out.batch.Items = l.buffer
	if g.step > 0 && g.step < len(l.buffer) {
		out.batch.Items = l.buffer[:g.step]
	}
	return out, nil
}

// patienceOf is how a lane asks for the next chunk. It never waits for memory while it holds some: all might.
func patienceOf(first, open bool) patience {
	switch {
	case first:
		return patient
	case open:
		return impatient
	}
	return overdraw // it was in hand as a whole before, within the sink's share
}

// endOf is how far a batch of the claim may go: never across the end of a recorded member range.
func (l *lane) endOf(c *Claim) uint32 {
	if m, ok := l.members.Recorded(); ok && m.To.Claim == c.ID && m.To.Index < c.Len {
		if m.To.Index > l.next.Load().Index || l.next.Load().Claim != c.ID {
			return m.To.Index
		}
	}
	return c.Len
}

// pick takes a chunk's items in [from, to) that the sink gets, and counts the others.
func (l *lane) pick(out *collected, ch *chunk, from, to uint32, only map[uint32]struct{}, f *filterSet) {
	for i := firstItem(ch.items, from); i < len(ch.items) && ch.items[i].Index < to; i++ {
		it := &ch.items[i]
		if !f.passes(it) {
			out.filtered++
			continue
		}
		if only != nil {
			if _, ok := only[it.Index]; !ok {
				continue
			}
		}
		l.buffer = append(l.buffer, *it)
	}
	for i := range ch.dead {
		if d := ch.dead[i].index; from <= d && d < to {
			out.dead++
		}
	}
	out.repeats += among(ch.repeats, from, to)
	out.absent += among(ch.absent, from, to)
}

// among is how many of the indices, which ascend, lie in [from, to).
func among(indices []uint32, from, to uint32) uint64 {
	first, _ := slices.BinarySearch(indices, from)
	end, _ := slices.BinarySearch(indices, to)
	return uint64(end - first)
}

func firstItem(items []Item, index uint32) int {
	return sort.Search(len(items), func(i int) bool { return items[i].Index >= index })
}

func (l *lane) release(c *collected) {
	for _, ch := range c.chunks {
		l.reads.release(ch)
	}
	c.chunks = nil
	clear(l.buffer)
}

// mailPoison makes sure that what is dead for every sink is in the letter box, before any cursor passes it.
func (l *lane) mailPoison(c Claim, out *collected) error {
	for _, ch := range out.chunks {
		if err := l.mailChunk(c, ch); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) mailChunk(c Claim, ch *chunk) error {
	if len(ch.dead) == 0 {
		return nil
	}
	ch.letters.Lock()
	defer ch.letters.Unlock()
	if ch.stored {
		return nil
	}
	letters := make([]Letter, len(ch.dead))
	for i := range ch.dead {
		d := &ch.dead[i]
		letters[i] = l.letter(c, d.index, EverySink, d.id.String(), d.reason, d.bytes, d.length)
	}
	if err := l.mail(letters); err != nil {
		return err
	}
	ch.stored = true
	return nil
}

// mail stores letters, however often it takes: a cursor never passes a record that is nowhere.
func (l *lane) mail(letters []Letter) error {
	for n := 0; ; n++ {
		err := l.box.Store(l.hard, letters)
		if err == nil {
			l.run.mailed(letters)
			return nil
		}
		l.log.Error("dead letters cannot be stored; this sink waits for it", "letters", len(letters), "err", err)
		if err := sleep(l.hard, l.run.backoff.Delay(min(n, math.MaxInt16))); err != nil {
			return err
		}
	}
}

func (l *lane) letter(c Claim, index uint32, sink, id, reason string, bytes []byte, length int64) Letter {
	st := l.stream.ID()
	kind := "analytics"
	if l.stream.Kind() == Uptime {
		kind = "uptime"
	}
	if sink != EverySink {
		id += "-" + sink
	}
	return Letter{
		ID: id, Sink: sink, Reason: reason, Time: c.Time.UTC(), Source: st.Source, List: st.List, Lineage: st.Lineage,
		Position: Position{c.ID, index}.String(), Format: l.stream.Format().String(), Kind: kind,
		Length: length, Bytes: bytes,
	}
}
