package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testEpoch = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// registry is a list's state as Redis keeps it: what survives the loss of a stream.
type registry struct {
	mu      sync.Mutex
	claims  []*fakeClaim
	ledger  map[string]Counts
	members map[string]MemberRange
	notes   map[string]string
	reads   int
	added   chan struct{}
	scarce  scarcity
}

type fakeClaim struct {
	Claim
	payloads [][]byte
	cursors  map[string]uint32
}

func newRegistry() *registry {
	return &registry{ledger: map[string]Counts{}, members: map[string]MemberRange{}, notes: map[string]string{}, added: make(chan struct{})}
}

func (r *registry) claim(owed Owed, payloads ...[]byte) ClaimID {
	return r.claimAt(testEpoch, owed, payloads...)
}

func (r *registry) claimAt(at time.Time, owed Owed, payloads ...[]byte) ClaimID {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := ClaimID{Epoch: Epoch{Ms: 1}, Number: uint32(len(r.claims) + 1)}
	r.claims = append(r.claims, &fakeClaim{
		Claim:    Claim{ID: id, Len: uint32(len(payloads)), Time: at, Owes: owed.Sinks, Shape: owed.JSON},
		payloads: payloads, cursors: map[string]uint32{},
	})
	close(r.added)
	r.added = make(chan struct{})
	return id
}

func (r *registry) counts(sink string) Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.ledger[sink]
	for _, cl := range r.claims {
		if slices.Contains(cl.Owes, sink) {
			c.Pending += uint64(cl.Len - cl.cursors[sink])
		}
	}
	return c
}

// fakeStream is one lease of the list.
type fakeStream struct {
	reg  *registry
	done chan struct{}
	lose sync.Once
}

func (r *registry) lease() *fakeStream { return &fakeStream{reg: r, done: make(chan struct{})} }

func (s *fakeStream) lost()                 { s.lose.Do(func() { close(s.done) }) }
func (s *fakeStream) ID() StreamID          { return StreamID{"main", "list", "lineage"} }
func (s *fakeStream) Kind() Kind            { return Analytics }
func (s *fakeStream) Format() record.Format { return record.Msgpack }
func (s *fakeStream) Done() <-chan struct{} { return s.done }

func (s *fakeStream) Claims() ([]Claim, <-chan struct{}) {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	var out []Claim
	for _, c := range s.reg.claims {
		cl := c.Claim
		cl.Cursor = map[string]uint32{}
		for k, v := range c.cursors {
			cl.Cursor[k] = v
		}
		out = append(out, cl)
	}
	return out, s.reg.added
}

var errStreamLost = errors.New("lost")

func (s *fakeStream) Read(_ context.Context, id ClaimID, index, n uint32, limit int64) ([]Element, error) {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	s.reg.reads++
	c := s.reg.claims[id.Number-1]
	var ord record.Ordinals
	var out []Element
	for i := index - index%record.Span; i < min(index+n, c.Len); i++ {
		h := ord.Next(i, c.payloads[i])
		if i < index {
			continue
		}
		limit -= int64(len(c.payloads[i]))
		if limit < 0 && len(out) > 0 {
			break
		}
		out = append(out, Element{Payload: c.payloads[i], Len: int64(len(c.payloads[i])), Hash: h})
	}
	return out, nil
}

func (s *fakeStream) Settle(_ context.Context, sink string, ranges []Settled) error {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	select {
	case <-s.done:
		return errStreamLost
	default:
	}
	if _, ok := s.reg.scarce.spools[sink]; ok {
		s.lost()
		return errors.New("stale: fresh records pass those in the spool")
	}
	for _, r := range ranges {
		c := s.reg.claims[r.Claim.Number-1]
		if c.cursors[sink] != r.From {
			s.lost()
			return fmt.Errorf("stale: cursor %d, settled from %d", c.cursors[sink], r.From)
		}
		if r.Counts.Total() != uint64(r.To-r.From) {
			return fmt.Errorf("counts %+v do not make up [%d,%d)", r.Counts, r.From, r.To)
		}
		c.cursors[sink] = r.To
		if r.Note != "" {
			s.reg.notes[sink] = r.Note
		}
		s.reg.ledger[sink] = s.reg.ledger[sink].Plus(r.Counts)
		if m, ok := s.reg.members[sink]; ok && m.To.Compare(Position{r.Claim, r.To}) <= 0 {
			delete(s.reg.members, sink)
		}
	}
	return nil
}

