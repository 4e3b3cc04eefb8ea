package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/pipeline"
)

func TestHoursNeverShareAnObject(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	at := func(i uint32) time.Time { return nine.Add(time.Duration(i%3) * time.Hour) }
	mustAdd(t, g, batchOf(m, g, 1, 0, 90, at))
	mustAdd(t, g, batchOf(m, g, 1, 90, 150, at))
	p := mustFlush(t, g, m)
	if len(p.Settled) != 1 || p.Settled[0] != (pipeline.Mark{Stream: testStream, Pos: position(1, 150)}) {
		t.Errorf("settled %+v", p.Settled)
	}
	wantPositions(t, s, 0, 150)
	name := Name(testStream.Lineage, position(1, 0), position(1, 150))
	var want []string
	for _, hour := range []string{"09", "10", "11"} {
		dir := "p/region=eu-west-1/dt=2026-11-23/hour=" + hour + "/"
		want = append(want, dir+name+".csv.zst", dir+name+".manifest.json")
	}
	if !slices.Equal(s.puts, want) {
		t.Errorf("put in this order:\n%s\nwant\n%s", strings.Join(s.puts, "\n"), strings.Join(want, "\n"))
	}
	if n := filesIn(t, g.o.Dir); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

func TestManifestSaysWhatTheRowsWentThrough(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	b := batchOf(m, g, 1, 0, 10, func(i uint32) time.Time { return nine.Add(time.Duration(10-i) * time.Second) })
	b.Shape.Record.Filters = &pipeline.Filters{OrgIDs: []string{"o"}}
	b.Shape.Record.Masks = []pipeline.Mask{{Field: "ip_address", Action: "truncate"}}
	b.Shape.Record.DropBodies = true
	mustAdd(t, g, b)
	mustFlush(t, g, m)
	for got, err := range List(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if got.Records != 10 || got.Complete() || !got.DropBodies || got.Filters.OrgIDs[0] != "o" || got.Masks[0].Field != "ip_address" ||
			!got.First.Equal(nine.Add(time.Second)) || !got.Last.Equal(nine.Add(10*time.Second)) || len(got.Columns) != 51 ||
			got.Positions[0] != (Range{testStream.Lineage, position(1, 0).String(), position(1, 10).String()}) {
			t.Errorf("manifest %+v", got)
		}
		raw := s.objects[got.ManifestKey()].body
		if strings.Count(string(raw), "\n") != 1 || raw[len(raw)-1] != '\n' {
			t.Errorf("the manifest is not one line: %s", raw)
		}
		return
	}
	t.Error("no manifest")
}

func TestMembersComeBeforeTheFirstByte(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	m.onWrite = func() {
		if len(s.puts) > 0 {
			t.Error("something was uploaded before the members were recorded")
		}
	}
	mustAdd(t, g, batchOf(m, g, 1, 0, 10, sameHour))
	m.fail = errors.New("Redis is down")
	if p, err := g.Flush(t.Context(), true); err == nil || len(p.Settled) > 0 || len(s.puts) > 0 {
		t.Fatalf("without members: %+v, %v, %d puts", p, err, len(s.puts))
	}
	m.fail = nil
	mustFlush(t, g, m)
	if m.records != 1 {
		t.Errorf("recorded %d times", m.records)
	}
	wantPositions(t, s, 0, 10)
}

func TestRangeCloses(t *testing.T) {
	tests := map[string]func(*Gatherer, *registry) *pipeline.Batch{
		"at another shape": func(g *Gatherer, m *registry) *pipeline.Batch {
			b := batchOf(m, g, 1, 10, 20, sameHour)
			b.Shape.Key = "other"
			return b
		},
		"at another epoch": func(g *Gatherer, m *registry) *pipeline.Batch {
			b := batchOf(m, g, 2, 0, 10, sameHour)
			b.Claim.Epoch.Ms++
			return b
		},
	}
	for name, next := range tests {
		t.Run(name, func(t *testing.T) {
			s, m := newMemStore(), &registry{}
			g := gathererOver(t, s, small(t))
			mustAdd(t, g, batchOf(m, g, 1, 0, 10, sameHour))
			b := next(g, m)
			if _, err := g.Add(t.Context(), b); !errors.Is(err, pipeline.ErrFull) {
				t.Fatalf("%v, want ErrFull", err)
			}
			if g.Due().After(time.Now()) {
				t.Error("not due at once")
			}
			p, err := g.Flush(t.Context(), false)
			if err != nil || len(p.Settled) != 1 || p.Settled[0].Pos != position(1, 10) {
				t.Fatalf("%+v, %v", p, err)
			}
			m.settle(p.Settled[0].Pos)
			mustAdd(t, g, b)
			mustFlush(t, g, m)
			if n := len(archived(t, s)); n != 20 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

func TestRangeClosesAtSizeAndAtClaims(t *testing.T) {
	s, m := newMemStore(), &registry{}
	o := small(t)
	o.MaxBytes = 4 << 10
	g := gathererOver(t, s, o)
	mustAdd(t, g, batchOf(m, g, 1, 0, 10, sameHour))
	if p, err := g.Flush(t.Context(), false); err != nil || len(p.Settled) > 0 {
		t.Fatalf("flushed before it was full: %+v, %v", p, err)
	}
	mustAdd(t, g, batchOf(m, g, 1, 10, 60, sameHour))
	if p, err := g.Flush(t.Context(), false); err != nil || len(p.Settled) != 1 {
		t.Fatalf("not flushed when it was full: %+v, %v", p, err)
	}
	m.rec = nil

	g = gathererOver(t, s, small(t))
	for n := range uint32(maxClaims) {
		mustAdd(t, g, batchOf(m, g, 10+n, 0, 2, sameHour))
	}
	mustAdd(t, g, batchOf(m, g, 10+maxClaims-1, 2, 4, sameHour))
	if _, err := g.Add(t.Context(), batchOf(m, g, 10+maxClaims, 0, 2, sameHour)); !errors.Is(err, pipeline.ErrFull) {
		t.Errorf("claim %d: %v, want ErrFull", maxClaims+1, err)
	}
}

func TestRangeClosesAtItsAge(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, m := newMemStore(), &registry{}
		o := small(t)
		o.Dir, o.MaxAge = dir, time.Minute
		g := gathererOver(t, s, o)
		if !g.Due().IsZero() {
			t.Error("due before anything is gathered")
		}
		start := time.Now()
		mustAdd(t, g, batchOf(m, g, 1, 0, 5, sameHour))
		time.Sleep(50 * time.Second)
		mustAdd(t, g, batchOf(m, g, 1, 5, 10, sameHour))
		if !g.Due().Equal(start.Add(time.Minute)) {
			t.Errorf("due after %s", g.Due().Sub(start))
		}
		if p, err := g.Flush(t.Context(), false); err != nil || len(p.Settled) > 0 {
			t.Errorf("flushed too early: %+v, %v", p, err)
		}
		time.Sleep(10 * time.Second)
		if p, err := g.Flush(t.Context(), false); err != nil || len(p.Settled) != 1 {
			t.Errorf("not flushed when due: %+v, %v", p, err)
		}
		if !g.Due().IsZero() {
			t.Error("due with nothing gathered")
		}
	})
}

func TestEmptyRangeSettlesWithoutAnObject(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	b := batchOf(m, g, 1, 0, 500, sameHour)
	b.Items = nil
	mustAdd(t, g, b)
	p := mustFlush(t, g, m)
	if len(p.Settled) != 1 || p.Settled[0].Pos != position(1, 500) || len(s.puts) > 0 {
		t.Errorf("settled %+v, %d puts", p.Settled, len(s.puts))
	}
}

// TestCrashBeforeAnEmptyRangeIsSettled: what follows a range without rows must not be recorded while that range may come
// again, or delivery would begin before a recorded range and never get into it.
func TestCrashBeforeAnEmptyRangeIsSettled(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, m := newMemStore(), &registry{}
		o := small(t)
		o.Dir = dir
		g := gathererOver(t, s, o)
		empty := batchOf(m, g, 1, 0, 5, sameHour)
		empty.Items = nil
		mustAdd(t, g, empty)
		if _, err := g.Flush(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		mustAdd(t, g, batchOf(m, g, 1, 5, 10, sameHour)) // the settle of 5 is still under way
		_, _ = g.Flush(t.Context(), true)
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}

		next := gathererOver(t, s, o) // begins at the cursor, 0
		mustAdd(t, next, empty)
		mustFlush(t, next, m)
		mustAdd(t, next, batchOf(m, next, 1, 5, 10, sameHour))
		mustFlush(t, next, m)
		wantPositions(t, s, 5, 10)
	})
}

// TestNextRangeWaitsForTheSettle: the registry has one range a stream; the next is recorded when the last is settled.
func TestNextRangeWaitsForTheSettle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, m := newMemStore(), &registry{}
		o := small(t)
		o.Dir = dir
		g := gathererOver(t, s, o)
		mustAdd(t, g, batchOf(m, g, 1, 0, 5, sameHour))
		if _, err := g.Flush(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		mustAdd(t, g, batchOf(m, g, 1, 5, 10, sameHour)) // the settle of 5 is still under way
		if p, err := g.Flush(t.Context(), true); err == nil || len(p.Settled) > 0 {
			t.Fatalf("recorded over an open range: %+v, %v", p, err)
		}
		start := time.Now()
		m.settle(position(1, 5))
		mustFlush(t, g, m)
		if d := time.Since(start); d > settlePoll {
			t.Errorf("waited %s for nothing", d)
		}
		wantPositions(t, s, 0, 10)
	})
}

