package archive

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
)

// TestCrashAnywhere stops a flush at each of its puts, without and with effect, and lets another process, with another
// configuration, other cuts and another level, take over.
func TestCrashAnywhere(t *testing.T) {
	at := func(i uint32) time.Time { return nine.Add(time.Duration(i%2) * time.Hour) }
	for stop := range 4 { // object, manifest, object, manifest
		for _, lost := range []bool{false, true} {
			s, m := newMemStore(), &registry{}
			g := gathererOver(t, s, small(t))
			mustAdd(t, g, batchOf(m, g, 1, 0, 70, at))
			mustAdd(t, g, batchOf(m, g, 1, 70, 100, at))
			puts := 0
			s.fault = func(string) (bool, bool) {
				puts++
				return puts > stop, lost
			}
			if p, err := g.Flush(t.Context(), true); !errors.Is(err, errStore) || len(p.Settled) > 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			s.fault = nil
			first := maps.Clone(s.objects)

			o := small(t) // the configuration changed meanwhile, and more came into the list
			o.Layout.Prefix, o.Layout.Compression, o.MaxBytes, o.Level = "p/elsewhere/", Gzip, 4<<10, 19
			g2 := gathererOver(t, s, o)
			shape := g.Shape()
			for _, r := range [][2]uint32{{0, 1}, {1, 60}, {60, 100}} {
				b := batchOf(m, g2, 1, r[0], r[1], at)
				b.Shape.JSON = shape
				b.Shape.Record.Region = "eu-west-1"
				mustAdd(t, g2, b)
			}
			if _, err := g2.Add(t.Context(), batchOf(m, g2, 1, 100, 101, at)); !errors.Is(err, pipeline.ErrFull) {
				t.Fatalf("the recorded range took more: %v", err)
			}
			p, err := g2.Flush(t.Context(), false)
			if err != nil || len(p.Settled) != 1 || p.Settled[0].Pos != position(1, 100) {
				t.Fatalf("%+v, %v", p, err)
			}
			wantPositions(t, s, 0, 100)
			for key, o := range first {
				if !bytes.Equal(s.objects[key].body, o.body) {
					t.Errorf("%s was written again", key)
				}
			}
			if len(s.objects) != 4 {
				t.Errorf("%d objects, want 2 and their manifests", len(s.objects))
			}
		}
	}
}

// TestRangeThatWasSettledInPartGoesOn: a range whose beginning came from the spool and whose end from the claims is booked by two
// scripts. A crash between them leaves its members recorded and its beginning gone; all of it is in the store.
func TestRangeThatWasSettledInPartGoesOn(t *testing.T) {
	at := func(i uint32) time.Time { return nine.Add(time.Duration(i%2) * time.Hour) }
	for _, lost := range []bool{false, true} {
		s, m := newMemStore(), &registry{}
		g := gathererOver(t, s, small(t))
		mustAdd(t, g, batchOf(m, g, 1, 0, 40, at))
		mustAdd(t, g, batchOf(m, g, 1, 40, 100, at))
		if p, err := g.Flush(t.Context(), true); err != nil || len(p.Settled) != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
		m.settle(position(1, 40)) // and the crash
		if lost {
			clear(s.objects)
		}
		g2 := gathererOver(t, s, small(t))
		mustAdd(t, g2, batchOf(m, g2, 1, 40, 70, at))
		if p, err := g2.Flush(t.Context(), true); err != nil || len(p.Settled) != 0 {
			t.Fatalf("settled before its end: %+v, %v", p, err)
		}
		mustAdd(t, g2, batchOf(m, g2, 1, 70, 100, at))
		p, err := g2.Flush(t.Context(), true)
		if lost {
			if err == nil || len(p.Settled) != 0 || len(s.objects) != 0 {
				t.Errorf("what is not in the store is passed: %+v, %v, %d objects", p, err, len(s.objects))
			}
			continue
		}
		if err != nil || len(p.Settled) != 1 || p.Settled[0].Pos != position(1, 100) {
			t.Fatalf("%+v, %v", p, err)
		}
		m.settle(position(1, 100))
		mustAdd(t, g2, batchOf(m, g2, 1, 100, 120, at))
		mustFlush(t, g2, m)
		wantPositions(t, s, 0, 120)
	}
}

