package local

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/units"
	"sluice/retention/plan"
	"sluice/sinks/sqlite"
)

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// TestCountersAndRecordsGoByAge, by organisation, beside a sink that has the file open and goes on writing.
func TestCountersAndRecordsGoByAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	c := sqlite.Defaults()
	c.Path = path
	sink, err := sqlite.New("local", c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sink.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	var next uint32
	write := func(daysAgo int, org string, n int) {
		t.Helper()
		b := &pipeline.Batch{Stream: pipeline.StreamID{Source: "main", List: "l", Lineage: strings.Repeat("ab", 16)}, ClaimTime: now,
			Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1_770_000_000_000, Rand: 5}, Number: next}, To: uint32(n)}
		next++
		for i := range n {
			r := &record.Record{TimeStamp: now.AddDate(0, 0, -daysAgo), OrgID: org, APIID: "api", APIName: "An API", APIKey: fmt.Sprintf("key-%d-%s", daysAgo, org), ResponseCode: 200}
			b.Items = append(b.Items, pipeline.Item{Index: uint32(i), ID: record.MakeID(r.TimeStamp, uint64(next)<<32+uint64(i)), Record: r})
		}
		if r, err := sink.Write(t.Context(), b); err != nil || len(r.Dead) > 0 {
			t.Fatal(r, err)
		}
	}
	for _, org := range []string{"a", "held", "short"} {
		write(400, org, 5)
		write(50, org, 7)
		write(2, org, 9)
	}
	s, err := NewStore("local", path, func() int64 { return 1 << 30 })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	rules := plan.Rules{Floor: units.Day, Keep: map[plan.Kind]time.Duration{plan.SQLite: 365 * units.Day}, Holds: []plan.Hold{{Org: "held", Reason: "court"}},
		Organisations: map[string]plan.OrgRules{"short": {Keep: map[plan.Kind]time.Duration{plan.SQLite: 30 * units.Day}}}}
	makePlan := func() *plan.Plan {
		t.Helper()
		inv, err := s.Inventory(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		hours := map[time.Time]int64{}
		for _, days := range []int{400, 50, 2} {
			hours[now.AddDate(0, 0, -days)] = map[int]int64{400: 15, 50: 21, 2: 27}[days]
		}
		return plan.Make(plan.Input{Now: now, Rules: rules, Inventories: []plan.Inventory{inv}, Archive: &plan.Covered{Store: "archive", Hours: hours}})
	}
	p := makePlan()
	if len(p.Problems) > 0 || len(p.Actions) == 0 {
		t.Fatalf("%+v", p)
	}
	for _, a := range p.Actions {
		if a.Held() != (a.Target == "totals" || len(a.Orgs) == 1 && a.Orgs[0] == "held") || !a.Verify && !a.Held() {
			t.Errorf("row %+v", a)
		}
	}
	for range 2 {
		for _, a := range p.Due() {
			if err := s.Do(t.Context(), &a, func(int64) {}); err != nil {
				t.Fatal(err)
			}
		}
		write(1, "a", 1) // the sink is not disturbed
	}
	count := func(query string) (n int64) {
		t.Helper()
		if err := s.db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for query, want := range map[string]int64{
		"SELECT coalesce(sum(hits), 0) FROM counters WHERE dimension = 1 AND width = 3600 AND org = 'a'":     7 + 9 + 2,
		"SELECT coalesce(sum(hits), 0) FROM counters WHERE dimension = 1 AND width = 3600 AND org = 'held'":  5 + 7 + 9,
		"SELECT coalesce(sum(hits), 0) FROM counters WHERE dimension = 1 AND width = 3600 AND org = 'short'": 9,
		"SELECT coalesce(sum(hits), 0) FROM counters WHERE dimension = 0 AND width = 3600":                   15 + 21 + 27 + 2,
		"SELECT count(*) FROM recent WHERE org = 'a'":                                                        7 + 9 + 2,
		"SELECT count(*) FROM recent WHERE org = 'held'":                                                     5 + 7 + 9,
		"SELECT count(*) FROM recent WHERE org = 'short'":                                                    9,
		"SELECT count(*) FROM labels WHERE name = 'key-400-a'":                                               0,
	} {
		if got := count(query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	if count("SELECT count(*) FROM labels") == 0 {
		t.Error("labels that are still needed are gone")
	}
	if again := makePlan(); len(again.Due()) != 0 {
		t.Errorf("again: %+v", again.Due())
	}
	f := p.Forecasts[0]
	if f.Bytes <= 0 || f.Items == 0 || f.Free != 1<<30 {
		t.Errorf("forecast %+v", f)
	}
	none, err := NewStore("local", filepath.Join(t.TempDir(), "none.db"), func() int64 { return -1 })
	if err != nil {
		t.Fatal(err)
	}
	if inv, err := none.Inventory(t.Context(), now); err != nil || len(inv.Items) != 0 {
		t.Errorf("a file that is not there: %+v, %v", inv, err)
	}
}
