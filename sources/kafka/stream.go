package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

var (
	errClosed = errors.New("the partition is not ours any more")
	errStale  = errors.New("ranges do not follow the sink's cursor")
)

// reader reads a topic.
type reader struct {
	client *kgo.Client
	topic  string
}

// stream is a partition that this worker owns. It implements pipeline.Stream.
type stream struct {
	src       *Source
	read      *reader
	commits   *committer
	partition int
	id        pipeline.StreamID
	done      chan struct{}

	mu        sync.Mutex
	why       error
	st        *state
	windows   []*window // of the open claims, as far as they were scanned
	published []pipeline.Claim
	changed   chan struct{}     // closed when a claim was published or finished, or something was committed
	want      uint64            // changes of the state
	committed uint64            // changes that are durable
	end       int64             // of the log, as last seen
	waits     time.Time         // of the oldest message that is not claimed
	kept      time.Duration     // how long the topic keeps messages; 0: for ever, or not known
	held      string            // why nothing behind this can be taken; empty when nothing is in the way
	taken     uint64            // records claimed by this process
	recorded  map[string]uint64 // by sink: the change that recorded its members
}

// window is what was scanned of an open claim.
type window struct {
	first    int64
	elements []pipeline.Element // nil: they are read again when they are wanted
	repeats  []bool
	bytes    int64
	oldest   time.Time
	wanted   bool            // some sink has read of it
	seen     map[string]seen // as of its end
	open     bool
}

func newStream(src *Source, rd *reader, c *committer, partition int, st *state) *stream {
	return &stream{src: src, read: rd, commits: c, partition: partition, st: st, done: make(chan struct{}), changed: make(chan struct{}),
		recorded: map[string]uint64{}, end: st.next(), id: pipeline.StreamID{Source: src.name, List: listName(src.cfg.Topic, partition), Lineage: st.Lineage}}
}

func listName(topic string, partition int) string { return fmt.Sprintf("%s/%d", topic, partition) }

// close ends the stream; the first reason counts.
func (s *stream) close(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.why = why
		close(s.done)
	}
}

func (s *stream) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errClosed, s.why)
}

// ID implements pipeline.Stream.
func (s *stream) ID() pipeline.StreamID { return s.id }

// Kind implements pipeline.Stream.
func (s *stream) Kind() pipeline.Kind { return pipeline.Analytics }

// Format implements pipeline.Stream.
func (s *stream) Format() record.Format { return record.Protobuf }

// Done implements pipeline.Stream.
func (s *stream) Done() <-chan struct{} { return s.done }

// Claims implements pipeline.Stream.
func (s *stream) Claims() ([]pipeline.Claim, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.published), s.changed
}

// notify wakes who waits for a change. The lock is held.
func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// publish hands an open claim, which is committed, to the pipeline.
func (s *stream) publish(c *claim, w *window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cursors := make(map[string]uint32, len(c.Cursors))
	for k, v := range c.Cursors {
		cursors[k] = v
	}
	s.windows = append(s.windows, w)
	s.published = append(slices.Clip(s.published), pipeline.Claim{ID: s.st.id(c), Len: c.Len, Time: time.UnixMilli(c.Ms).UTC(),
		Owes: c.Sinks, Shape: []byte(s.st.Shapes[c.Shape]), Cursor: cursors})
	s.evict()
	s.finish()
	s.notify()
}

// evict forgets elements beyond the partition's share of the buffer, the oldest first, but for those that no sink has read yet:
// they are what is wanted next. The lock is held.
func (s *stream) evict() {
	over := -s.src.share()
	for _, w := range s.windows {
		if w.elements != nil {
			over += w.bytes
		}
	}
	for _, w := range s.windows {
		if over <= 0 {
			return
		}
		if w.elements != nil && w.wanted {
			w.elements = nil
			over -= w.bytes
		}
	}
}

// ahead tells whether half the partition's share of the buffer is full of what no sink has read yet. The lock is held.
func (s *stream) ahead() bool {
	var sum int64
	for _, w := range s.windows {
		if w.elements != nil && !w.wanted {
			sum += w.bytes
		}
	}
	return sum > s.src.share()/2
}

// finish takes what every sink has settled out of the state. The lock is held.
func (s *stream) finish() {
	for len(s.windows) > 0 && len(s.st.Claims) > 0 && s.st.Claims[0].done() {
		w := s.windows[0]
		s.st.base += int64(s.st.Claims[0].Len)
		s.st.Seen, s.st.Open = w.seen, w.open
		s.st.Claims, s.windows, s.published = s.st.Claims[1:], s.windows[1:], s.published[1:]
		s.st.sweep()
	}
}