// stuckMembers waits for replicas that do not come.
type stuckMembers struct{ registry }

func (m *stuckMembers) Record(ctx context.Context, _ pipeline.MemberRange) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestStreamThatCannotRecordDoesNotHoldUpTheOthers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		o := small(t)
		o.Dir = dir
		g := gathererOver(t, s, o)
		stuck := batchOf(&stuckMembers{}, g, 1, 0, 5, sameHour)
		stuck.Stream.Lineage = strings.Repeat("f", 32)
		mustAdd(t, g, stuck)
		time.Sleep(time.Second)
		mustAdd(t, g, batchOf(&registry{}, g, 1, 0, 5, sameHour))
		ctx, cancel := context.WithTimeout(t.Context(), 4*recordWait)
		defer cancel()
		p, err := g.Flush(ctx, true)
		if err == nil || len(p.Settled) != 1 || p.Settled[0].Stream != testStream {
			t.Errorf("settled %+v, %v", p.Settled, err)
		}
	})
}

func TestMisplacedBatchesAreRefused(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	mustAdd(t, g, batchOf(m, g, 1, 0, 10, sameHour))
	if _, err := g.Add(t.Context(), batchOf(m, g, 1, 5, 15, sameHour)); err == nil {
		t.Error("positions are gathered twice")
	}
	up := batchOf(m, g, 1, 10, 12, sameHour)
	up.Kind = pipeline.Uptime
	if _, err := g.Add(t.Context(), up); err == nil {
		t.Error("uptime records are gathered")
	}
	g.Forget(testStream)
	m.rec = &pipeline.MemberRange{From: position(1, 5), To: position(1, 20), Tag: `{"v":1,"prefix":"p/","compression":"zstd","region":"r"}`}
	if _, err := g.Add(t.Context(), batchOf(m, g, 1, 0, 20, sameHour)); err == nil {
		t.Error("delivery begins before a recorded range")
	}
	m.rec.From = position(1, 0)
	if _, err := g.Add(t.Context(), batchOf(m, g, 1, 0, 21, sameHour)); err == nil {
		t.Error("a batch crosses the end of a recorded range")
	}
	m.rec.Tag = `{"v":2,"prefix":"p/","compression":"zstd","region":"r"}`
	if _, err := g.Add(t.Context(), batchOf(m, g, 1, 0, 20, sameHour)); err == nil {
		t.Error("a range of a newer format is gathered in ours")
	}
}

