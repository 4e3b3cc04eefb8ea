package archive

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

var importStream = pipeline.StreamID{Source: "mongo", List: "db.c", Lineage: ImportLineage("db.c")}

// imports writes rows with these numbers, two hours of them.
func imports(t *testing.T, s Store, alias string, numbers ...uint64) error {
	t.Helper()
	im := NewImporter(ImportOptions{Store: s, Layout: Layout{Prefix: "p/", Compression: Zstd}, Dir: t.TempDir(), From: "mongo", Stream: importStream,
		Shape: pipeline.RecordShape{Region: "eu-west-1"}})
	defer im.Close()
	for _, n := range numbers {
		id := record.MakeID(nine, n)
		r := &record.Record{TimeStamp: nine.Add(time.Duration(n%2) * time.Hour), Alias: alias, Path: "/a\nb\x00\xff"}
		if err := im.Add(&Row{ID: id, Record: r, Stream: importStream, Position: ImportPosition(id)}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := im.Flush(t.Context())
	return err
}

func imported(numbers ...uint64) map[string]int {
	out := map[string]int{}
	for _, n := range numbers {
		out[importStream.Lineage+ImportPosition(record.MakeID(nine, n)).String()] = 1
	}
	return out
}

// TestImporter: stopped at each put and run again with the same rows, or with rows that were changed meanwhile, each row counts
// once, and a frozen one's manifest changes nothing when it comes late.
func TestImporter(t *testing.T) {
	numbers := []uint64{2, 3, 4, 7, 9}
	for _, alias := range []string{"a", "b"} {
		for stop := 1; ; stop++ {
			s := newMemStore()
			frozen := &stopAfter{memStore: s, left: stop}
			err := imports(t, frozen, "a", numbers...)
			if err != nil && !errors.Is(err, errFrozen) {
				t.Fatal(err)
			}
			before := rowsOf(t, s)
			var missing []uint64
			for _, n := range numbers { // as its user leaves out what is there
				if len(imported(n)) == 1 && before[importStream.Lineage+ImportPosition(record.MakeID(nine, n)).String()] == 0 {
					missing = append(missing, n)
				}
			}
			if err := imports(t, s, alias, missing...); err != nil {
				t.Fatalf("stopped at %d, %s: %v", stop, alias, err)
			}
			if got := rowsOf(t, s); fmt.Sprint(got) != fmt.Sprint(imported(numbers...)) {
				t.Errorf("stopped at %d, %s: %v", stop, alias, got)
			}
			frozen.late(t)
			if got := rowsOf(t, s); fmt.Sprint(got) != fmt.Sprint(imported(numbers...)) {
				t.Errorf("stopped at %d, %s, a manifest came late: %v", stop, alias, got)
			}
			if err == nil {
				break
			}
		}
	}
}

func TestImportPositions(t *testing.T) {
	a, b := record.MakeID(nine, 1<<40), record.MakeID(nine, 1<<40+1)
	if p, q := ImportPosition(a), ImportPosition(b); p.Compare(q) >= 0 || behind(p).Compare(q) >= 0 || p.String() >= q.String() {
		t.Errorf("%s, %s", p, q)
	}
	if !IsImport(importStream.Lineage) || IsImport(lineages[0]) || importStream.Lineage >= mergedName {
		t.Error(importStream.Lineage)
	}
	row := func(n uint64) *Row {
		return &Row{Stream: importStream, Position: ImportPosition(record.MakeID(nine.Add(time.Duration(n)*time.Second), n))}
	}
	if row(1).History() != row(2).History() {
		t.Error("an import is several histories")
	}
}

// TestImportedObjectsStayApart: what was imported is joined with its own alone, since a rebuild refuses it.
func TestImportedObjectsStayApart(t *testing.T) {
	h := newHoard(t)
	h.add(lineages[0], 3)
	h.add(lineages[0], 3)
	for _, numbers := range [][]uint64{{2, 4}, {6, 8}} {
		im := NewImporter(ImportOptions{Store: h.s, Layout: Layout{Prefix: "p/", Compression: None}, Dir: t.TempDir(), From: "mongo", Stream: importStream,
			Shape: pipeline.RecordShape{Region: "eu-west-1"}})
		for _, n := range numbers {
			id := record.MakeID(nine, n)
			if err := im.Add(&Row{ID: id, Record: &record.Record{TimeStamp: nine}, Stream: importStream, Position: ImportPosition(id)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := im.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for k := range imported(numbers...) {
			h.want[k] = true
		}
	}
	if err := h.compact(h.s); err != nil {
		t.Fatal(err)
	}
	h.check("joined")
	there := h.hour()
	if len(there.Manifests) != 2 || there.Manifests[0].Imported == there.Manifests[1].Imported {
		t.Errorf("%d objects", len(there.Manifests))
	}
}

// TestImportOfMoreThanMemoryHolds: rows go to files on the way; their order is that of their positions.
func TestImportOfMoreThanMemoryHolds(t *testing.T) {
	s := newMemStore()
	im := NewImporter(ImportOptions{Store: s, Layout: Layout{Prefix: "p/", Compression: Zstd}, Dir: t.TempDir(), From: "mongo", Stream: importStream,
		Shape: pipeline.RecordShape{Region: "eu-west-1"}})
	body := strings.Repeat("x", 4000)
	var numbers []uint64
	for n := range uint64(4000) {
		id := record.MakeID(nine, n)
		r := &record.Record{TimeStamp: nine.Add(time.Duration(n%2) * time.Hour), RawRequest: body}
		if err := im.Add(&Row{ID: id, Record: r, Stream: importStream, Position: ImportPosition(id)}); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if filesIn(t, im.o.Dir) == 0 || im.Bytes() < 16<<20 {
		t.Errorf("%d bytes in %d files", im.Bytes(), filesIn(t, im.o.Dir))
	}
	if made, err := im.Flush(t.Context()); err != nil || len(made) != 2 || made[0].Records != 2000 {
		t.Fatal(made, err)
	}
	if got := rowsOf(t, s); !maps.Equal(got, imported(numbers...)) {
		t.Errorf("%d rows", len(got))
	}
	if n := filesIn(t, im.o.Dir); n != 0 {
		t.Errorf("%d files are left", n)
	}
}
