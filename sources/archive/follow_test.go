package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/units"
)

// central is a central store in memory that counts as documents of aggregates do: each hour keeps the position up to which it
// has a lineage, takes nothing below it, and is passed with the end of a batch.
type central struct {
	mu   sync.Mutex
	pos  map[string]pipeline.Position // by lineage and hour
	has  map[record.ID]int
	down bool
}

func newCentral() *central {
	return &central{pos: map[string]pipeline.Position{}, has: map[record.ID]int{}}
}

func (*central) Open(context.Context) error  { return nil }
func (*central) Shape() json.RawMessage      { return nil }
func (*central) Takes(pipeline.Kind) bool    { return true }
func (*central) Close(context.Context) error { return nil }
func (c *central) Write(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var res pipeline.Result
	if c.down {
		return res, fmt.Errorf("the store is down")
	}
	touched := map[string]bool{}
	for i := range b.Items {
		it := &b.Items[i]
		doc := b.Stream.Lineage + it.Record.TimeStamp.Truncate(time.Hour).String()
		touched[doc] = true
		if (pipeline.Position{Claim: b.Claim, Index: it.Index}).Compare(c.pos[doc]) < 0 {
			res.Duplicates++
			continue
		}
		c.has[it.ID]++
	}
	for doc := range touched {
		c.pos[doc] = latest(c.pos[doc], b.End())
	}
	return res, nil
}

func (c *central) set(down bool) { c.mu.Lock(); c.down = down; c.mu.Unlock() }
func (c *central) count() int    { c.mu.Lock(); defer c.mu.Unlock(); return len(c.has) }

// want demands each row once.
func (c *central) want(t *testing.T, rows []format.Row) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	missing, doubled := 0, 0
	for i := range rows {
		switch n := c.has[rows[i].ID]; {
		case n == 0:
			missing++
		case n > 1:
			doubled++
		}
	}
	if missing+doubled > 0 || len(c.has) != len(rows) {
		t.Errorf("of %d records %d are missing and %d count twice; %d in all", len(rows), missing, doubled, len(c.has))
	}
}

// region is a pump that writes a region's archive.
type region struct {
	t     *testing.T
	name  string
	store format.Store
	lists []*list
	all   []format.Row
	rnd   *rand.Rand
	base  time.Time // of the first of the two hours that most records are of
}

// list is a lineage that is archived: rows of two hours and now and then of an older one.
type list struct {
	g        *format.Gatherer
	id       pipeline.StreamID
	claim    uint32
	registry *members
}

func newRegion(t *testing.T, store format.Store, name string, lists int, seed uint64) *region {
	r := &region{t: t, name: name, store: store, rnd: rand.New(rand.NewPCG(seed, 1)), base: at}
	for i := range lists {
		g := format.NewGatherer(format.Options{Sink: "a", Dir: t.TempDir(), MaxBytes: 1 << 20, MaxAge: time.Hour,
			Layout: format.Layout{Compression: format.Zstd}, Log: slog.New(slog.DiscardHandler)})
		if err := g.OpenStore(store); err != nil {
			t.Fatal(err)
		}
		r.lists = append(r.lists, &list{g: g, registry: &members{},
			id: pipeline.StreamID{Source: "main", List: fmt.Sprint("list", i), Lineage: fmt.Sprintf("%016x%016x", seed, i)}})
	}
	return r
}

// archive writes a range of one of the lists: a claim or two, of n records each.
func (r *region) archive(n int) {
	r.t.Helper()
	l := r.lists[r.rnd.IntN(len(r.lists))]
	for range 1 + r.rnd.IntN(2) {
		l.claim++
		b := pipeline.Batch{Stream: l.id, Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1, Rand: 1}, Number: l.claim}, To: uint32(n), Members: l.registry,
			Shape: pipeline.Shape{Key: "k", Record: pipeline.RecordShape{Region: r.name}}}
		for i := range n {
			when := r.base.Add(time.Duration(r.rnd.IntN(7200)) * time.Second)
			if r.rnd.IntN(20) == 0 {
				when = r.base.Add(-90 * 24 * time.Hour)
			}
			rec := &record.Record{OrgID: "org", APIID: "api", ResponseCode: 200, TimeStamp: when}
			row := format.Row{ID: record.MakeID(when, r.rnd.Uint64()), Record: rec, Stream: l.id, Position: pipeline.Position{Claim: b.Claim, Index: uint32(i)}}
			b.Items = append(b.Items, pipeline.Item{Index: uint32(i), ID: row.ID, Record: rec})
			r.all = append(r.all, row)
		}
		if _, err := l.g.Add(r.t.Context(), &b); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := l.g.Flush(r.t.Context(), true); err != nil {
		r.t.Fatal(err)
	}
	l.registry.m = nil
}