func (s *fakeStream) Note(sink string) string {
	s.reg.mu.Lock()
	defer s.reg.mu.Unlock()
	return s.reg.notes[sink]
}

func (s *fakeStream) Members(sink string) Members { return fakeMembers{s.reg, sink} }

type fakeMembers struct {
	reg  *registry
	sink string
}

func (m fakeMembers) Recorded() (MemberRange, bool) {
	m.reg.mu.Lock()
	defer m.reg.mu.Unlock()
	r, ok := m.reg.members[m.sink]
	return r, ok
}

func (m fakeMembers) Record(_ context.Context, r MemberRange) error {
	m.reg.mu.Lock()
	defer m.reg.mu.Unlock()
	m.reg.members[m.sink] = r
	return nil
}

// payload n is a record of its own; negative numbers do not decode.
func payload(n int) []byte {
	if n < 0 {
		return fmt.Appendf(nil, "poison %d", n)
	}
	return record.AppendMsgpack(nil, &record.Record{
		Method: "GET", Path: fmt.Sprintf("/%d", n), OrgID: fmt.Sprintf("org-%d", n%2), APIID: "api",
		ResponseCode: int32(200 + n%3), APIKey: "key", Tags: []string{"key-key"}, TimeStamp: testEpoch,
		ExpireAt: testEpoch.Add(time.Hour),
	})
}

func payloads(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = payload(i)
	}
	return out
}

// box is a letter box in memory.
type box struct {
	mu      sync.Mutex
	letters map[string]Letter
	fail    int
}

func (b *box) Store(_ context.Context, ls []Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail > 0 {
		b.fail--
		return errors.New("disk full")
	}
	if b.letters == nil {
		b.letters = map[string]Letter{}
	}
	for _, l := range ls {
		b.letters[l.Position+l.Sink] = l
	}
	return nil
}

// fakeSink remembers effects by path, as a store keyed by ID would, and answers as its script says.
type fakeSink struct {
	mu      sync.Mutex
	seen    map[string]int // deliveries of a path
	calls   int
	ranges  [][2]uint32
	respond func(call int, b *Batch) (Result, error)
	opens   []error
}

func (s *fakeSink) Open(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.opens) > 0 {
		err := s.opens[0]
		s.opens = s.opens[1:]
		return err
	}
	return nil
}
func (s *fakeSink) Shape() json.RawMessage      { return json.RawMessage(`{}`) }
func (s *fakeSink) Takes(k Kind) bool           { return k == Analytics }
func (s *fakeSink) Close(context.Context) error { return nil }

func (s *fakeSink) Write(_ context.Context, b *Batch) (Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	call := s.calls
	s.calls++
	s.ranges = append(s.ranges, [2]uint32{b.From, b.To})
	var res Result
	var err error
	if s.respond != nil {
		res, err = s.respond(call, b)
	}
	skip := map[int]bool{}
	var p *PartialError
	if errors.As(err, &p) {
		for _, i := range p.Retry {
			skip[i] = true
		}
	} else if err != nil {
		return res, err
	}
	for _, d := range res.Dead {
		skip[d.Item] = true
	}
	for i := range b.Items {
		if !skip[i] {
			s.seen[b.Items[i].Record.Path]++
		}
	}
	return res, err
}

func (s *fakeSink) effects() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func spec(name string, s Sink) SinkSpec {
	return SinkSpec{Name: name, Type: "fake", Sink: s, Timeout: 10 * time.Second,
		Retry: Backoff{100 * time.Millisecond, time.Second}}
}

func options(b LetterBox, sinks ...SinkSpec) Options {
	return Options{
		Sinks: sinks, Memory: 64 << 20, Batch: Batching{Records: 5000, Bytes: 8 << 20}, Deadline: 5 * time.Second,
		Record:  RecordShape{Region: "r", Accept: Accept{Past: 3 * 365 * 24 * time.Hour, Future: 24 * time.Hour}},
		Letters: b, Log: slog.New(slog.DiscardHandler),
	}
}

// pump is a running pipeline over one list.
type pump struct {
	*Pipeline
	reg    *registry
	stream *fakeStream
	stop   context.CancelFunc
	ended  chan error
}

func start(t *testing.T, reg *registry, opt Options) *pump {
	t.Helper()
	p, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	pu := &pump{Pipeline: p, reg: reg, stream: reg.lease(), stop: cancel, ended: make(chan error, 1)}
	go func() { pu.ended <- p.Run(ctx) }()
	p.Gained(pu.stream)
	return pu
}

func (p *pump) end(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	p.stream.lost()
}
