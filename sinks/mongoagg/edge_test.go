package mongoagg

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// A document that expired under us comes back with what is counted after that, and complete.
func TestExpiredDocumentBeginsAnew(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	d := sinktest.NewDriver(s.open(t, c))
	l := listOf("a", made(newRand(5), 40))
	must(t, d.Deliver(t.Context(), l))
	for _, name := range []string{mixedName, orgPrefix + "org0", orgPrefix + "org1", orgPrefix + "org2"} {
		_, err := s.db.Collection(name).DeleteMany(t.Context(), bson.D{})
		must(t, err)
	}
	late := made(newRand(6), 40)
	l.Claims = append(l.Claims, listOf("a", nil, late).Claims[1])
	must(t, d.Deliver(t.Context(), l))
	s.holds(t, c, late)
}

// What the server calls too large is tried once more with all that can be left out, and then given up.
func TestTooLargeForTheServer(t *testing.T) {
	t.Parallel()
	for _, refusals := range []int{1, 99} {
		t.Run(fmt.Sprint(refusals, " refusals"), func(t *testing.T) {
			s := shared(t)
			c := s.config()
			c.MixedCollection = false
			sink := s.open(t, c)
			left := refusals
			sink.send = func(ctx context.Context, coll *driver.Collection, ops []*operation) {
				for _, op := range ops {
					if left--; left >= 0 {
						op.err = pipeline.Permanent(refusal{17419})
						continue
					}
					send(ctx, coll, []*operation{op})
				}
			}
			rs := []*record.Record{request("org", "/", nine), request("org", "/", nine)}
			rs[0].ResponseCode, rs[1].ResponseCode = 404, 500
			d := sinktest.NewDriver(sink)
			must(t, d.Deliver(t.Context(), listOf("a", rs)))
			if refusals > 1 {
				if len(d.Results.Dead) != 2 {
					t.Errorf("%+v", d.Results)
				}
				return
			}
			doc := s.trees(t, orgPrefix+"org")[0]
			api := doc["apiid"].(map[string]any)["api"].(map[string]any)
			if m := api["errormap"].(map[string]any); m["other"] != int64(2) || len(m) != 1 || api["errortotal"] != int64(2) {
				t.Errorf("%+v", api)
			}
			if m := doc["total"].(map[string]any)["errormap"].(map[string]any); m["404"] != int64(1) || m["500"] != int64(1) {
				t.Errorf("%+v", m)
			}
		})
	}
}

// One stream's failing document holds neither the other organisations nor the other streams.
func TestAFailingDocumentLetsOthersPass(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.MixedCollection = false
	sink := s.open(t, c)
	sink.send = func(ctx context.Context, coll *driver.Collection, ops []*operation) {
		if coll.Name() == orgPrefix+"sick" {
			for _, op := range ops {
				op.err = errFault
			}
			return
		}
		send(ctx, coll, ops)
	}
	well := listOf("b", []*record.Record{request("other", "/", nine)})
	mixed := listOf("a", []*record.Record{request("well", "/", nine), request("sick", "/", nine), request("well", "/", nine)})
	for _, l := range []*sinktest.List{mixed, well} {
		_, err := sink.Add(t.Context(), sinktest.Batch(sink, l, &l.Claims[0], 0, uint32(len(l.Claims[0].Items))))
		must(t, err)
	}
	p, err := sink.Flush(t.Context(), true)
	if fmt.Sprintf("%T", err) != fmt.Sprintf("%T", pipeline.Apart(nil)) {
		t.Fatalf("%v: want an error that leaves the sink's pace alone", err)
	}
	at := map[string]pipeline.Position{}
	for _, m := range p.Settled {
		at[m.Stream.List] = m.Pos
	}
	if at["b"].Index != 1 || at["a"].Index != 1 {
		t.Errorf("settled %v: want list a up to the sick document's record, list b whole", at)
	}
	sink.send = send
	_, err = sink.Flush(t.Context(), true)
	must(t, err)
	s.holds(t, c, recordsOf(mixed, well))
}

// A flush that is ended sends nothing more, and what it left is written by the next one.
func TestAFlushThatEndsSendsNoMore(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.MixedCollection = false
	sink := s.open(t, c)
	ctx, end := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	var sent atomic.Int64
	sink.send = func(_ context.Context, coll *driver.Collection, ops []*operation) {
		sent.Add(1)
		send(t.Context(), coll, ops)
		end(enough)
	}
	var rs []*record.Record
	for i := range 3 * parallel {
		rs = append(rs, request(fmt.Sprint("org", i), "/", nine))
	}
	l := listOf("a", rs)
	_, err := sink.Add(t.Context(), sinktest.Batch(sink, l, &l.Claims[0], 0, uint32(len(rs))))
	must(t, err)
	if _, err := sink.Flush(ctx, true); err == nil {
		t.Error("a flush that was ended says that it is done")
	}
	if n := sent.Load(); n < 1 || n > parallel {
		t.Errorf("%d updates were sent", n)
	}
	sink.send = send
	_, err = sink.Flush(t.Context(), true)
	must(t, err)
	s.holds(t, c, rs)
}

func TestListsAreCutToTheTop(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	c.Top, c.Ignore, c.IgnoreTagPrefixes = 2, []string{"geo", "keyendpoints"}, []string{"t."}
	rs := made(newRand(7), 200)
	must(t, sinktest.NewDriver(s.open(t, c)).Deliver(t.Context(), listOf("a", rs)))
	s.holds(t, c, rs)
}

// A batch that overlaps what is gathered and not settled would be counted wrongly. One that begins at what is settled
// begins anew.
func TestBatchesMustFollowEachOther(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := s.config()
	sink, ctx := s.open(t, c), t.Context()
	l := listOf("a", made(newRand(8), 30))
	add := func(from, to uint32) error {
		_, err := sink.Add(ctx, sinktest.Batch(sink, l, &l.Claims[0], from, to))
		return err
	}
	must(t, add(0, 10))
	_, err := sink.Flush(ctx, true)
	must(t, err)
	must(t, add(10, 20))
	if add(15, 25) == nil {
		t.Error("an overlap is accepted")
	}
	must(t, add(5, 30))
	_, err = sink.Flush(ctx, true)
	must(t, err)
	s.holds(t, c, recordsOf(l))
}

// Counting is timed apart from deriving, which comes every few seconds whatever the load.
func BenchmarkSink(b *testing.B) {
	s := shared(b)
	c := s.config()
	sink := s.open(b, c)
	ctx, rs := b.Context(), made(newRand(9), 5000)
	n := 0
	sink.derived, sink.swept = time.Now().Add(time.Hour), time.Now()
	for b.Loop() {
		l := listOf(fmt.Sprint("list", n), rs, rs, rs, rs)
		for i := range l.Claims {
			if _, err := sink.Add(ctx, sinktest.Batch(sink, l, &l.Claims[i], 0, 5000)); err != nil {
				b.Fatal(err)
			}
		}
		sink.full = true
		if _, err := sink.Flush(ctx, true); err != nil {
			b.Fatal(err)
		}
		n += 20_000
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
