package mongoagg

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/aggregate"
	"sluice/internal/record"
	"sluice/internal/units"
)

// manyPaths is what requests of so many paths, one of each, add to a document.
func manyPaths(paths int) *aggregate.Delta {
	f := aggregate.NewFold(aggregate.Shape{TrackAllPaths: true, Bucket: units.Duration(time.Hour)})
	d := f.Document("org", 1_790_000_000)
	for i := range paths {
		r := record.Record{OrgID: "org", APIID: "b8b9e3f0c1d24a5e", APIName: "orders", APIVersion: "v1", APIKey: "key00000001", ResponseCode: 200,
			Path: fmt.Sprintf("/v1/resources/%d", i), RequestTime: 12, Latency: record.Latency{Total: 12, Upstream: 9}, TimeStamp: time.Unix(1_790_000_100, 0)}
		d.Add(&r)
	}
	return d.Delta()
}

// stored is the document that an update makes of nothing.
func storedOf(tb testing.TB, delta *aggregate.Delta) bson.Raw {
	tb.Helper()
	t := newTree()
	if err := t.apply(update(newDocument(docID{}, "org", delta.Bucket), delta, nil, 0)); err != nil {
		tb.Fatal(err)
	}
	return t.encode()
}

// BenchmarkUpdate writes the update of a document with some 6,000 counters.
func BenchmarkUpdate(b *testing.B) {
	delta := manyPaths(2000)
	d := newDocument(docID{}, "org", delta.Bucket)
	b.ReportAllocs()
	var n int
	for b.Loop() {
		n = len(update(d, delta, nil, 0))
	}
	b.SetBytes(int64(n))
}

// BenchmarkDerive derives the fields of a document of 2 MB that was never derived.
func BenchmarkDerive(b *testing.B) {
	raw := storedOf(b, manyPaths(2000))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		deriveFields(raw, 0)
	}
}
