package aggregate_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/aggregate"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

func flood(n int) []*record.Record {
	at := time.Date(2026, 11, 23, 9, 43, 0, 0, time.UTC)
	rnd := rand.New(rand.NewPCG(5, 6))
	rs := make([]*record.Record, n)
	for i := range rs {
		key, path := rnd.IntN(2000), rnd.IntN(500)
		rs[i] = &record.Record{OrgID: "o", APIID: fmt.Sprint("api", i%50), APIKey: fmt.Sprint("key", key),
			Path: fmt.Sprint("/path/", path), APIVersion: "v", TimeStamp: at, ResponseCode: 200 + int32(i%7)*50,
			RequestTime: 3, Latency: record.Latency{Total: 2, Upstream: 1}}
	}
	return rs
}

func hits(m map[aggregate.Key]*aggregate.Entry) (n, errors int64) {
	for _, e := range m {
		n += e.Hits
		errors += e.Errors
	}
	return
}

func TestNewcomersCountUnderOtherWhenADocumentIsFull(t *testing.T) {
	o := options(true)
	d := fold(shapeOf(o), flood(40_000))[place{"o", 1795424400}]
	before := d.StoredBytes()
	if before.Total() < aggregate.MapBudget {
		t.Fatalf("only %d bytes: the flood does not fill a document", before.Total())
	}
	var sizes aggregate.Sizes
	let, folded := d.Fit(&sizes, func(aggregate.Dim, aggregate.Key) bool { return false })
	if folded == 0 || len(let) == 0 {
		t.Fatalf("%d let in, %d folded", len(let), folded)
	}
	if n := d.StoredBytes().Total(); n > aggregate.MapBudget {
		t.Errorf("still %d bytes", n)
	}
	for _, dim := range []aggregate.Dim{aggregate.APIKeys, aggregate.APIID, aggregate.KeyEndpoints, aggregate.APIEndpoints, aggregate.Versions} {
		if n, e := hits(d.Dims[dim]); n != d.Total.Hits || e != d.Total.Errors {
			t.Errorf("%s: %d hits and %d errors, want %d and %d", dim, n, e, d.Total.Hits, d.Total.Errors)
		}
	}
	if len(d.Dims[aggregate.APIID]) != 50 || len(d.Dims[aggregate.APIEndpoints]) < 300 {
		t.Errorf("the flood of one dimension pushed others out: %d APIs, %d endpoints of APIs", len(d.Dims[aggregate.APIID]), len(d.Dims[aggregate.APIEndpoints]))
	}
	other := d.Dims[aggregate.KeyEndpoints][aggregate.Key{Outer: "other", Name: "other"}]
	if other == nil || other.Identifier != "other" {
		t.Errorf("no counter for the others: %+v", other)
	}
	again := fold(shapeOf(o), flood(40_000))[place{"o", 1795424400}]
	sizes = aggregate.Sizes{}
	if let2, folded2 := again.Fit(&sizes, func(aggregate.Dim, aggregate.Key) bool { return false }); folded2 != folded || len(let2) != len(let) {
		t.Errorf("the same delta fits differently: %d and %d folded", folded, folded2)
	}
}

func TestKnownCountersStayWhenADocumentIsFull(t *testing.T) {
	d := fold(shapeOf(options(true)), flood(2000))[place{"o", 1795424400}]
	sizes := aggregate.Sizes{aggregate.MapBudget}
	if _, folded := d.Fit(&sizes, func(aggregate.Dim, aggregate.Key) bool { return true }); folded != 0 {
		t.Errorf("%d counters that exist were folded", folded)
	}
	d.FoldCodes()
	for k, e := range d.Dims[aggregate.APIID] {
		if e.Errors > 0 && (len(e.Codes) != 1 || e.Codes[0].String() != "other" || e.Codes[0].Count != e.Errors) {
			t.Errorf("%v: codes %v", k, e.Codes)
		}
	}
	if len(d.Dims[aggregate.Errors]) < 2 || len(d.Total.Codes) < 2 {
		t.Error("codes are lost where there is room for them")
	}
}

// BenchmarkFold folds requests that combine values at random, the worst there is.
func BenchmarkFold(b *testing.B) {
	rs := flood(50_000)
	for i, r := range rs {
		r.Tags = []string{"team-a", "edge-eu", "node-1", "key-" + r.APIKey, "org-o", "api-" + r.APIID}
		r.OauthID, r.Geo.Country.ISOCode, r.Alias, r.APIName = fmt.Sprint("oauth", i%20), "DE", "alias", "name"
	}
	benchmark(b, rs)
}

// BenchmarkFoldCaptured folds what a gateway wrote, repeated to a usual batch's gathering.
func BenchmarkFoldCaptured(b *testing.B) {
	var rs []*record.Record
	for range 10 {
		for _, it := range sinktest.Captured(b, record.Msgpack) {
			if aggregate.Counts(it.Record) {
				rs = append(rs, it.Record)
			}
		}
	}
	benchmark(b, rs)
}

func benchmark(b *testing.B, rs []*record.Record) {
	s := shapeOf(options(true))
	b.ReportAllocs()
	for b.Loop() {
		f := aggregate.NewFold(s)
		d := f.Document("o", 1795424400)
		for _, r := range rs {
			d.Add(r)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rs)), "ns/record")
	b.ReportMetric(0, "ns/op")
}
