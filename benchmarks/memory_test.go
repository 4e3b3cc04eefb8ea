package benchmarks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/aggregate"
	"sluice/benchmarks/sample"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/units"
	"sluice/sinks/csv"
	"sluice/sinks/discard"
)

// memoryStream is one claim of a list in memory.
type memoryStream struct {
	payloads [][]byte
	claim    pipeline.Claim
	done     chan struct{}

	mu      sync.Mutex
	settled uint32
	end     chan struct{} // closed when everything is settled
}

func newMemoryStream(b *testing.B, n int, owed pipeline.Owed) *memoryStream {
	b.Helper()
	now := time.Now().UTC()
	m, err := sample.New(sample.Options{Start: now.Truncate(time.Hour)})
	if err != nil {
		b.Fatal(err)
	}
	s := &memoryStream{done: make(chan struct{}), end: make(chan struct{})}
	for i := range n {
		p := append([]byte(nil), m.Next(i)...)
		s.payloads = append(s.payloads, p)
	}
	s.claim = pipeline.Claim{
		ID: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: 1}, Len: uint32(n), Time: now, Owes: owed.Sinks, Shape: owed.JSON,
	}
	return s
}

func (s *memoryStream) ID() pipeline.StreamID {
	return pipeline.StreamID{Source: "memory", List: "list", Lineage: "00000000000000000000000000000000"}
}
func (s *memoryStream) Kind() pipeline.Kind   { return pipeline.Analytics }
func (s *memoryStream) Format() record.Format { return record.Msgpack }
func (s *memoryStream) Done() <-chan struct{} { return s.done }

func (s *memoryStream) Claims() ([]pipeline.Claim, <-chan struct{}) {
	return []pipeline.Claim{s.claim}, nil
}

func (s *memoryStream) Read(ctx context.Context, id pipeline.ClaimID, index, n uint32, limit int64) ([]pipeline.Element, error) {
	return s.ReadInto(ctx, id, index, n, limit, new(pipeline.Arena))
}

// ReadInto copies and hashes, as the reader of a connection must.
func (s *memoryStream) ReadInto(_ context.Context, _ pipeline.ClaimID, index, n uint32, limit int64, into *pipeline.Arena) ([]pipeline.Element, error) {
	out := into.List(int(n))
	for i := index; i < min(index+n, s.claim.Len) && limit > 0; i++ {
		p := s.payloads[i]
		b := into.Cut(len(p))
		copy(b, p)
		out = append(out, pipeline.Element{Payload: b, Len: int64(len(p)), Hash: record.HashPayload(b)})
		limit -= int64(len(p))
	}
	return out, nil
}

func (s *memoryStream) Settle(_ context.Context, _ string, ranges []pipeline.Settled) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range ranges {
		s.settled += r.To - r.From
	}
	if s.settled == s.claim.Len*uint32(len(s.claim.Owes)) {
		close(s.end)
	}
	return nil
}

func (s *memoryStream) Members(string) pipeline.Members { return noMembers{} }

type noMembers struct{}

func (noMembers) Recorded() (pipeline.MemberRange, bool)             { return pipeline.MemberRange{}, false }
func (noMembers) Record(context.Context, pipeline.MemberRange) error { return nil }

type noLetters struct{}

func (noLetters) Store(context.Context, []pipeline.Letter) error {
	return errors.New("a record was refused")
}

// BenchmarkPipeline takes records from memory through decoding into sinks, on one core and on two. The time is that of
// one record, by the clock.
func BenchmarkPipeline(b *testing.B) {
	for _, kind := range []string{"discard", "csv", "fold+csv"} {
		for _, cores := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/cores=%d", kind, cores), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
				const n = 50_000
				for b.Loop() {
					drain(b, kind, n)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func drain(b *testing.B, kind string, n int) {
	b.Helper()
	b.StopTimer()
	log := slog.New(slog.DiscardHandler)
	var specs []pipeline.SinkSpec
	for k := range strings.SplitSeq(kind, "+") {
		specs = append(specs, pipeline.SinkSpec{
			Name: k, Type: k, Sink: sink(b, k, log), Timeout: time.Minute, Retry: pipeline.Backoff{Min: time.Second, Max: time.Minute},
		})
	}
	p, err := pipeline.New(pipeline.Options{
		Sinks:  specs,
		Record: pipeline.RecordShape{Region: "bench", Accept: pipeline.Accept{Past: 24 * time.Hour, Future: 24 * time.Hour}},
		Memory: 96 << 20, Batch: pipeline.Batching{Records: 5000, Bytes: 8 << 20}, Deadline: time.Minute, Letters: noLetters{}, Once: true, Log: log,
	})
	if err != nil {
		b.Fatal(err)
	}
	s := newMemoryStream(b, n, p.Owes(pipeline.Analytics))
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.StartTimer()
	go func() { ended <- p.Run(ctx) }()
	p.Gained(s)
	<-s.end
	b.StopTimer()
	stop()
	close(s.done)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

func sink(b *testing.B, kind string, log *slog.Logger) pipeline.Sink {
	b.Helper()
	switch kind {
	case "fold":
		return &foldSink{doc: aggregate.NewFold(aggregate.Shape{TrackAllPaths: true, Bucket: units.Duration(time.Hour)}).Document("org", 1_790_000_000)}
	case "discard":
		s, err := discard.New("s", discard.Defaults(), log)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	c := csv.Defaults()
	c.Dir = b.TempDir()
	s, err := csv.New("s", c, b.TempDir(), log)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// foldSink aggregates, and writes nothing.
type foldSink struct{ doc *aggregate.Document }

func (s *foldSink) Open(context.Context) error  { return nil }
func (s *foldSink) Shape() json.RawMessage      { return json.RawMessage("{}") }
func (s *foldSink) Takes(pipeline.Kind) bool    { return true }
func (s *foldSink) Close(context.Context) error { return nil }

func (s *foldSink) Write(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	for i := range b.Items {
		s.doc.Add(b.Items[i].Record)
	}
	return pipeline.Result{}, nil
}