// TestRecordedRangeWaitsUntilItIsWhole: size, age and a flush of everything do not cut it.
func TestRecordedRangeWaitsUntilItIsWhole(t *testing.T) {
	s, m := newMemStore(), &registry{}
	o := small(t)
	o.MaxBytes, o.MaxAge = 1, time.Nanosecond
	g := gathererOver(t, s, o)
	tag, err := members{Layout: g.o.Layout, Region: "eu-west-1"}.encode()
	if err != nil {
		t.Fatal(err)
	}
	m.rec = &pipeline.MemberRange{From: position(1, 0), To: position(2, 30), Tag: tag}
	for _, b := range []*pipeline.Batch{batchOf(m, g, 1, 0, 50, sameHour), batchOf(m, g, 1, 50, 99, sameHour), batchOf(m, g, 2, 0, 20, sameHour)} {
		mustAdd(t, g, b)
		if p := mustFlush(t, g, m); len(p.Settled) > 0 || !g.Due().IsZero() {
			t.Fatalf("settled %+v, due %s", p.Settled, g.Due())
		}
	}
	mustAdd(t, g, batchOf(m, g, 2, 20, 30, sameHour))
	if p := mustFlush(t, g, m); len(p.Settled) != 1 || m.records != 0 || m.rec != nil {
		t.Errorf("settled %+v, recorded %d times, left %v", p.Settled, m.records, m.rec)
	}
	if n := len(archived(t, s)); n != 129 {
		t.Errorf("%d rows", n)
	}
}

// TestOtherBytesSameRows: an encoder of another version makes other bytes of the same rows, which are adopted, with the
// hash from the metadata or, where the store keeps none, from the object itself.
func TestOtherBytesSameRows(t *testing.T) {
	for _, noHash := range []bool{false, true} {
		for _, kind := range []Compression{Zstd, Gzip} {
			s, m := newMemStore(), &registry{}
			s.noHash = noHash
			o := small(t)
			o.Layout.Compression, o.Level = kind, 1
			g := gathererOver(t, s, o)
			mustAdd(t, g, batchOf(m, g, 1, 0, 3000, sameHour))
			s.fault = func(key string) (bool, bool) { return strings.HasSuffix(key, manifestExt), false }
			if _, err := g.Flush(t.Context(), true); err == nil {
				t.Fatal("no fault")
			}
			s.fault = nil
			before := maps.Clone(s.objects)
			o.Level, o.Dir = 9, t.TempDir()
			g2 := gathererOver(t, s, o)
			mustAdd(t, g2, batchOf(m, g2, 1, 0, 3000, sameHour))
			r := g2.ranges[testStream]
			body, _, err := r.object(r.rows.hours[hourOf(nine)])
			if err != nil {
				t.Fatal(err)
			}
			for _, old := range before {
				if int64(len(old.body)) == body.size {
					t.Fatal("both levels make objects of one size: the case proves nothing")
				}
			}
			mustFlush(t, g2, m)
			wantPositions(t, s, 0, 3000)
			if len(before) != 1 || len(s.objects) != 2 {
				t.Errorf("%d objects, then %d", len(before), len(s.objects))
			}
		}
	}
}

