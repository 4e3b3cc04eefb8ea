package letters

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/internal/archive/dirstore"
	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
	"sluice/internal/units"
	"sluice/retention/apply"
	"sluice/retention/plan"
)

func letter(position string) []pipeline.Letter {
	return []pipeline.Letter{{ID: "id-" + position, Sink: "*", Reason: "does not decode", Time: time.Now(), Lineage: "l", Position: position, Bytes: []byte{1}}}
}

func planned(t *testing.T, s apply.Store, now time.Time) *plan.Plan {
	t.Helper()
	inv, err := s.Inventory(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Make(plan.Input{Now: now, Rules: plan.Rules{Keep: map[plan.Kind]time.Duration{plan.DeadLetters: 90 * units.Day}},
		Inventories: []plan.Inventory{inv}})
}

func do(t *testing.T, s apply.Store, p *plan.Plan) {
	t.Helper()
	for _, a := range p.Due() {
		if err := s.Do(t.Context(), &a, func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentsGoWhenTheirLastLetterIsOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "letters")
	write := func(position string) *deadletter.Box {
		b, err := deadletter.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Store(t.Context(), letter(position)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := write("1").Close(); err != nil {
		t.Fatal(err)
	}
	running := write("2")
	s, now := NewDir(path), time.Now()
	if p := planned(t, s, now.Add(89*units.Day)); len(p.Actions) != 0 {
		t.Errorf("young letters: %+v", p.Actions)
	}
	p := planned(t, s, now.Add(91*units.Day))
	if len(p.Actions) != 2 || len(p.Due()) != 1 || p.Actions[1].HeldBy[0] != deadletter.ErrInUse.Error() {
		t.Fatalf("plan: %+v", p.Actions)
	}
	do(t, s, p)
	if err := running.Store(t.Context(), letter("3")); err != nil {
		t.Fatal(err)
	}
	if got, err := deadletter.All(t.Context(), running.Each); err != nil || len(got) != 2 {
		t.Errorf("%d letters are left, %v", len(got), err)
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	do(t, s, planned(t, s, now.Add(91*units.Day)))
	if left, err := os.ReadDir(path); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestObjectsGo(t *testing.T) {
	store, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	box := deadletter.NewBucket(store, "spool/")
	one, two := letter("1"), letter("2")
	for _, l := range [][]pipeline.Letter{one, two} {
		if err := box.Store(context.Background(), l); err != nil {
			t.Fatal(err)
		}
	}
	if err := box.MarkRetried(t.Context(), []*pipeline.Letter{&one[0]}); err != nil {
		t.Fatal(err)
	}
	s, now := NewBucket(store, "spool/"), time.Now()
	if p := planned(t, s, now.Add(89*units.Day)); len(p.Actions) != 0 {
		t.Errorf("young letters: %+v", p.Actions)
	}
	p := planned(t, s, now.Add(91*units.Day))
	if len(p.Due()) != 3 {
		t.Fatalf("plan: %+v", p.Actions)
	}
	do(t, s, p)
	if got, err := deadletter.All(t.Context(), box.Each); err != nil || len(got) != 0 {
		t.Errorf("%d letters are left, %v", len(got), err)
	}
	for _, a := range []plan.Action{{Verb: plan.DeleteSegment, Target: "../x"}, {Verb: plan.DeleteIndex, Target: "x"}} {
		if err := s.Do(t.Context(), &a, func(int64) {}); err == nil {
			t.Errorf("does %+v", a)
		}
	}
}
