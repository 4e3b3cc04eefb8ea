package deepaudit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

const lineage = "000102030405060708090a0b0c0d0e0f"

func pos(epoch uint64, claim, index uint32) pipeline.Position {
	return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: epoch}, Number: claim}, Index: index}
}

// object is rows with their manifest.
type object struct {
	m    *archive.Manifest
	rows []archive.Row
	err  error
}

// objectOf has n records of a claim from index on, one each second.
func objectOf(epoch uint64, claim, index uint32, n int) object {
	o := object{m: &archive.Manifest{First: at, Last: at.Add(time.Hour - 1), Records: int64(n), List: "list",
		Positions: []archive.Range{{Lineage: lineage, From: pos(epoch, claim, index).String(), To: pos(epoch, claim, index+uint32(n)).String()}}}}
	o.m.Key = fmt.Sprintf("object-%d-%d-%d", epoch, claim, index)
	for i := range n {
		rec := &record.Record{OrgID: "org", ResponseCode: 200, TimeStamp: at.Add(time.Duration(int(index)+i) * time.Second)}
		o.rows = append(o.rows, archive.Row{ID: record.MakeID(rec.TimeStamp, uint64(claim)), Record: rec,
			Stream: pipeline.StreamID{Source: "main", List: "list", Lineage: lineage}, Position: pos(epoch, claim, index+uint32(i))})
	}
	return o
}

// shelf is an archive of one hour. late objects are there from the second listing on.
type shelf struct {
	objects []object
	late    []object
	listed  int
}

func (s *shelf) Hours(_ context.Context, from, to time.Time) iter.Seq2[archive.Hour, error] {
	return func(yield func(archive.Hour, error) bool) {
		h := archive.Hour{Time: at, Region: "r"}
		for _, o := range s.objects {
			h.Manifests = append(h.Manifests, o.m)
		}
		if s.listed++; s.listed > 1 {
			for _, o := range s.late {
				h.Manifests = append(h.Manifests, o.m)
			}
		}
		if (from.IsZero() || at.Add(time.Hour).After(from)) && (to.IsZero() || at.Before(to)) && len(h.Manifests) > 0 {
			yield(h, nil)
		}
	}
}

func (s *shelf) Rows(_ context.Context, m *archive.Manifest, do func(*archive.Row) error) error {
	for _, o := range append(append([]object{}, s.objects...), s.late...) {
		if o.m != m {
			continue
		}
		for i := range o.rows {
			if err := do(&o.rows[i]); err != nil {
				return err
			}
		}
		return o.err
	}
	return errors.New("no such object")
}

// table is a store in memory.
type table struct {
	held  []Held
	most  int // records of one answer
	floor time.Time
}

func tableOf(objects ...object) *table {
	t := &table{}
	for _, o := range objects {
		for _, r := range o.rows {
			t.held = append(t.held, Held{ID: r.ID, Where: "table"})
		}
	}
	return t
}

func (t *table) Hours(context.Context, time.Time, time.Time) ([]time.Time, error) {
	return []time.Time{at}, nil
}

func (t *table) Held(_ context.Context, from, to time.Time, _ bool, do func(Held) error) error {
	n := 0
	for _, h := range t.held {
		if s := time.Unix(seconds(h.ID), 0); h.Key != "" || s.Before(from) || !s.Before(to) {
			continue
		}
		n++
		if err := do(h); err != nil {
			return err
		}
	}
	t.most = max(t.most, n)
	return nil
}

func (t *table) Has(_ context.Context, sought []Sought) (map[record.ID]bool, error) {
	out := map[record.ID]bool{}
	for _, s := range sought {
		for _, h := range t.held {
			out[s.ID] = out[s.ID] || h.ID == s.ID
		}
		if !out[s.ID] {
			delete(out, s.ID)
		}
	}
	return out, nil
}

func (t *table) Odd(_ context.Context, do func(where, key string)) error {
	for _, h := range t.held {
		if h.Key != "" {
			do(h.Where, h.Key)
		}
	}
	return nil
}

func (t *table) Floor(context.Context) (time.Time, error) { return t.floor, nil }

// books is a ledger of one list; next is read from the second time on.
type books struct {
	now, next *List
	reads     int
}

