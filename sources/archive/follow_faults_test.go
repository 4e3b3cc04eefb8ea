package archive

import (
	"context"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
)

// TestTwoFollowersShareAnArchive: one follows and one stands by; it takes over when the other ends, and within a lease when it
// dies. What the dead one still does when it comes back has no effect on what is kept.
func TestTwoFollowersShareAnArchive(t *testing.T) {
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, sink, cfg := newRegion(t, store, "eu", 2, 5), newCentral(), followConfig(dir)
	r.archive(200)
	one := follows(t, cfg, "one", sink)
	one.untilIdle(t)
	two := follows(t, cfg, "two", sink)
	two.untilIdle(t)
	if _, others, _ := two.src.Idle(t.Context()); len(others) != 1 {
		t.Errorf("the second one follows as well: %v", others)
	}
	one.end()
	r.archive(200)
	waitFor(t, "the second one to take over", func() bool { return sink.count() == len(r.all) })
	two.untilIdle(t)
	two.end()
	// A third one dies: what it kept stays its own.
	book := &notebook{store: store, dir: followDir + cfg.Follower + "/", owner: "dead"}
	p, err := book.take(t.Context(), cfg.Lease.D(), func(string, bool) {})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.archive(200)
	four := follows(t, cfg, "four", sink)
	waitFor(t, "a take-over", func() bool { return sink.count() == len(r.all) })
	if took := time.Since(began); took < cfg.Lease.D() || took > 2*cfg.Lease.D() {
		t.Errorf("took over after %s, the lease is %s", took, cfg.Lease)
	}
	four.untilIdle(t)
	if err := book.write(t.Context(), p); err != errTaken { //nolint:errorlint // it is not wrapped
		t.Errorf("the dead one wrote: %v", err)
	}
	book.last -= keptNotes                                  // it slept for long: its number is free again
	if err := book.write(t.Context(), p); err != errTaken { //nolint:errorlint // it is not wrapped
		t.Errorf("the dead one wrote an old number: %v", err)
	}
	four.wantBooks(t, "central", map[string]uint64{"eu": uint64(len(r.all))})
	sink.want(t, r.all)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// TestDamageHoldsOneHour: what cannot be read holds its hour, loudly, and nothing else; moved away it is passed over, and what
// was deleted before it was followed is counted.
func TestDamageHoldsOneHour(t *testing.T) {
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := newRegion(t, store, "eu", 1, 9)
	for range 3 {
		r.archive(200)
	}
	objects, err := filepath.Glob(filepath.Join(dir, "region=eu", "dt=2026-11-23", "hour=09", "*.csv.zst"))
	if err != nil || len(objects) != 3 {
		t.Fatal(objects, err)
	}
	good, err := os.ReadFile(objects[1])
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(good)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(objects[1], bad, 0o600); err != nil {
		t.Fatal(err)
	}
	sink := newCentral()
	c := follows(t, followConfig(dir), "one", sink)
	elsewhere := 0
	for i := range r.all {
		if !r.all[i].Record.TimeStamp.Truncate(time.Hour).Equal(at) {
			elsewhere++
		}
	}
	waitFor(t, "the other hours", func() bool { return sink.count() > elsewhere }) // and what lies before the damage
	select {
	case <-c.alarms:
	case <-time.After(time.Minute):
		t.Fatal("no alarm")
	}
	held := func() string {
		for _, l := range c.src.Status().Lists {
			if l.Held != "" {
				return l.Held
			}
		}
		return ""
	}
	if !strings.Contains(held(), "2026-11-23T09") {
		t.Errorf("held: %q", held())
	}
	if ok, _, _ := c.src.Idle(t.Context()); ok {
		t.Error("it is idle while an hour is held")
	}
	name := strings.TrimSuffix(path.Base(objects[1]), ".csv.zst")
	m, err := format.ReadManifest(t.Context(), store, "region=eu/dt=2026-11-23/hour=09/"+name+".manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, ext := range []string{".csv.zst", ".manifest.json"} {
		if err := os.Remove(filepath.Join(filepath.Dir(objects[1]), name+ext)); err != nil {
			t.Fatal(err)
		}
	}
	c.end() // a held hour is tried again each minute, or by whoever begins
	c = follows(t, followConfig(dir), "one", sink)
	c.untilIdle(t)
	if n := sink.count(); n != len(r.all)-int(m.Records) || held() != "" {
		t.Errorf("%d records of %d, %d of which were moved away; held: %q", n, len(r.all), m.Records, held())
	}
}

// racing shows in the first listing of an hour not what sorts first: it came while the listing was on its way.
type racing struct {
	format.Store
	listings atomic.Int32
}

func (s *racing) List(ctx context.Context, prefix string) iter.Seq2[format.Info, error] {
	return func(yield func(format.Info, error) bool) {
		hide := strings.Contains(prefix, "/hour=") && s.listings.Add(1) == 1
		first := ""
		for info, err := range s.Store.List(ctx, prefix) {
			name := path.Base(info.Key)
			if hide && err == nil && (first == "" || strings.HasPrefix(name, first)) {
				first, _, _ = strings.Cut(name, ".")
				continue
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// TestListingIsNotAMoment: what a listing missed, and what was there before something that it showed, comes first.
func TestListingIsNotAMoment(t *testing.T) {
	store, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := newRegion(t, store, "eu", 1, 3)
	r.archive(50)
	r.archive(50)
	f := &follower{src: &Source{}, store: &racing{Store: store}, progress: newProgress(), seen: map[place]uint64{}, high: map[string]pipeline.Position{}}
	p, err := f.look(t.Context(), true)
	if err != nil || len(p.tasks) == 0 {
		t.Fatal(p, err)
	}
	raced := p.tasks[0]
	want := 0
	for i := range r.all {
		if r.all[i].Record.TimeStamp.Truncate(time.Hour).Equal(raced.hour) {
			want++
		}
	}
	var last pipeline.Position
	got := 0
	for row, err := range f.rows(t.Context(), raced) {
		if err != nil {
			t.Fatal(err)
		}
		if got++; row.Position.Compare(last) < 0 {
			t.Errorf("%s comes behind %s", row.Position, last)
		}
		last = row.Position
	}
	if got != want {
		t.Errorf("%d rows of %d", got, want)
	}
}

// TestSickSinkHoldsThePlace: nothing is passed that a sink does not have, and it shows as lag.
func TestSickSinkHoldsThePlace(t *testing.T) {
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, sink := newRegion(t, store, "eu", 1, 4), newCentral()
	sink.set(true)
	r.base = time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	r.archive(100)
	c := follows(t, followConfig(dir), "one", sink)
	time.Sleep(1200 * time.Millisecond)
	r.archive(100)
	waitFor(t, "the lag", func() bool {
		for _, l := range c.src.Status().Lists {
			if l.Name == "eu" && l.Waiting == uint64(len(r.all)) && l.OldestAge > 1 {
				return true
			}
		}
		return false
	})
	recent := uint64(0)
	for i := range r.all {
		if !r.all[i].Record.TimeStamp.Before(r.base) {
			recent++
		}
	}
	lags, last, err := c.src.Lags(t.Context())
	if err != nil || len(lags) != 1 || lags[0].Records != recent || last.IsZero() {
		t.Errorf("%+v of %d, %s, %v", lags, recent, last, err)
	}
	sink.set(false)
	c.untilIdle(t)
	sink.want(t, r.all)
	if lags, _, err = c.src.Lags(t.Context()); err != nil || len(lags) != 0 {
		t.Errorf("%+v, %v", lags, err)
	}
}
