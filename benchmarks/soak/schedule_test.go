package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func kinds(names ...string) (out []faultKind) {
	for _, n := range names {
		out = append(out, faultKind{name: n, target: n[:1], least: time.Second, most: 3 * time.Second})
	}
	return out
}

func TestAScheduleFollowsFromItsSeed(t *testing.T) {
	all := kinds("a1", "a2", "b1", "b2", "c1")
	draw := func(seed uint64) (out []string) {
		for _, s := range plan(seed, time.Minute, time.Second, all) {
			out = append(out, s.at.String()+s.kind.name+s.lasts.String())
		}
		return out
	}
	if a, b := draw(7), draw(7); !slices.Equal(a, b) || len(a) < 20 {
		t.Errorf("two schedules of one seed:\n%v\n%v", a, b)
	}
	if slices.Equal(draw(7), draw(8)) {
		t.Error("two seeds have one schedule")
	}
}

func TestAScheduleHurtsATargetOnceAtATimeAndDealsAllKinds(t *testing.T) {
	all := kinds("a1", "a2", "b1", "b2", "c1")
	for seed := range uint64(50) {
		until, count := map[string]time.Duration{}, map[string]int{}
		for _, s := range plan(seed, 2*time.Minute, time.Second, all) {
			if s.at < until[s.kind.target] || s.at+s.lasts > 2*time.Minute {
				t.Fatalf("seed %d: %s at %s for %s, while busy until %s", seed, s.kind.name, s.at, s.lasts, until[s.kind.target])
			}
			until[s.kind.target] = s.at + s.lasts
			count[s.kind.name]++
		}
		for _, k := range all {
			if count[k.name] < 5 {
				t.Errorf("seed %d: %v", seed, count)
			}
		}
	}
}

func TestWhatBeganIsEndedThoughTheTimeIsOver(t *testing.T) {
	hurt := 0
	k := faultKind{name: "x",
		met:   func(context.Context) int64 { return int64(10 * hurt) },
		apply: func(context.Context, *rand.Rand) error { hurt++; return nil },
		heal:  func(ctx context.Context) error { hurt--; return ctx.Err() }}
	w := &world{opts: settings{duration: time.Hour, log: t.Logf}, found: newVerdict()}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.play(ctx, []step{{at: 0, lasts: time.Minute, kind: k}}); err != nil || hurt != 0 || w.found.Faults["x"] != 1 || w.found.Met["x"] != 10 {
		t.Errorf("%v, %d faults not ended, %v", err, hurt, w.found.Faults)
	}
}
