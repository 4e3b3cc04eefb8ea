package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a sink in memory. fail may refuse a call.
type fake struct {
	fail    func(call int, b *pipeline.Batch) (pipeline.Result, error)
	calls   int
	has     map[record.ID]int
	batches []pipeline.Batch
	opens   int
	openErr error
}

func (f *fake) Open(context.Context) error {
	if f.opens++; f.opens < 3 {
		return f.openErr
	}
	return nil
}
func (*fake) Shape() json.RawMessage      { return nil }
func (*fake) Takes(pipeline.Kind) bool    { return true }
func (*fake) Close(context.Context) error { return nil }
func (f *fake) Write(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	f.calls++
	var res pipeline.Result
	var err error
	if f.fail != nil {
		res, err = f.fail(f.calls, b)
	}
	var partial *pipeline.PartialError
	if err != nil && !errors.As(err, &partial) {
		return res, err
	}
	if f.has == nil {
		f.has = map[record.ID]int{}
	}
	f.batches = append(f.batches, *b)
	for i := range b.Items {
		if partial == nil || !slices.Contains(partial.Retry, i) {
			f.has[b.Items[i].ID]++
		}
	}
	return res, err
}

func targetOf(f *fake) *Target {
	return &Target{Name: "fake", Sink: f, Timeout: time.Second, Patience: time.Minute, ByID: true,
		Retry: pipeline.Backoff{Min: 10 * time.Millisecond, Max: time.Second}, Log: slog.New(slog.DiscardHandler)}
}

var at = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func streamOf(n int) pipeline.StreamID {
	return pipeline.StreamID{Source: "main", List: "list", Lineage: fmt.Sprintf("%032x", n)}
}

// rowsOf are n rows, per rows to a claim.
func rowsOf(n, per int) []format.Row {
	rows := make([]format.Row, n)
	for i := range rows {
		rec := &record.Record{OrgID: fmt.Sprintf("org%d", i%3), APIID: "api", ResponseCode: int32(200 + i%2*304), TimeStamp: at.Add(time.Duration(i) * time.Second)}
		rows[i] = format.Row{ID: record.MakeID(rec.TimeStamp, uint64(i)), Record: rec, Stream: streamOf(1), Position: pipeline.Position{
			Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1, Rand: 1}, Number: uint32(1 + i/per)}, Index: uint32(i % per)}}
	}
	return rows
}

func deliverTo(t *testing.T, target *Target, rows []format.Row) error {
	t.Helper()
	b := batches{now: at}
	return b.deliver(t.Context(), []*Target{target}, rows)
}

func TestTargetRepeatsWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.fail = func(call int, b *pipeline.Batch) (pipeline.Result, error) {
			switch call {
			case 1:
				return pipeline.Result{}, errors.New("the store is down")
			case 2:
				return pipeline.Result{Dead: []pipeline.Dead{{Item: 0, Reason: "hopeless"}}}, &pipeline.PartialError{Retry: []int{1, 4}, Err: errors.New("busy")}
			case 3:
				return pipeline.Result{Filtered: 1}, nil
			}
			return pipeline.Result{}, nil
		}
		target := targetOf(f)
		if err := deliverTo(t, target, rowsOf(6, 10)); err != nil {
			t.Fatal(err)
		}
		if want := (Counts{Written: 4, Filtered: 1, Refused: 1}); target.Counts != want || len(f.has) != 6 {
			t.Errorf("%+v, want %+v; %d records", target.Counts, want, len(f.has))
		}
		for id, n := range f.has {
			if n != 1 {
				t.Errorf("record %s was settled %d times", id, n)
			}
		}
	})
}

func TestTargetFindsTheCulprit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := rowsOf(37, 100)
		f := &fake{fail: func(_ int, b *pipeline.Batch) (pipeline.Result, error) {
			for i := range b.Items {
				if b.Items[i].ID == rows[20].ID {
					return pipeline.Result{}, pipeline.Permanent(errors.New("too large"))
				}
			}
			return pipeline.Result{}, nil
		}}
		target := targetOf(f)
		target.ByID = false
		if err := deliverTo(t, target, rows); err != nil {
			t.Fatal(err)
		}
		if want := (Counts{Written: 36, Refused: 1}); target.Counts != want || len(f.has) != 36 {
			t.Errorf("%+v, %d records", target.Counts, len(f.has))
		}
		end := uint32(0)
		for _, b := range f.batches {
			if b.From < end || b.To <= b.From || b.Items[0].Index < b.From || b.Items[len(b.Items)-1].Index >= b.To {
				t.Errorf("batch [%d, %d) behind %d", b.From, b.To, end)
			}
			end = b.To
		}
	})
}

func TestTargetIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("the store is down")
		target := targetOf(&fake{fail: func(int, *pipeline.Batch) (pipeline.Result, error) { return pipeline.Result{}, down }})
		began := time.Now()
		if err := deliverTo(t, target, rowsOf(3, 3)); !errors.Is(err, down) || target.Counts != (Counts{}) {
			t.Errorf("%v, %+v", err, target.Counts)
		}
		if took := time.Since(began); took < target.Patience || took > target.Patience+2*target.Retry.Max {
			t.Errorf("it was given up after %s", took)
		}
	})
}

// TestSlowTargetIsNotGivenUp: patience is for a sink that takes nothing.
func TestSlowTargetIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.fail = func(_ int, b *pipeline.Batch) (pipeline.Result, error) {
			if len(b.Items) == 1 {
				return pipeline.Result{}, nil
			}
			retry := make([]int, len(b.Items)-1)
			for i := range retry {
				retry[i] = i + 1
			}
			return pipeline.Result{}, &pipeline.PartialError{Retry: retry, Err: pipeline.RetryAfter(errors.New("throttled"), 20*time.Second)}
		}
		target := targetOf(f)
		if err := deliverTo(t, target, rowsOf(12, 20)); err != nil || target.Counts.Written != 12 {
			t.Errorf("%+v, %v", target.Counts, err)
		}
	})
}

func TestOpenIsRepeatedUnlessFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{openErr: errors.New("not yet")}
		if err := targetOf(f).Open(t.Context()); err != nil || f.opens != 3 {
			t.Errorf("%d opens, %v", f.opens, err)
		}
		f = &fake{openErr: pipeline.Fatal(errors.New("wrong password"))}
		if err := targetOf(f).Open(t.Context()); err == nil || f.opens != 1 {
			t.Errorf("%d opens, %v", f.opens, err)
		}
	})
}

// TestBatchesKeepPositions: a sink that looks at positions gets runs of one claim, ascending; others get claims together.
func TestBatchesKeepPositions(t *testing.T) {
	rows := rowsOf(25, 10)
	f := &fake{}
	target := targetOf(f)
	target.ByID = false
	target.Filter = NewFilter(&pipeline.Filters{SkipOrgIDs: []string{"org1"}})
	if err := deliverTo(t, target, rows); err != nil {
		t.Fatal(err)
	}
	want := []struct{ number, from, to uint32 }{{1, 0, 10}, {2, 0, 10}, {3, 0, 5}}
	if len(f.batches) != 3 || target.Counts != (Counts{Written: 17, Filtered: 8}) {
		t.Fatalf("%d batches, %+v", len(f.batches), target.Counts)
	}
	for i, b := range f.batches {
		if w := want[i]; b.Claim.Number != w.number || b.From != w.from || b.To != w.to || b.Stream != streamOf(1) {
			t.Errorf("batch %d of claim %d is [%d, %d)", i, b.Claim.Number, b.From, b.To)
		}
		for _, it := range b.Items {
			if row := rows[int(b.Claim.Number-1)*10+int(it.Index)]; row.ID != it.ID {
				t.Errorf("index %d of claim %d is another record", it.Index, b.Claim.Number)
			}
		}
	}
	f = &fake{}
	if err := deliverTo(t, targetOf(f), rows); err != nil || len(f.batches) != 1 || f.batches[0].To != 25 {
		t.Errorf("%d batches, %v", len(f.batches), err)
	}
}

func TestSelection(t *testing.T) {
	for text, want := range map[string]Codes{"404": {404, 404}, "-1": {-1, -1}, "5xx": {500, 599}} {
		if got, err := ParseCodes(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "xx", "0xx", "50x", "55xx", "ok"} {
		if _, err := ParseCodes(text); err == nil {
			t.Errorf("%q is taken for a code", text)
		}
	}
	rec := record.Record{OrgID: "o", APIID: "a", ResponseCode: 404, TimeStamp: at}
	for _, c := range []struct {
		s    Selection
		want bool
	}{
		{Selection{}, true}, {Selection{From: at}, true}, {Selection{To: at}, false}, {Selection{From: at.Add(1)}, false},
		{Selection{To: at.Add(1), Orgs: []string{"x", "o"}, APIs: []string{"a"}, Codes: []Codes{{1, 1}, {400, 499}}}, true},
		{Selection{Orgs: []string{"x"}}, false}, {Selection{APIs: []string{"x"}}, false}, {Selection{Codes: []Codes{{500, 599}}}, false},
	} {
		if c.s.Takes(&rec) != c.want {
			t.Errorf("%+v: %v", c.s, !c.want)
		}
	}
}