func (b *books) Read(context.Context) (State, error) {
	if b.now == nil {
		return State{}, nil
	}
	if b.reads++; b.reads > 1 && b.next != nil {
		return State{lineage: b.next}, nil
	}
	return State{lineage: b.now}, nil
}

// settledList is a list that all is settled of.
func settledList(archived uint64, edit ...func(*List)) *List {
	l := &List{Name: "list", Taken: archived, Settled: map[string]pipeline.Position{"a": pos(9, 99, 0), "s": pos(9, 99, 0)},
		Sinks: map[string]Booked{"a": {Owed: archived, Effective: archived}, "s": {Owed: archived, Effective: archived}}}
	for _, e := range edit {
		e(l)
	}
	return l
}

func keyedOf(t *table) *Keyed {
	return &Keyed{Name: "s", Type: "table", Store: t, Takes: func(*record.Record) bool { return true }, Gone: func(*record.Record) bool { return false }}
}

func options(s *shelf, t *table, l *List) Options {
	return Options{Archive: s, ArchiveName: "a", Keyed: []*Keyed{keyedOf(t)}, Ledger: &books{now: l}, Patience: time.Minute,
		Passes: func(f *pipeline.Filters, h *Held) bool { return h.Org != f.SkipOrgIDs[0] }}
}

// counts are the findings of a store by kind, as text.
func counts(t *testing.T, o Options, limit int, store string) (string, *Report) {
	t.Helper()
	rep, err := run(t.Context(), o, limit)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, k := range sortedKeys(rep.Stores[store].Counts) {
		parts = append(parts, fmt.Sprint(k, " ", rep.Stores[store].Counts[k]))
	}
	return strings.Join(parts, ", "), rep
}

func TestAuditHoldsFewRecordsAtATime(t *testing.T) {
	o := objectOf(1, 1, 0, 3000)
	store := tableOf(o)
	lost := store.held[1234].ID
	store.held = append(store.held[:1234], store.held[1235:]...)
	store.held = append(store.held, Held{ID: record.MakeID(at.Add(77*time.Second), 5), Where: "table"}, store.held[5])
	got, rep := counts(t, options(&shelf{objects: []object{o}}, store, settledList(3000)), 200, "s")
	if got != "double 1, missing 1, strange 1" || rep.Records != 3000 || rep.InOrder || store.most > 203 {
		t.Errorf("%s, %d records, %d at a time", got, rep.Records, store.most)
	}
	for _, f := range rep.Stores["s"].Findings {
		if f.Kind == Missing && (f.Record != lost.String() || f.Position != pos(1, 1, 1234).String()) {
			t.Errorf("missing is %+v", f)
		}
	}
}

func TestAuditKnowsWhatIsNotSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := objectOf(1, 1, 0, 100)
		store := tableOf(o)
		store.held = store.held[:40]
		pending := settledList(100, func(l *List) { l.Settled["s"] = pos(1, 1, 40) })
		if got, rep := counts(t, options(&shelf{objects: []object{o}}, store, pending), 1000, "s"); got != "" || !rep.InOrder {
			t.Errorf("what is pending: %s", got)
		}
		part := objectOf(1, 1, 0, 60)
		late := objectOf(1, 1, 60, 40)
		all := tableOf(o)
		behind := settledList(60, func(l *List) { l.Settled["a"], l.End = pos(1, 1, 60), pos(1, 1, 100) })
		if got, rep := counts(t, options(&shelf{objects: []object{part}}, all, behind), 1000, "s"); got != "in_flight 40" || !rep.InOrder {
			t.Errorf("an archive that stays behind: %s", got)
		}
		opt := options(&shelf{objects: []object{part}, late: []object{late}}, all, behind)
		opt.Ledger = &books{now: behind, next: settledList(100, func(l *List) { l.End = pos(1, 1, 100) })}
		if got, _ := counts(t, opt, 1000, "s"); got != "" {
			t.Errorf("an archive that comes later: %s", got)
		}
	})
}

