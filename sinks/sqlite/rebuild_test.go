package sqlite

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// held is an archive of one list's claims, each with all records of the test or a part of them.
type held struct {
	rows   []archive.Row
	end    pipeline.Position // behind the last row
	covers pipeline.Position
}

// add archives a part of a claim; the archive has everything below its end then.
func (h *held) add(recs []record.Record, number, from, to uint32) {
	for i := from; i < to; i++ {
		h.rows = append(h.rows, archive.Row{ID: record.MakeID(recs[i].TimeStamp, uint64(i)), Record: &recs[i], Stream: stream,
			Position: pipeline.Position{Claim: claim(number), Index: i}})
	}
	h.end = pipeline.Position{Claim: claim(number), Index: to}
	h.covers = h.end
}

// of is an hour of it.
type of struct {
	*held
	hour time.Time
}

func (h of) Rows(_ context.Context, do func(*archive.Row, archive.Copies) error) error {
	for i := range h.rows {
		if !h.rows[i].Record.TimeStamp.Truncate(time.Hour).Equal(h.hour) {
			continue
		}
		if err := do(&h.rows[i], archive.Copies{Region: 1}); err != nil {
			return err
		}
	}
	return nil
}

func (h of) End(lineage string) (pipeline.Position, bool) { return h.end, lineage == stream.Lineage }
func (h of) Covers(_ string, upTo pipeline.Position) bool { return upTo.Compare(h.covers) <= 0 }
func (h of) Counted(string) (pipeline.Position, bool)     { return pipeline.Position{}, true }

// rebuild rebuilds both hours of the test and returns why any was left.
func rebuild(t *testing.T, s *Sink, h *held, owed map[string]pipeline.Position) (left string, sum Rebuilt) {
	t.Helper()
	for _, at := range []time.Time{hour, hour.Add(time.Hour)} {
		out, err := s.RebuildHour(t.Context(), at, Rebuild{
			Look: func(context.Context) (Snapshot, error) { return of{h, at}, nil },
			Owed: func(context.Context) (map[string]pipeline.Position, error) { return owed, nil }})
		if err != nil {
			t.Fatal(err)
		}
		left += out.Left
		sum.Records += out.Records
		sum.Copies += out.Copies
	}
	return left, sum
}

func wantCounted(t *testing.T, when, path string, recs []record.Record) {
	t.Helper()
	if diff := cmp.Diff(recount(recs), counted(t, path, 3600)); diff != "" {
		t.Errorf("%s: %.1000s", when, diff)
	}
}

// TestRebuild: whatever the counters were, they are what the archive says up to what is still to come from the list, which
// counts when it comes; in a file that had nothing, too.
func TestRebuild(t *testing.T) {
	recs := makeRecords(3000)
	for _, fresh := range []bool{false, true} {
		c := testConfig(t)
		s := openSink(t, c)
		h := &held{}
		h.add(recs, 1, 0, 2000)
		if !fresh {
			mustWrite(t, s, batchOf(recs, 1, 0, 2000))
			if _, err := s.db.Exec("UPDATE counters SET hits = hits + 3, latency_max = 9999; DELETE FROM counters WHERE dimension = 3"); err != nil {
				t.Fatal(err)
			}
		}
		h.add(recs, 2, 2000, 2500) // archived, and still to come
		owed := map[string]pipeline.Position{stream.Lineage: {Claim: claim(2), Index: 2000}}
		if !fresh { // more is counted than the archive adds up to
			if left, _ := rebuild(t, s, h, owed); !strings.Contains(left, "from their beginning") {
				t.Fatalf("%q", left)
			}
			if _, err := s.db.Exec("UPDATE counters SET hits = 0"); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if left, sum := rebuild(t, s, h, owed); left != "" || sum.Records != 2000 {
				t.Fatalf("%q %+v", left, sum)
			}
			wantCounted(t, "rebuilt", c.Path, recs[:2000])
		}
		var at string
		read(t, c.Path, "SELECT position FROM positions", func(r *sql.Rows) error { return r.Scan(&at) })
		if want := (pipeline.Position{Claim: claim(2), Index: 2000}).String(); fresh && at != want {
			t.Errorf("it is counted up to %q, want %s", at, want)
		}
		b := batchOf(recs, 2, 2000, 2500)
		mustWrite(t, s, b)
		wantCounted(t, "what came then", c.Path, recs[:2500])
		if left, _ := rebuild(t, s, h, nil); left != "" {
			t.Fatal(left)
		}
		wantCounted(t, "rebuilt with it", c.Path, recs[:2500])
		mustWrite(t, s, b) // again, as after a crash
		wantCounted(t, "come again", c.Path, recs[:2500])
	}
}

// TestRebuildCountsCopiesOnce: records that were claimed again count once.
func TestRebuildCountsCopiesOnce(t *testing.T) {
	recs := makeRecords(500)
	c := testConfig(t)
	s := openSink(t, c)
	h := &held{}
	h.add(recs, 1, 0, 500)
	again := *h
	for i := range again.rows {
		row := again.rows[i]
		row.Position.Claim.Epoch.Rand++
		h.rows = append(h.rows, row)
	}
	if left, sum := rebuild(t, s, h, nil); left != "" || sum.Records != 500 || sum.Copies == 0 {
		t.Errorf("%q %+v", left, sum)
	}
	wantCounted(t, "rebuilt", c.Path, recs)
}

// TestRebuildLeavesWhatItCannotMakeExact: an archive that is behind, or that has not got all that is counted.
func TestRebuildLeavesWhatItCannotMakeExact(t *testing.T) {
	recs := makeRecords(1000)
	c := testConfig(t)
	s := openSink(t, c)
	mustWrite(t, s, batchOf(recs, 1, 0, 1000))
	h := &held{}
	h.add(recs, 1, 0, 600)
	if left, _ := rebuild(t, s, h, nil); !strings.Contains(left, "not up to") {
		t.Errorf("%q", left)
	}
	h.rows, h.covers = h.rows[100:], pipeline.Position{Claim: claim(2)}
	if left, _ := rebuild(t, s, h, nil); !strings.Contains(left, "from their beginning") {
		t.Errorf("%q", left)
	}
	wantCounted(t, "left", c.Path, recs)
}

// TestRebuildIsOneTransaction: what was not committed has no effect, and is done again.
func TestRebuildIsOneTransaction(t *testing.T) {
	recs := makeRecords(500)
	c := testConfig(t)
	s := openSink(t, c)
	mustWrite(t, s, batchOf(recs, 1, 0, 500))
	h := &held{}
	h.add(recs, 1, 0, 500)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.RebuildHour(ctx, hour, Rebuild{
		Look:  func(context.Context) (Snapshot, error) { return of{h, hour}, nil },
		Wants: func(*record.Record) bool { cancel(); return true },
		Owed:  func(context.Context) (map[string]pipeline.Position, error) { return nil, nil }})
	if err == nil {
		t.Error("it was done although it was stopped")
	}
	wantCounted(t, "stopped", c.Path, recs)
	var rows int
	read(t, c.Path, "SELECT count(*) FROM recent", func(r *sql.Rows) error { return r.Scan(&rows) })
	if left, _ := rebuild(t, s, h, nil); left != "" || rows != 500 {
		t.Errorf("%q, %d recent records", left, rows)
	}
	wantCounted(t, "done", c.Path, recs)
}
