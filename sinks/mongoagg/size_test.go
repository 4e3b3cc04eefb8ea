package mongoagg

import (
	"testing"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/aggregate"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// What a counter is taken to add to a document is no less than it adds, and not far more: else documents outgrow their
// bound, or count under "other" too early.
func TestSizesAreEstimatedFromAbove(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.MixedCollection = false
	l := sinktest.NewList("a")
	l.Add(sinktest.Captured(t, record.Msgpack))
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), l))
	for _, org := range []string{"default", "5e9d9544a1dcd60001d0ed20", org} {
		f, sh := aggregate.NewFold(c.shape().Shape), c.shape()
		var fold *aggregate.Document
		for _, r := range recordsOf(l) {
			if aggregate.Counts(r) && r.OrgID == org {
				if fold == nil {
					fold = f.Document(org, sh.BucketOf(r.TimeStamp))
				}
				fold.Add(r)
			}
		}
		delta := fold.Delta()
		raw, err := s.db.Collection(orgPrefix+org).FindOne(t.Context(), bson.D{}).Raw()
		must(t, err)
		d := newDocument(docID{}, org, 0)
		d.takeCounters(raw, counterKeys{seed: s.open(t, c).keys.seed})
		want, got := d.mapBytes, delta.StoredBytes().Total()
		if got < want || got > 2*want {
			t.Errorf("%s: %d bytes estimated, %d stored", org, got, want)
		}
		up := update(d, delta, nil, 0)
		if est := fold.UpdateBytes(); est < len(up) || est > 2*len(up)+4096 {
			t.Errorf("%s: the update is estimated at %d bytes and has %d", org, est, len(up))
		}
		lists, _ := raw.Lookup("lists").DocumentOK()
		est := 0
		for _, m := range delta.Dims {
			for k, e := range m {
				est += entryBytes(k, e)
			}
		}
		if est < len(lists) || est > 2*len(lists) {
			t.Errorf("%s: lists are estimated at %d bytes and have %d", org, est, len(lists))
		}
	}
}