func TestAuditKnowsWhatIsExpectedToBeAbsent(t *testing.T) {
	o := objectOf(1, 1, 0, 100)
	half := func() *table { s := tableOf(o); s.held = s.held[30:]; return s }
	for name, c := range map[string]struct {
		edit func(*Options)
		want string
	}{
		"nothing": {func(*Options) {}, "missing 30"},
		"filters": {func(o *Options) {
			o.Keyed[0].Takes = func(r *record.Record) bool { return !r.TimeStamp.Before(at.Add(30 * time.Second)) }
		}, ""},
		"rules": {func(o *Options) {
			o.Keyed[0].Gone = func(r *record.Record) bool { return r.TimeStamp.Before(at.Add(20 * time.Second)) }
		}, "missing 10"},
		"turned over": {func(o *Options) { o.Keyed[0].Store.(*table).floor = at.Add(3 * time.Second) }, ""},
		"never owed": {func(o *Options) {
			o.Ledger = &books{now: settledList(100, func(l *List) { l.Sinks["s"] = Booked{NotOwed: 25} })}
		}, "missing 5"},
		"dead letters": {func(o *Options) {
			o.Letters = []pipeline.Letter{{Lineage: lineage, Position: pos(1, 1, 3).String(), Sink: "s"}, {Lineage: lineage, Position: pos(1, 1, 4).String(), Sink: "other"}}
		}, "missing 29"},
	} {
		opt := options(&shelf{objects: []object{o}}, half(), settledList(100))
		c.edit(&opt)
		if got, _ := counts(t, opt, 1000, "s"); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	opt := options(&shelf{objects: []object{o}}, tableOf(o), settledList(100))
	opt.Keyed[0].Store.(*table).held = append(opt.Keyed[0].Store.(*table).held, Held{ID: record.MakeID(at, 77), Org: "out"}, Held{Key: "odd"})
	opt.Filters = &pipeline.Filters{SkipOrgIDs: []string{"out"}}
	if got, _ := counts(t, opt, 1000, "s"); got != "strange 1" {
		t.Errorf("what the archive's filters left out: %s", got)
	}
}

func TestAuditOfTheArchiveItself(t *testing.T) {
	copied := objectOf(1, 1, 0, 10)
	copied.m.Key = "copy"
	copied.m.Positions[0].To = pos(1, 1, 9).String()
	damaged := objectOf(1, 1, 0, 10)
	damaged.err = errors.New("damaged")
	again := objectOf(2, 1, 0, 10)
	for name, c := range map[string]struct {
		objects []object
		ledger  uint64
		letters []pipeline.Letter
		want    string
	}{
		"sound":                    {[]object{objectOf(1, 1, 0, 10), objectOf(1, 1, 10, 10), objectOf(1, 2, 0, 5)}, 25, nil, ""},
		"a hole":                   {[]object{objectOf(1, 1, 0, 10), objectOf(1, 1, 13, 10)}, 23, nil, "gap 3"},
		"a hole of dead letters":   {[]object{objectOf(1, 1, 0, 10), objectOf(1, 1, 11, 10)}, 20, []pipeline.Letter{{Lineage: lineage, Position: pos(1, 1, 10).String(), Sink: "*"}}, ""},
		"claims that are missing":  {[]object{objectOf(1, 1, 0, 10), objectOf(1, 4, 0, 10)}, 35, nil, "gap 15"},
		"a claim without its head": {[]object{objectOf(1, 1, 0, 10), objectOf(1, 2, 4, 10)}, 24, nil, "gap 4"},
		"its end is missing":       {[]object{objectOf(1, 1, 0, 10)}, 20, nil, "gap 10"},
		"all is missing":           {nil, 20, nil, "gap 20"},
		"an overlap":               {[]object{objectOf(1, 1, 0, 10), copied}, 10, nil, "double 21"},
		"damage":                   {[]object{damaged}, 10, nil, "damaged 1"},
		"history went back":        {[]object{objectOf(1, 1, 0, 10), again}, 10, nil, ""},
	} {
		opt := options(&shelf{objects: c.objects}, &table{}, settledList(c.ledger))
		opt.Keyed, opt.Letters = nil, c.letters
		got, rep := counts(t, opt, 1000, "a")
		if got != c.want {
			t.Errorf("%s: %s, want %s: %v", name, got, c.want, rep.Stores["a"].Findings)
		}
		if name == "history went back" && !strings.Contains(strings.Join(rep.Stores["a"].Notes, " "), "10 records were archived again") {
			t.Errorf("%v", rep.Stores["a"].Notes)
		}
	}
}