// Read implements pipeline.Stream.
func (s *stream) Read(ctx context.Context, id pipeline.ClaimID, index, n uint32, limit int64) ([]pipeline.Element, error) {
	if err := s.failed(); err != nil {
		return nil, err
	}
	w, length := s.window(id)
	if w == nil || index >= length {
		return nil, fmt.Errorf("claim %s has no index %d", id, index)
	}
	n = min(n, length-index)
	s.mu.Lock()
	elements := w.elements
	if !w.wanted {
		w.wanted = true
		s.notify() // there may be room for more
	}
	s.mu.Unlock()
	if elements != nil {
		return bounded(elements[index:index+n], limit), nil
	}
	var out []pipeline.Element
	for first, until := w.first+int64(index), w.first+int64(index+n); first < until; {
		got, err := s.read.some(ctx, s.partition, first, until, fetchWait, fetchAgain)
		if err != nil || len(got.messages) == 0 {
			if len(out) > 0 {
				break
			}
			return nil, errors.Join(err, ctx.Err(), errShort)
		}
		for i := range got.messages {
			m := &got.messages[i]
			e := m.element(w.repeats[m.offset-w.first])
			if limit -= e.Len; limit < 0 && len(out) > 0 {
				return out, nil
			}
			out = append(out, e)
		}
		first += int64(len(got.messages))
	}
	return out, nil
}

var errShort = errors.New("the brokers have fewer messages than were there before")

func bounded(elements []pipeline.Element, limit int64) []pipeline.Element {
	for i := range elements {
		if limit -= elements[i].Len; limit < 0 && i > 0 {
			return elements[:i:i]
		}
	}
	return slices.Clip(elements)
}

func (s *stream) window(id pipeline.ClaimID) (*window, uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.st.find(id)
	if c == nil {
		return nil, 0
	}
	for _, w := range s.windows {
		if w.first == c.First {
			return w, c.Len
		}
	}
	return nil, 0
}

// Settle implements pipeline.Stream.
func (s *stream) Settle(ctx context.Context, sink string, ranges []pipeline.Settled) error {
	return s.change(ctx, func(st *state) error {
		if st.settled(sink, &ranges[len(ranges)-1]) {
			return nil
		}
		if !st.settle(sink, ranges) {
			return errStale
		}
		s.finish()
		return nil
	})
}

// change changes the state and returns when that is committed, or the stream is closed. A change that is refused closes it:
// what is remembered differs from what was committed.
func (s *stream) change(ctx context.Context, do func(*state) error) error {
	if err := s.failed(); err != nil {
		return err
	}
	s.mu.Lock()
	if err := do(s.st); err != nil {
		s.mu.Unlock()
		s.close(err)
		return err
	}
	s.want++
	want := s.want
	s.notify()
	s.mu.Unlock()
	s.commits.mark(s)
	return s.durable(ctx, want)
}

func (s *stream) durable(ctx context.Context, want uint64) error {
	for {
		s.mu.Lock()
		ok, changed := s.committed >= want, s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-s.done:
			return s.failed()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Members implements pipeline.Stream.
func (s *stream) Members(sink string) pipeline.Members { return memberSet{s, sink} }

type memberSet struct {
	s    *stream
	sink string
}

// Recorded implements pipeline.Members. What is not committed yet is recorded again by whoever wants it.
func (m memberSet) Recorded() (pipeline.MemberRange, bool) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	r, ok := m.s.st.Members[m.sink]
	if !ok || m.s.recorded[m.sink] > m.s.committed {
		return pipeline.MemberRange{}, false
	}
	from, err1 := pipeline.ParsePosition(r.From)
	to, err2 := pipeline.ParsePosition(r.To)
	return pipeline.MemberRange{From: from, To: to, Tag: r.Tag}, err1 == nil && err2 == nil
}

// Record implements pipeline.Members.
func (m memberSet) Record(ctx context.Context, r pipeline.MemberRange) error {
	want := members{From: r.From.String(), To: r.To.String(), Tag: r.Tag}
	m.s.mu.Lock()
	old, ok := m.s.st.Members[m.sink]
	m.s.mu.Unlock()
	if ok && old != want {
		return fmt.Errorf("record members of %s: another range is recorded: %s to %s", m.s.id.List, old.From, old.To)
	}
	return m.s.change(ctx, func(st *state) error {
		st.Members[m.sink] = want
		if !ok {
			m.s.recorded[m.sink] = m.s.want + 1
		}
		return nil
	})
}
