package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a topic of one partition, and messages as an edge writes them.
type bench struct {
	t      *testing.T
	cfg    Config
	client *kgo.Client
}

func newBench(t *testing.T) *bench {
	c := Defaults()
	c.Brokers, c.Topic = []string{testenv.Kafka(t)}, fmt.Sprintf("sluice-source-%x", rand.Uint64())
	c.Group, c.SessionTimeout, c.Linger = c.Topic, 6e9, 50e6
	a, err := bus.NewAccess(t.Context(), c.way())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, cfg: c, client: a.Client(c.Topic)}
	t.Cleanup(func() { bus.CloseClient(b.client) })
	res, err := b.client.CreateTopics(t.Context(), &kgo.CreateTopicsRequest{Topics: []kgo.TopicConfig{
		{Topic: c.Topic, NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || res.Errors[c.Topic] != nil {
		t.Fatal(err, res)
	}
	return b
}

const testLineage = "0123456789abcdef0123456789abcdef"

func position(i int) pipeline.Position {
	if i == 0 {
		return pipeline.Position{}
	}
	return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: 1}, Index: uint32(i)}
}

// send writes messages from to up to, each behind the one before it.
func (b *bench) send(from, to int) {
	b.t.Helper()
	var records []kgo.Record
	for i := from; i <= to; i++ {
		value := record.AppendProtobufLossless(nil, &record.Record{Path: fmt.Sprint(i), OrgID: "o", TimeStamp: time.Now()})
		h := bus.Header{Lineage: testLineage, Position: position(i), Predecessor: position(i - 1), Number: uint64(i),
			Format: bus.FormatProtobuf, ID: record.MakeID(now, uint64(i))}
		records = append(records, kgo.Record{Value: kgo.NewBytes(value), Headers: h.Headers()})
	}
	b.raw(records...)
}

func (b *bench) raw(records ...kgo.Record) { b.t.Helper(); b.to(0, records...) }

func (b *bench) to(partition int, records ...kgo.Record) {
	b.t.Helper()
	for n := 0; ; n++ {
		res, err := b.client.Produce(b.t.Context(), &kgo.ProduceRequest{Topic: b.cfg.Topic, Partition: partition, RequiredAcks: kgo.RequireAll,
			Records: kgo.NewRecordReader(records...)})
		if err == nil {
			err = res.Error
		}
		if err == nil {
			return
		}
		if n > 50 {
			b.t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // the topic is new
	}
}

// collector is a sink that remembers what it got, by path.
type collector struct {
	sick atomic.Bool // takes nothing
	mu   sync.Mutex
	got  map[string]int
	last string
}

func (c *collector) Open(context.Context) error  { return nil }
func (c *collector) Close(context.Context) error { return nil }
func (c *collector) Shape() json.RawMessage      { return json.RawMessage(`{}`) }
func (c *collector) Takes(pipeline.Kind) bool    { return true }
func (c *collector) Write(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	if c.sick.Load() {
		return pipeline.Result{}, errors.New("the sink is down")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range b.Items {
		c.got[it.Record.Path]++
		c.last = it.Record.Path
	}
	return pipeline.Result{}, nil
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// log shows with a test that failed.
func log(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

type box struct{}

func (box) Store(context.Context, []pipeline.Letter) error { return nil }

// worker is a source and a pipeline.
type worker struct {
	src    *Source
	alarms chan string
	end    func()
}

func (b *bench) work(sink *collector) *worker {
	b.t.Helper()
	return b.start(New, map[string]pipeline.Sink{"all": sink})
}

// start runs a source into sinks.
func (b *bench) start(source func(string, Config, Deps) (*Source, error), sinks map[string]pipeline.Sink) *worker {
	b.t.Helper()
	w := &worker{alarms: make(chan string, 100)}
	var err error
	w.src, err = source("bus", b.cfg, Deps{Log: log(b.t), Alarm: func(s string) { w.alarms <- s }})
	if err != nil {
		b.t.Fatal(err)
	}
	var specs []pipeline.SinkSpec
	for _, name := range slices.Sorted(maps.Keys(sinks)) {
		specs = append(specs, pipeline.SinkSpec{Name: name, Type: "test", Sink: sinks[name], Timeout: time.Minute, Retry: pipeline.Backoff{Min: 1e7, Max: 1e8}})
	}
	p, err := pipeline.New(pipeline.Options{
		Sinks:  specs,
		Memory: 64 << 20, Batch: pipeline.Batching{Records: 100, Bytes: 1 << 20}, Deadline: 5 * time.Second, Letters: box{},
		Record: pipeline.RecordShape{Accept: pipeline.Accept{Past: 1e15, Future: 1e15}}, Log: log(b.t),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	pipeCtx, endPipe := context.WithCancel(context.Background())
	srcCtx, endSrc := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(pipeCtx) })
	wg.Go(func() { _ = w.src.Run(srcCtx, p) })
	var once sync.Once
	piped := make(chan struct{})
	wg.Go(func() { <-pipeCtx.Done(); close(piped) })
	w.end = func() {
		once.Do(func() {
			w.src.StopClaiming()
			endPipe()
			<-piped
			time.Sleep(300 * time.Millisecond)
			endSrc()
			wg.Wait()
		})
	}
	b.t.Cleanup(w.end)
	return w
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come: " + what)
		}
	}
}

// TestRepeatsAndStrangers: what comes twice counts once, what is none of ours becomes a dead letter, and another worker goes
// on where the first one ended.
func TestRepeatsAndStrangers(t *testing.T) {
	b := newBench(t)
	b.send(1, 50)
	b.send(30, 50)
	b.raw(kgo.Record{Value: kgo.NewBytes([]byte("hello"))})
	b.send(40, 80)
	sink := &collector{got: map[string]int{}}
	w := b.work(sink)
	idle := func() bool { ok, _, err := w.src.Idle(t.Context()); return ok && err == nil }
	until(t, "80 records", func() bool { return sink.count() == 80 && idle() })
	w.end()
	b.send(71, 120)
	w = b.work(sink)
	until(t, "120 records", func() bool { return sink.count() == 120 && idle() })
	for path, n := range sink.got {
		if n != 1 {
			t.Errorf("record %s took effect %d times", path, n)
		}
	}
	a, err := w.src.Audit(t.Context())
	want := pipeline.Counts{Effective: 120, Duplicates: 21 + 11 + 10, DeadLetters: 1}
	if err != nil || a[0].Sinks["all"].Counts != want || a[0].Taken != want.Total() {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestGapHoldsUntilItIsFilledOrReleased: nothing behind missing messages is taken, until they come, or an operator gives
// them up.
func TestGapHoldsUntilItIsFilledOrReleased(t *testing.T) {
	b := newBench(t)
	b.send(1, 10)
	b.send(16, 20)
	sink := &collector{got: map[string]int{}}
	w := b.work(sink)
	if text := <-w.alarms; !strings.Contains(text, "messages 11 to 15") {
		t.Errorf("alarm %q", text)
	}
	until(t, "10 records", func() bool { return sink.count() == 10 })
	if st := w.src.Status(); st.Lists[0].Held == "" || st.Lists[0].Waiting != 5 {
		t.Errorf("%+v", st)
	}
	b.send(11, 25) // an edge goes on from its cursor
	until(t, "25 records", func() bool { return sink.count() == 25 })
	b.send(31, 40)
	<-w.alarms
	until(t, "a refusal", func() bool {
		_, err := w.src.Release(t.Context(), b.cfg.Topic+"/0")
		return err != nil && strings.Contains(err.Error(), "stop them")
	})
	w.end()
	var r Released
	until(t, "a release", func() (ok bool) {
		var err error
		r, err = w.src.Release(t.Context(), b.cfg.Topic+"/0")
		return err == nil
	})
	if r.Lost != 5 {
		t.Errorf("%+v", r)
	}
	w = b.work(sink)
	until(t, "35 records", func() bool { return sink.count() == 35 })
	a, err := w.src.Audit(t.Context())
	if err != nil || a[0].Lost != 5 || len(a[0].Strange) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestFilledGapOutlivesAWorker: messages that came too early, and again behind what was missing before them, are judged alike
// by who takes the partition over while they are not settled.
func TestFilledGapOutlivesAWorker(t *testing.T) {
	b := newBench(t)
	b.send(1, 10)
	b.send(16, 20)
	b.send(11, 25)
	sink := &collector{got: map[string]int{}}
	sink.sick.Store(true)
	w := b.work(sink)
	until(t, "all is claimed", func() bool {
		a, err := w.src.Audit(t.Context())
		return err == nil && a[0].Taken == 30 && len(a[0].Claims) > 0
	})
	w.end()
	sink.sick.Store(false)
	w = b.work(sink)
	until(t, "25 records", func() bool { return sink.count() == 25 })
	until(t, "all is settled", func() bool {
		a, err := w.src.Audit(t.Context())
		return err == nil && a[0].Sinks["all"].Counts == pipeline.Counts{Effective: 25, Duplicates: 5}
	})
}

// TestOldestIsOfTheMessages: what waits is as old as its messages say, not as when somebody looks: retention keeps what it may be of.
func TestOldestIsOfTheMessages(t *testing.T) {
	b := newBench(t)
	old := time.Now().Add(-5 * 24 * time.Hour).UTC().Truncate(time.Millisecond)
	for i, at := range []time.Time{old, time.Now()} {
		h := bus.Header{Lineage: testLineage, Position: position(i + 1), Predecessor: position(i), Number: uint64(i + 1), Format: bus.FormatProtobuf,
			ID: record.MakeID(now, uint64(i))}
		b.raw(kgo.Record{Time: at, Value: kgo.NewBytes(record.AppendProtobufLossless(nil, &record.Record{Path: fmt.Sprint(i), TimeStamp: now})), Headers: h.Headers()})
	}
	sink := &collector{got: map[string]int{}}
	sink.sick.Store(true)
	oldest := func(want time.Time) func() bool {
		return func() bool {
			src, err := New("bus", b.cfg, Deps{Log: log(t)})
			if err != nil {
				t.Fatal(err)
			}
			a, err := src.Audit(t.Context())
			return err == nil && len(a) == 1 && a[0].Oldest.Equal(want)
		}
	}
	if !oldest(old)() {
		t.Error("before anything is claimed the oldest message is not told")
	}
	w := b.work(sink)
	until(t, "a claim", func() bool { s := w.src.Status(); return len(s.Lists) == 1 && s.Lists[0].OpenClaims > 0 })
	if !oldest(old)() {
		t.Error("while it is claimed and not settled the oldest message is not told")
	}
	sink.sick.Store(false)
	until(t, "nothing old", oldest(time.Time{}))
}
