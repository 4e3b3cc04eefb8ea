package archive

import (
	"runtime"
	"strings"
	"testing"
)

// TestDistinctKeepsNoRows: what is remembered of a row does not keep its bodies.
func TestDistinctKeepsNoRows(t *testing.T) {
	const rows, size = 400, 100 << 10
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	d := &Distinct{}
	for i := range rows {
		line := strings.Clone("redis" + "list" + lineages[0] + strings.Repeat("b", size))
		r := Row{}
		r.Stream.Source, r.Stream.List, r.Stream.Lineage = line[:5], line[5:9], line[9:41]
		r.ID[0], r.ID[1] = byte(i), byte(i>>8)
		if !d.First(&r, Copies{Region: 1}) {
			t.Fatal("a record is taken for a copy")
		}
	}
	if grown := int64(heap()) - int64(before); grown > rows*size/8 {
		t.Errorf("%d bytes are held for %d rows", grown, rows)
	}
	if r := (Row{}); !d.First(&r, Copies{Region: 2}) {
		t.Error("another region's record is taken for a copy")
	}
	runtime.KeepAlive(d)
}
