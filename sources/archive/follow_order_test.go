package archive

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// TestOverlappingRangesAreDeliveredOnce: a Redis that went back in time lets a claim be archived again, cut elsewhere: the same rows
// lie in two objects.
func TestOverlappingRangesAreDeliveredOnce(t *testing.T) {
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := pipeline.StreamID{Source: "main", List: "l", Lineage: fmt.Sprintf("%032x", 1)}
	var rows []format.Row
	for i := range 130 {
		rec := &record.Record{OrgID: "org", ResponseCode: 200, TimeStamp: at.Add(time.Duration(i) * time.Second)}
		rows = append(rows, format.Row{ID: record.MakeID(rec.TimeStamp, uint64(i)), Record: rec})
	}
	for _, span := range [][2]int{{0, 100}, {50, 130}, {0, 130}} {
		g := format.NewGatherer(format.Options{Sink: "a", Dir: t.TempDir(), MaxBytes: 1 << 20, MaxAge: time.Hour,
			Layout: format.Layout{Compression: format.Zstd}, Log: slog.New(slog.DiscardHandler)})
		if err := g.OpenStore(store); err != nil {
			t.Fatal(err)
		}
		b := pipeline.Batch{Stream: id, Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1, Rand: 1}, Number: 1}, From: uint32(span[0]), To: uint32(span[1]),
			Members: &members{}, Shape: pipeline.Shape{Key: "k", Record: pipeline.RecordShape{Region: "eu"}}}
		for i := span[0]; i < span[1]; i++ {
			b.Items = append(b.Items, pipeline.Item{Index: uint32(i), ID: rows[i].ID, Record: rows[i].Record})
		}
		if _, err := g.Add(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Flush(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	sink := newCentral()
	c := follows(t, followConfig(dir), "one", sink)
	c.untilIdle(t)
	sink.want(t, rows)
	c.wantBooks(t, "central", map[string]uint64{"eu": uint64(len(rows))})
}

// imports writes rows, of which each number is a second of an _id and the hour its record is of, as an import does with what it
// gathered.
func imports(t *testing.T, store format.Store, hours map[uint32]time.Time, numbers ...uint32) (rows []format.Row) {
	t.Helper()
	lineage := format.ImportLineage("db.tyk_analytics")
	im := format.NewImporter(format.ImportOptions{Store: store, Layout: format.Layout{Compression: format.Zstd}, From: "mongo", Dir: t.TempDir(),
		Shape: pipeline.RecordShape{Region: "eu"}, Stream: pipeline.StreamID{Source: "mongo", List: "db.tyk_analytics", Lineage: lineage}})
	defer im.Close()
	for _, n := range numbers {
		id := record.MakeID(time.Unix(int64(n), 0), uint64(n))
		row := format.Row{ID: id, Record: &record.Record{OrgID: "org", ResponseCode: 200, TimeStamp: hours[n]},
			Stream: pipeline.StreamID{Source: "mongo", List: "db.tyk_analytics", Lineage: lineage}, Position: format.ImportPosition(id)}
		if err := im.Add(&row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if _, err := im.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestImportIsFollowedInAnyOrderOfHours: an import writes hour after hour, and its ranges of hours lie between each other's. One that
// is killed leaves the earlier ones for later.
func TestImportIsFollowedInAnyOrderOfHours(t *testing.T) {
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	late, next := at.Add(-time.Hour), at
	hours := map[uint32]time.Time{1: next, 2: next, 3: late, 4: late, 5: next}
	sink := newCentral()
	c := follows(t, followConfig(dir), "one", sink)
	rows := imports(t, store, hours, 3, 4) // of a flush of all five, the first hour alone
	c.untilIdle(t)
	time.Sleep(5 * c.src.cfg.Poll.D()) // a look at all days, or more
	c.untilIdle(t)
	rows = append(rows, imports(t, store, hours, 1, 2, 5)...)
	waitFor(t, "the other hour", func() bool { return sink.count() == len(rows) })
	c.untilIdle(t)
	sink.want(t, rows)
}

// TestImportIsNotCountedAgain: what was imported goes where records are kept by their IDs, and into no sums.
func TestImportIsNotCountedAgain(t *testing.T) {
	dir := t.TempDir()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, sink := newRegion(t, store, "eu", 1, 3), newCentral()
	imports(t, store, map[uint32]time.Time{1: at, 2: at.Add(time.Hour)}, 1, 2)
	r.archive(100)
	c := follows(t, followConfig(dir), "one", sink, "central")
	c.untilIdle(t)
	sink.want(t, r.all)
	c.wantBooks(t, "central", map[string]uint64{"eu": uint64(len(r.all))})
}
