package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/aggregate/recount"
	"sluice/internal/record"
)

// expiry is that of a document whose records have none, the default of the sink.
const expiry = 100 * 365 * 24 * time.Hour

// judgeAggregates holds every document, counter by counter, against an independent recount of the debts.
func (w *world) judgeAggregates(ctx context.Context) error {
	want := w.recount()
	names, err := w.stores.mongo.ListCollectionNames(ctx, bson.M{"name": bson.M{"$regex": "aggregate"}})
	if err != nil {
		return err
	}
	t := tally{store: "aggregates"}
	seen := map[string]int{}
	for _, name := range names {
		cur, err := w.stores.mongo.Collection(name).Find(ctx, bson.M{})
		if err != nil {
			return err
		}
		var docs []bson.M
		if err := cur.All(ctx, &docs); err != nil {
			return err
		}
		for _, d := range docs {
			got := plain(d).(recount.Tree)
			key := documentKey(got)
			if seen[key]++; want[key] == nil {
				t.note(&t.strange, "%s of %s is not owed", key, name)
				continue
			}
			if diff := difference(want[key], got); diff != "" {
				over(&t, want[key], got, fmt.Sprintf("%s of %s (-recount +stored):\n%.3000s", key, name, changed(diff)))
			}
		}
	}
	for key := range want {
		switch n := seen[key]; { // once for its organisation and once among all
		case n < 2:
			t.note(&t.missing, "%s is there %d times, owed 2", key, n)
		case n > 2:
			t.note(&t.twice, "%s is there %d times, owed 2", key, n)
		}
	}
	w.end(t, 2*len(want))
	return nil
}

// over sorts a document that differs by whether it counts too little, too much, or otherwise wrong.
func over(t *tally, want, got recount.Tree, what string) {
	hits := func(d recount.Tree) int64 {
		total, _ := d["total"].(recount.Tree)
		n, _ := total["hits"].(int64)
		return n
	}
	switch a, b := hits(want), hits(got); {
	case b < a:
		t.note(&t.missing, "%d hits instead of %d: %s", b, a, what)
	case b > a:
		t.note(&t.twice, "%d hits instead of %d: %s", b, a, what)
	default:
		t.note(&t.differ, "%s", what)
	}
}

func (w *world) recount() map[string]recount.Tree {
	var records []*record.Record
	for _, d := range w.gen.debts.all {
		for range d.times {
			records = append(records, d.rec)
		}
	}
	out := map[string]recount.Tree{}
	for _, d := range recount.Documents(records, recount.Options{Bucket: time.Hour, ExpireAfter: expiry, TrackAllPaths: true}) {
		out[documentKey(d)] = d
	}
	return out
}

func documentKey(d recount.Tree) string { return fmt.Sprint(d["orgid"], " ", d["timestamp"]) }

// difference compares without the bookkeeping of the sink's own and without the order of lists.
func difference(want, got recount.Tree) string {
	for k := range got {
		if _, ok := want[k]; !ok && (k == "_id" || strings.HasPrefix(k, "sluice")) {
			delete(got, k)
		}
	}
	recount.SortLists(want)
	recount.SortLists(got)
	return cmp.Diff(want, got)
}

// changed are the lines of a difference that differ: a document has too many others.
func changed(diff string) string {
	var b strings.Builder
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// plain turns what the driver reads into what the recount makes.
func plain(v any) any {
	switch v := v.(type) {
	case bson.M:
		out := recount.Tree{}
		for k, x := range v {
			out[k] = plain(x)
		}
		return out
	case bson.A:
		out := []any{}
		for _, x := range v {
			out = append(out, plain(x))
		}
		return out
	case int32:
		return int64(v)
	case primitive.DateTime:
		return recount.Millis(v)
	}
	return v
}