// compact joins what there is, in all hours.
func (r *region) compact() {
	r.t.Helper()
	w := &format.Rewriter{Store: r.store, Dir: r.t.TempDir()}
	for h, err := range format.Hours(r.t.Context(), r.store, "", time.Time{}, time.Time{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		if h.Region != r.name {
			continue
		}
		if err := w.Compact(r.t.Context(), r.name, h.Time, 1<<20, func(*format.Manifest) {}); err != nil {
			r.t.Fatal(err)
		}
		after, err := format.ReadHour(r.t.Context(), r.store, "", r.name, h.Time)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, m := range after.Replaced { // as retention does, an hour later
			for _, key := range []string{m.Key, m.ManifestKey()} {
				if err := r.store.Delete(r.t.Context(), key); err != nil {
					r.t.Fatal(err)
				}
			}
		}
	}
}

// centre is a process that follows.
type centre struct {
	src    *Source
	alarms chan string
	end    func()
}

func follows(t *testing.T, cfg Config, token string, sink pipeline.Sink, sums ...string) *centre {
	t.Helper()
	c := &centre{alarms: make(chan string, 100)}
	src, err := New("lake", cfg, Deps{Log: slog.New(slog.DiscardHandler), Token: token, Sinks: []string{"central"}, Sums: sums,
		Alarm: func(text string) {
			select {
			case c.alarms <- text:
			default:
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.New(pipeline.Options{Sinks: []pipeline.SinkSpec{{Name: "central", Type: "fake", Sink: sink, Timeout: time.Second,
		Retry: pipeline.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}}}, Record: pipeline.RecordShape{Region: "centre"},
		Memory: 32 << 20, Batch: pipeline.Batching{Records: 500, Bytes: 1 << 20}, Deadline: time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.src = src
	ctx, cancel := context.WithCancel(context.Background())
	srcCtx, endSource := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
		src.StopClaiming()
		endSource()
	})
	wg.Go(func() {
		if err := src.Run(srcCtx, p); err != nil {
			t.Error(err)
		}
	})
	c.end = func() { cancel(); wg.Wait() }
	t.Cleanup(c.end)
	return c
}

func (c *centre) untilIdle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if ok, _, err := c.src.Idle(t.Context()); ok && err == nil {
			return
		} else if time.Now().After(end) {
			t.Fatalf("it follows for ever: %+v, %v", c.src.Status(), err)
		}
	}
}

func followConfig(dir string) Config {
	c := Defaults()
	c.Dir, c.Poll, c.Sweep, c.Lease, c.Buffer = dir, units.Duration(100*time.Millisecond), units.Duration(100*time.Millisecond), units.Duration(2*time.Second), 1<<20
	return c
}

func (c *centre) wantBooks(t *testing.T, sink string, want map[string]uint64) {
	t.Helper()
	got, err := c.src.Progress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		k := r.Sinks[sink]
		if r.Taken != want[r.Region] || k.Taken != r.Taken || k.Total() != r.Taken {
			t.Errorf("region %s: taken %d, %+v; want %d", r.Region, r.Taken, k, want[r.Region])
		}
	}
	if len(got) != len(want) {
		t.Errorf("books of %d regions, want %d", len(got), len(want))
	}
}

// TestFollowsRegionsExactlyOnce: two regions write, join and delete objects while they are followed; the follower dies again and
// again and goes on from what it kept at any moment.
func TestFollowsRegionsExactlyOnce(t *testing.T) {
	dir, cursor := t.TempDir(), t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	regions := []*region{newRegion(t, store, "eu", 3, 11), newRegion(t, store, "us", 2, 22)}
	sink, cfg := newCentral(), followConfig(dir)
	cfg.Cursor = cursor
	var kept []string // what was kept at some moments
	rnd := rand.New(rand.NewPCG(7, 7))
	for round := range 6 {
		c := follows(t, cfg, "one", sink)
		for i := range 12 {
			regions[i%2].archive(1 + rnd.IntN(400))
			if i%6 == 5 {
				regions[rnd.IntN(2)].compact()
			}
			if i%4 == 3 {
				kept = append(kept, snapshot(t, cursor))
			}
		}
		if round%2 == 0 {
			c.untilIdle(t)
		}
		c.end()
		if n := len(kept); round < 4 { // it died, and what it kept last is older than what it did
			restore(t, cursor, kept[n-1-rnd.IntN(min(n, 4))])
		}
	}
	restore(t, cursor, kept[len(kept)-1])
	c := follows(t, cfg, "one", sink)
	c.untilIdle(t)
	sink.want(t, slices.Concat(regions[0].all, regions[1].all))
	for _, r := range regions { // joined objects are new objects with old rows
		r.compact()
	}
	c.untilIdle(t)
	time.Sleep(300 * time.Millisecond) // two sweeps
	c.untilIdle(t)
	sink.want(t, slices.Concat(regions[0].all, regions[1].all))
	c.wantBooks(t, "central", map[string]uint64{"eu": uint64(len(regions[0].all)), "us": uint64(len(regions[1].all))})
	c.src.mu.Lock()
	f := c.src.follower
	c.src.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	hours := 0
	for _, l := range f.progress.Lineages {
		hours += len(l.Hours)
	}
	if len(f.progress.Lineages) != 5 || hours > 15 {
		t.Errorf("%d hours of %d lineages are kept apart", hours, len(f.progress.Lineages))
	}
}

// snapshot copies a directory, restore puts a copy back in its place.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	for try := 0; ; try++ { // files come and go
		_ = os.RemoveAll(to)
		if err := os.CopyFS(to, os.DirFS(dir)); err == nil {
			return to
		} else if try > 20 {
			t.Fatal(err)
		}
	}
}

func restore(t *testing.T, dir, from string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
