package archive

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
)

// members is a registry in memory.
type members struct{ m *pipeline.MemberRange }

func (r *members) Recorded() (pipeline.MemberRange, bool) {
	if r.m == nil {
		return pipeline.MemberRange{}, false
	}
	return *r.m, true
}
func (r *members) Record(_ context.Context, m pipeline.MemberRange) error { r.m = &m; return nil }

// archived writes rows, an object for each hour of a claim, and returns the directory.
func archived(t *testing.T, rows []format.Row) (Archive, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := format.NewGatherer(format.Options{Sink: "a", Dir: t.TempDir(), MaxBytes: 1 << 20, MaxAge: time.Hour,
		Layout: format.Layout{Compression: format.Zstd}, Log: slog.New(slog.DiscardHandler)})
	if err := g.OpenStore(store); err != nil {
		t.Fatal(err)
	}
	registry := &members{}
	for len(rows) > 0 {
		b := pipeline.Batch{Stream: rows[0].Stream, Claim: rows[0].Position.Claim, From: rows[0].Position.Index, Members: registry,
			Shape: pipeline.Shape{Key: "k", Record: pipeline.RecordShape{Region: "here"}}}
		for len(rows) > 0 && rows[0].Position.Claim == b.Claim {
			b.Items = append(b.Items, pipeline.Item{Index: rows[0].Position.Index, ID: rows[0].ID, Record: rows[0].Record})
			b.To = rows[0].Position.Index + 1
			rows = rows[1:]
		}
		if _, err := g.Add(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Flush(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		registry.m = nil
	}
	return Archive{Store: store}, dir
}

func optionsFor(a Archive, f *fake, done func(Place, int64) error, fault func(*Unreadable)) Options {
	return Options{Archive: a, Targets: []*Target{targetOf(f)}, Batch: pipeline.Batching{Records: 100, Bytes: 1 << 20},
		Done: done, Fault: fault, Moved: func(int64) {}}
}

func TestReplayGoesOnBehindAPlace(t *testing.T) {
	a, dir := archived(t, rowsOf(10_000, 500)) // 10,000 seconds: three hours
	var places []Place
	stop := errors.New("killed")
	f := &fake{}
	noFault := func(u *Unreadable) { t.Error(u) }
	err := Run(t.Context(), optionsFor(a, f, func(p Place, _ int64) error {
		if places = append(places, p); len(places) == 7 {
			return stop
		}
		return nil
	}, noFault), Place{})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	for i := 1; i < len(places); i++ {
		if !places[i-1].Before(places[i]) {
			t.Errorf("%v comes before %v", places[i-1], places[i])
		}
	}
	var rest int64
	again := &fake{has: f.has}
	if err := Run(t.Context(), optionsFor(a, again, func(p Place, n int64) error {
		if !places[6].Before(p) {
			t.Errorf("%v was done before", p)
		}
		rest += n
		return nil
	}, noFault), places[6]); err != nil {
		t.Fatal(err)
	}
	if len(f.has) != 10_000 || rest >= 10_000-6*100 {
		t.Errorf("%d records, %d of them in the second run", len(f.has), rest)
	}
	n, objects, err := a.Count(t.Context(), &Selection{From: at.Add(time.Hour), To: at.Add(2 * time.Hour)}, noFault)
	if err != nil || n != 3600 || objects == 0 {
		t.Errorf("an hour has %d records: %v", n, err)
	}
	if n, _, err := a.Count(t.Context(), &Selection{From: at.Add(90 * time.Minute), Orgs: []string{"org0"}}, noFault); err != nil || n != 1534 {
		t.Errorf("half of it, one organisation: %d, %v", n, err)
	}
	damaged(t, dir)
	bad := 0
	f = &fake{}
	if err := Run(t.Context(), optionsFor(a, f, func(Place, int64) error { return nil }, func(*Unreadable) { bad++ }), Place{}); err != nil {
		t.Fatal(err)
	}
	if bad != 1 || len(f.has) >= 10_000 || len(f.has) < 9_500 {
		t.Errorf("%d faults, %d records beside them", bad, len(f.has))
	}
}

func damaged(t *testing.T, dir string) {
	t.Helper()
	objects, err := filepath.Glob(filepath.Join(dir, "region=here", "dt=*", "hour=*", "*.csv.zst"))
	if err != nil || len(objects) == 0 {
		t.Fatal(objects, err)
	}
	b, err := os.ReadFile(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(objects[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSpanTellsHowFarItIsComplete(t *testing.T) {
	rows := rowsOf(7200, 1800) // two claims an hour
	a, _ := archived(t, rows)
	l := streamOf(1).Lineage
	end := func(claim, index uint32) pipeline.Position {
		return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1, Rand: 1}, Number: claim}, Index: index}
	}
	first, err := a.Span(t.Context(), at, at.Add(time.Hour), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := first.End(l); !ok || p != end(2, 1800) || !first.Covers(l, end(2, 1800)) || first.Covers(l, end(3, 1)) || !first.Whole(l) {
		t.Errorf("the first hour ends at %v", p)
	}
	if first, err = a.Span(t.Context(), at, at.Add(time.Hour), true, nil); err != nil || !first.Covers(l, end(4, 1800)) || first.Covers(l, end(5, 1)) {
		t.Errorf("with the hour behind it: %v", err)
	}
	none, err := a.Span(t.Context(), at.Add(2*time.Hour), at.Add(3*time.Hour), true, nil)
	if err != nil || !none.Covers(l, end(4, 0)) || none.Covers(l, end(4, 1)) {
		t.Errorf("an hour without rows: what lies before it tells up to its last range: %v", err)
	}
	reach := map[string]Reach{l: {Archived: end(9, 9), Counted: end(5, 5)}}
	if none, err = a.Span(t.Context(), at.Add(2*time.Hour), at.Add(3*time.Hour), false, reach); err != nil || !none.Covers(l, end(9, 9)) || none.Covers(l, end(9, 10)) {
		t.Errorf("the registry: %v", err)
	}
}

func TestCheckpointIsHeldByOne(t *testing.T) {
	dir := t.TempDir()
	c, err := OpenCheckpoint(dir, "job")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(dir, "job"); !errors.Is(err, ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
	var p Place
	if ok, err := c.Load(&p); ok || err != nil {
		t.Errorf("nothing was saved: %v, %v", ok, err)
	}
	want := Place{at, "here", "x"}
	if err := errors.Join(c.Save(want, true), c.Save(Place{}, false), c.Close()); err != nil { // the second comes too soon
		t.Fatal(err)
	}
	if c, err = OpenCheckpoint(dir, "job"); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Load(&p); !ok || err != nil || p != want {
		t.Errorf("%v, %v, %v", p, ok, err)
	}
	if err := errors.Join(c.Remove(), c.Remove()); err != nil {
		t.Error(err)
	}
	if ok, _ := c.Load(&p); ok {
		t.Error("it is there after it was removed")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