// TestConflictIsLoud: somebody else's rows under our name are neither overwritten nor taken for ours, and hold up nothing
// but their own stream.
func TestConflictIsLoud(t *testing.T) {
	for _, what := range []string{"other rows", "other rows, no hash", "damaged", "other manifest"} {
		t.Run(what, func(t *testing.T) {
			s, m, other := newMemStore(), &registry{}, &registry{}
			s.noHash = what == "other rows, no hash" || what == "damaged"
			g := gathererOver(t, s, small(t))
			mustAdd(t, g, batchOf(m, g, 1, 0, 9, sameHour))
			r := g.ranges[testStream]
			key := Partition("p/", "eu-west-1", nine) + Name(testStream.Lineage, r.from, r.to) + Zstd.Ext()
			theirs := memObject{compressed(t, Zstd, append(AppendHeader(nil), "x\n"...)), strings.Repeat("ab", 32)}
			switch what {
			case "other rows, no hash":
				theirs.sha = ""
			case "damaged":
				theirs = memObject{[]byte("no zstd at all"), ""}
			case "other manifest":
				key = strings.TrimSuffix(key, Zstd.Ext()) + manifestExt
				theirs.body = []byte(`{"version":1,"object":"` + Name(testStream.Lineage, r.from, r.to) + `.csv.zst","compression":"zstd",` +
					`"sha256":"` + strings.Repeat("ab", 32) + `"}`)
			}
			s.objects[key] = theirs

			b := batchOf(other, g, 1, 0, 9, sameHour)
			b.Stream.List, b.Stream.Lineage = "other", strings.Repeat("1", 32)
			mustAdd(t, g, b)
			p, err := g.Flush(t.Context(), true)
			var conflict *ConflictError
			if !errors.As(err, &conflict) || conflict.Key != key || !strings.Contains(err.Error(), conflict.Ours) ||
				!strings.Contains(err.Error(), conflict.Theirs) || conflict.Ours == conflict.Theirs {
				t.Fatalf("error %v", err)
			}
			if class, _ := pipeline.Classify(err); class != pipeline.Retryable {
				t.Errorf("class %v", class)
			}
			if len(p.Settled) != 1 || p.Settled[0].Stream != b.Stream {
				t.Errorf("settled %+v", p.Settled)
			}
			if !bytes.Equal(s.objects[key].body, theirs.body) {
				t.Error("their object was overwritten")
			}
			delete(s.objects, key) // the cure
			mustFlush(t, g, m)
			if n := len(archived(t, s)); n != 18 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

// TestStoreFailsInTheMiddle: what is done stays done, and is not sent again.
func TestStoreFailsInTheMiddle(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	mustAdd(t, g, batchOf(m, g, 1, 0, 40, func(i uint32) time.Time { return nine.Add(time.Duration(i%4) * time.Hour) }))
	// in turn: hour 1 through, hour 2 without its manifest, the rest of it and hour 3, then all
	asked, failAt := 0, []int{4, 9, 0}
	s.fault = func(string) (bool, bool) {
		asked++
		return asked == failAt[0], false
	}
	for want := []int{3, 6, 8}; len(want) > 0; want, failAt = want[1:], failAt[1:] {
		p, err := g.Flush(t.Context(), true)
		if (err == nil) != (failAt[0] == 0) || (err == nil) != (len(p.Settled) == 1) {
			t.Fatalf("settled %+v, error %v", p.Settled, err)
		}
		if len(s.puts) != want[0] {
			t.Fatalf("%d objects and manifests are stored, want %d", len(s.puts), want[0])
		}
	}
	if asked != 4+5+2 {
		t.Errorf("%d puts: what was done was sent again", asked)
	}
	wantPositions(t, s, 0, 40)
}

// TestAnyCrashAnyCut plays pumps against each other over one registry and one store: every cut, flush, fault, crash and
// zombie; what the store holds in the end is each row once.
func TestAnyCrashAnyCut(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 1))
		w := &world{t: t, rnd: rnd, store: newMemStore(), members: &registry{}, total: 200 + uint32(rnd.IntN(200))}
		w.store.noHash = rnd.IntN(2) == 0
		w.store.fault = func(string) (bool, bool) { return rnd.IntN(12) == 0, rnd.IntN(2) == 0 }
		for steps := 0; w.cursor < w.total; steps++ {
			if steps > 5000 {
				t.Fatalf("seed %d: no progress at %d of %d", seed, w.cursor, w.total)
			}
			w.step()
		}
		wantPositions(t, w.store, 0, w.total)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// world is a list of one claim, its registry, a store, the pump that leases it and one that believes it does.
type world struct {
	t       *testing.T
	rnd     *rand.Rand
	store   *memStore
	members *registry
	total   uint32
	cursor  uint32

	pump   *Gatherer
	next   uint32
	zombie *Gatherer
}

func (w *world) step() {
	switch n := w.rnd.IntN(20); {
	case w.pump == nil || n == 0: // crash, and a new pump; or the old one is only frozen
		w.zombie = nil
		if w.pump != nil && w.rnd.IntN(2) == 0 {
			w.zombie = w.pump
		}
		o := small(w.t)
		o.Level, o.MaxBytes = 1+w.rnd.IntN(9), 4<<10<<w.rnd.IntN(6)
		w.pump = gathererOver(w.t, w.store, o)
		w.next = w.cursor
	case n == 1 && w.zombie != nil: // wakes up: its puts arrive, its settle is refused
		frozen := *w.members
		frozen.fail = errors.New("another owner")
		for _, r := range w.zombie.ranges {
			r.registry = &frozen
		}
		_, _ = w.zombie.Flush(w.t.Context(), true)
	case n < 6:
		w.flush(w.rnd.IntN(2) == 0)
	default:
		w.deliver()
	}
}

func (w *world) deliver() {
	if w.next == w.total {
		w.flush(true)
		return
	}
	to := min(w.next+1+uint32(w.rnd.IntN(40)), w.total)
	if m, ok := w.members.Recorded(); ok && m.To.Index > w.next {
		to = min(to, m.To.Index)
	}
	b := batchOf(w.members, w.pump, 1, w.next, to, func(i uint32) time.Time {
		return nine.Add(time.Duration(i*7919%3) * time.Hour)
	})
	switch _, err := w.pump.Add(w.t.Context(), b); {
	case errors.Is(err, pipeline.ErrFull):
		w.flush(false)
	case err != nil:
		w.t.Fatal(err)
	default:
		w.next = to
	}
}

func (w *world) flush(all bool) {
	p, _ := w.pump.Flush(w.t.Context(), all)
	if w.rnd.IntN(10) == 0 { // crash before the settle
		w.pump = nil
		return
	}
	for _, mark := range p.Settled {
		w.cursor = mark.Pos.Index
		w.members.settle(mark.Pos)
	}
}
