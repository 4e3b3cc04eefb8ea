package archive

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/units"
)

// onlooker is a follower that looks and delivers nothing.
func onlooker(t *testing.T, store format.Store) *follower {
	t.Helper()
	src, err := New("lake", followConfig(t.TempDir()), Deps{Log: slog.New(slog.DiscardHandler), Token: "one"})
	if err != nil {
		t.Fatal(err)
	}
	return &follower{src: src, store: store, progress: newProgress(), seen: map[place]uint64{}, high: map[string]pipeline.Position{}, held: map[place]held{},
		found: map[place]*task{}, busy: map[string]*task{}, gone: map[place][]*format.Manifest{}}
}

func (f *follower) lostOf(region string) uint64 { return f.progress.region(region).Lost }

// vanishing deletes an object, and its manifest, when the manifest is read.
type vanishing struct {
	format.Store
	gone *format.Manifest
}

// Get implements format.Store.
func (s *vanishing) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	body, err := s.Store.Get(ctx, key)
	if key == s.gone.ManifestKey() { // it was listed, and is read: now it goes
		for _, k := range []string{s.gone.ManifestKey(), s.gone.Key} {
			if err := s.Delete(ctx, k); err != nil {
				return nil, err
			}
		}
	}
	return body, err
}

// TestDeletedBetweenTheLooksIsLost: an object that gave the bounds of a place and is not there for its delivery is counted, once.
func TestDeletedBetweenTheLooksIsLost(t *testing.T) {
	store, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := newRegion(t, store, "eu", 1, 3)
	r.archive(50)
	r.archive(50)
	h, err := format.ReadHour(t.Context(), store, "", "eu", at)
	if err != nil || len(h.Manifests) < 2 {
		t.Fatal(h, err)
	}
	gone := h.Manifests[0]
	f := onlooker(t, &vanishing{Store: store, gone: gone})
	for range 2 {
		p, err := f.look(t.Context(), true)
		if err != nil || len(p.tasks) == 0 {
			t.Fatal(p, err)
		}
		for _, task := range p.tasks {
			if task.hour.Equal(at) && len(task.objects) != len(h.Manifests)-1 {
				t.Errorf("%d objects of %d, of which one was deleted", len(task.objects), len(h.Manifests))
			}
		}
		f.note(p, nil)
		if n := f.lostOf("eu"); n != uint64(gone.Records) {
			t.Errorf("%d records are lost by the books, want %d", n, gone.Records)
		}
	}
}

// TestJoinedIsNotLost: what was joined and deleted before it was followed lies in the joined object.
func TestJoinedIsNotLost(t *testing.T) {
	store, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := newRegion(t, store, "eu", 1, 3)
	r.archive(50)
	r.archive(50)
	f := onlooker(t, store)
	p, err := f.look(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	f.note(p, nil)
	for at, task := range f.found { // as when each of them is read after that
		f.gone[at] = task.objects
	}
	r.compact()
	if p, err = f.look(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	f.note(p, nil)
	if n := f.lostOf("eu"); n != 0 || len(f.gone) != 0 {
		t.Errorf("%d records are lost by the books, all lie in joined objects", n)
	}
}

// TestSinceMayBeLowered: hours that were left out at first are followed when the configuration names them, also what of them lies below
// the position that everything else has passed.
func TestSinceMayBeLowered(t *testing.T) {
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, sink := newRegion(t, store, "eu", 2, 6), newCentral()
	for range 6 {
		r.archive(100)
	}
	recent := 0
	for i := range r.all {
		if !r.all[i].Record.TimeStamp.Before(at) {
			recent++
		}
	}
	if recent == len(r.all) {
		t.Fatal("no record is older")
	}
	last := map[string]string{} // by lineage: where its last range begins
	for m, err := range format.List(t.Context(), store, "", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Positions {
			last[p.Lineage] = max(last[p.Lineage], p.From)
		}
	}
	swept := func(c *centre) bool {
		c.src.mu.Lock()
		f := c.src.follower
		c.src.mu.Unlock()
		f.mu.Lock()
		defer f.mu.Unlock()
		for lineage, from := range last {
			if f.progress.Lineages[lineage].Base != from {
				return false
			}
		}
		return true
	}
	for _, step := range []struct {
		since string
		want  int
	}{{at.Format(time.RFC3339), recent}, {at.Add(time.Hour).Format(time.RFC3339), recent}, {"", len(r.all)}, {"", len(r.all)}} {
		cfg := followConfig(dir)
		cfg.Since = step.since
		cfg.Poll = units.Duration(100 * time.Millisecond)
		c := follows(t, cfg, "one", sink)
		c.untilIdle(t)
		waitFor(t, "a look at all days behind everything", func() bool { return swept(c) })
		c.untilIdle(t)
		c.end()
		if n := sink.count(); n != step.want {
			t.Errorf("since %q: %d records, want %d", step.since, n, step.want)
		}
	}
	sink.want(t, r.all)
}