func TestAbsurdTimesAreDead(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	b := batchOf(m, g, 1, 0, 3, func(i uint32) time.Time {
		return []time.Time{nine, time.Unix(1<<40, 0), time.Unix(-1<<40, 0)}[i]
	})
	res, err := g.Add(t.Context(), b)
	if err != nil || len(res.Dead) != 2 || res.Dead[0].Item != 1 || res.Dead[1].Item != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	mustFlush(t, g, m)
	wantPositions(t, s, 0, 1)
}

func TestMemoryIsBounded(t *testing.T) {
	s, m := newMemStore(), &registry{}
	o := small(t)
	g := gathererOver(t, s, o)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const rows, batch = 200_000, 1000
	at := func(i uint32) time.Time { return nine.Add(time.Duration(i%7) * time.Hour) }
	for from := uint32(0); from < rows; from += batch {
		b := batchOf(m, g, 1, from, from+batch, at)
		for i := range b.Items {
			b.Items[i].Record.RawResponse = strings.Repeat("QUJD", 60)
		}
		mustAdd(t, g, b)
		if held := g.ranges[testStream].rows.held; held > rowLimit(1) {
			t.Fatalf("%d bytes are held in memory", held)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	total := g.ranges[testStream].rows.bytes
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); total < 80<<20 || grown > 16<<20 {
		t.Errorf("%d MiB gathered take %d MiB of memory", total>>20, grown>>20)
	}
	mustFlush(t, g, m)
	wantPositions(t, s, 0, rows)
}

func TestFullDiskLosesNothing(t *testing.T) {
	s, m := newMemStore(), &registry{}
	o := small(t)
	o.Dir = filepath.Join(o.Dir, "temp")
	g := gathererOver(t, s, o)
	if err := os.Remove(o.Dir); err != nil {
		t.Fatal(err)
	}
	next := uint32(0)
	for ; next < 100_000; next += 1000 { // rows stay in memory until the limit is passed
		if _, err := g.Add(t.Context(), batchOf(m, g, 1, next, next+1000, sameHour)); err != nil {
			break
		}
	}
	if held := g.ranges[testStream].rows.held; next == 100_000 || held > 2*rowLimit(1) {
		t.Fatalf("%d rows were taken, %d bytes are held", next, held)
	}
	if err := os.Mkdir(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, g, batchOf(m, g, 1, next, next+1000, sameHour))
	mustFlush(t, g, m)
	wantPositions(t, s, 0, next+1000)
}

func TestForgetAndOpenEmptyTheDirectory(t *testing.T) {
	s, m := newMemStore(), &registry{}
	o := small(t)
	g := gathererOver(t, s, o)
	mustAdd(t, g, batchOf(m, g, 1, 0, 40_000, sameHour))
	if filesIn(t, o.Dir) == 0 {
		t.Fatal("nothing was spilled")
	}
	g.Forget(testStream)
	g.Forget(testStream)
	if n := filesIn(t, o.Dir); n != 0 || !g.Due().IsZero() {
		t.Errorf("%d files after Forget, due %s", n, g.Due())
	}
	mustAdd(t, g, batchOf(m, g, 1, 0, 5000, sameHour))
	other := gathererOver(t, s, o) // after a crash: the files of the first are left-overs
	if n := filesIn(t, o.Dir); n != 0 {
		t.Errorf("%d files after Open", n)
	}
	mustAdd(t, other, batchOf(m, other, 1, 0, 5000, sameHour))
	mustFlush(t, other, m)
	wantPositions(t, s, 0, 5000)
	if err := errors.Join(other.Close(context.Background()), other.Close(context.Background())); err != nil {
		t.Error(err)
	}
}
