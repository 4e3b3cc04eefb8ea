package archive

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// registry is the members of one stream, as Redis keeps them.
type registry struct {
	rec     *pipeline.MemberRange
	fail    error
	records int
	onWrite func()
}

func (m *registry) Recorded() (pipeline.MemberRange, bool) {
	if m.rec == nil {
		return pipeline.MemberRange{}, false
	}
	return *m.rec, true
}

func (m *registry) Record(_ context.Context, r pipeline.MemberRange) error {
	if m.fail != nil {
		return m.fail
	}
	if m.rec != nil && *m.rec != r {
		return errors.New("another range is recorded")
	}
	m.records++
	m.rec = &r
	if m.onWrite != nil {
		m.onWrite()
	}
	return nil
}

func (m *registry) settle(to pipeline.Position) {
	if m.rec != nil && m.rec.To.Compare(to) <= 0 {
		m.rec = nil
	}
}

// small are options under which only what a test does closes a range.
func small(t testing.TB) Options {
	return Options{
		Sink: "archive", Dir: t.TempDir(), MaxBytes: 1 << 40, MaxAge: time.Hour, Log: slog.New(slog.DiscardHandler),
		Layout: Layout{Prefix: "p/", Compression: Zstd},
	}
}

func gathererOver(t testing.TB, s Store, o Options) *Gatherer {
	t.Helper()
	g := NewGatherer(o)
	if err := g.OpenStore(s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	return g
}

var nine = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// batchOf makes a batch of claim's indices [from, to), whose record at index i has the time at(i).
func batchOf(m pipeline.Members, g *Gatherer, claim, from, to uint32, at func(uint32) time.Time) *pipeline.Batch {
	b := &pipeline.Batch{
		Stream: testStream, Claim: claimID(claim), From: from, To: to, Members: m,
		Shape: pipeline.Shape{Key: "k", JSON: g.Shape(), Record: pipeline.RecordShape{Region: "eu-west-1"}},
	}
	for i := from; i < to; i++ {
		r := &record.Record{TimeStamp: at(i), OrgID: "o", Path: "/p\x00", ContentLength: int64(i)}
		b.Items = append(b.Items, pipeline.Item{Index: i, ID: record.MakeID(r.TimeStamp, uint64(i)), Record: r})
	}
	return b
}

func sameHour(uint32) time.Time { return nine }

func mustAdd(t testing.TB, g *Gatherer, b *pipeline.Batch) {
	t.Helper()
	if _, err := g.Add(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// mustFlush flushes everything and settles it.
func mustFlush(t testing.TB, g *Gatherer, m *registry) pipeline.Progress {
	t.Helper()
	p, err := g.Flush(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range p.Settled {
		m.settle(mark.Pos)
	}
	return p
}

// archived reads every row that counts, verified, as position in order of keys.
func archived(t testing.TB, s Store) []string {
	t.Helper()
	var got []string
	for m, err := range List(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), s, m)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			if hourOf(row.Record.TimeStamp) != hourOf(m.First) || hourOf(m.First) != hourOf(m.Last) {
				t.Errorf("object %s has a row of %s", m.Key, row.Record.TimeStamp)
			}
			got = append(got, row.Position.String())
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	return got
}

// wantPositions checks that exactly these indices of claim 1 are archived, once each.
func wantPositions(t testing.TB, s Store, from, to uint32) {
	t.Helper()
	got := archived(t, s)
	slices.Sort(got)
	var want []string
	for i := from; i < to; i++ {
		want = append(want, position(1, i).String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d rows are archived, want %d, each once", len(got), len(want))
	}
}

func filesIn(t testing.TB, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
