package kafka

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// letter is one that a worker keeps of a record that a sink refused.
func letter(sink string, i int) *pipeline.Letter {
	value := record.AppendProtobufLossless(nil, &record.Record{Path: fmt.Sprint(i), OrgID: "o", TimeStamp: now})
	return &pipeline.Letter{ID: record.MakeID(now, uint64(i)).String() + "-" + sink, Sink: sink, Source: "bus", Lineage: testLineage,
		Position: position(i).String(), Format: "protobuf", Kind: "analytics", Length: int64(len(value)), Bytes: value}
}

func letters(sink string, from, to int) (out []*pipeline.Letter) {
	for i := from; i <= to; i++ {
		out = append(out, letter(sink, i))
	}
	return out
}

func (b *bench) retrier() *Retrier {
	b.t.Helper()
	src, err := New("bus", b.cfg, Deps{Log: log(b.t)})
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := src.Retrier(b.t.Context(), time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(r.Close)
	return r
}

func (b *bench) put(r *Retrier, ls ...*pipeline.Letter) {
	b.t.Helper()
	if err := r.Put(b.t.Context(), ls); err != nil {
		b.t.Fatal(err)
	}
}

// TestLettersGoInOnceAndToTheirSink: what is put back reaches the sink that refused it, and every sink where it was refused for all, once
// each: also when commands on several machines, which keep the same letters, put them back at the same time, and again later.
func TestLettersGoInOnceAndToTheirSink(t *testing.T) {
	b := newBench(t)
	one, two := &collector{got: map[string]int{}}, &collector{got: map[string]int{}}
	w := b.start(NewRetries, map[string]pipeline.Sink{"one": one, "two": two})
	until(t, "it stands by without a topic", func() bool { return w.src.Status().Connected })
	if a, err := w.src.Audit(t.Context()); err != nil || len(a) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
	var commands sync.WaitGroup
	for m := range 3 { // machines: letters 20 to 40 are kept by two of them
		r := b.retrier()
		commands.Go(func() {
			all := letters("one", 1+20*m, 40+20*m)
			for range 2 {
				for i := 0; i < len(all); i += 7 {
					if err := r.Put(t.Context(), all[i:min(i+7, len(all))]); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	commands.Wait()
	r := b.retrier()
	b.put(r, letters("one", 1, 80)...)
	b.put(r, letters(pipeline.EverySink, 81, 90)...)
	b.put(r, letter("two", 5), letter("one", 91), letter("two", 6))
	until(t, "all is settled", func() bool {
		a, err := w.src.Audit(t.Context())
		return err == nil && len(a) == 1 && a[0].Waiting == 0 && len(a[0].Claims) == 0
	})
	for name, c := range map[string]struct {
		sink *collector
		want int
	}{"one": {one, 80 + 10 + 1}, "two": {two, 10 + 2}} {
		if c.sink.count() != c.want {
			t.Errorf("sink %s got %d letters, want %d", name, c.sink.count(), c.want)
		}
		for path, n := range c.sink.got {
			if n != 1 {
				t.Errorf("sink %s got letter %s %d times", name, path, n)
			}
		}
	}
	a, err := w.src.Audit(t.Context())
	if err != nil || a[0].Sinks["one"].Effective != 91 || a[0].Sinks["two"].Effective != 12 || a[0].Taken < 91+2 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestLateBatchIsARepeat: a batch whose answer was lost, and that lands behind what was sent instead of it, counts for nothing, whole as
// it is, though it is longer.
func TestLateBatchIsARepeat(t *testing.T) {
	b := newBench(t)
	late, r := b.retrier(), b.retrier()
	b.put(r, letters("one", 1, 3)...)
	if err := late.send(t.Context(), letters("one", 1, 9)); err != nil {
		t.Fatal(err)
	}
	b.put(r, letters("one", 2, 5)...)
	b.put(late, letters("one", 1, 9)...)
	sink := &collector{got: map[string]int{}}
	w := b.start(NewRetries, map[string]pipeline.Sink{"one": sink})
	until(t, "nine letters", func() bool {
		a, err := w.src.Audit(t.Context())
		return err == nil && len(a) == 1 && a[0].Taken > 0 && a[0].Waiting == 0 && len(a[0].Claims) == 0
	})
	if sink.count() != 9 || r.judge.passed[retryLineage].Position.Claim.Number != 2 || late.judge.passed[retryLineage].Position.Claim.Number != 3 {
		t.Errorf("%d letters, batches %+v, %+v", sink.count(), r.judge.passed, late.judge.passed)
	}
	for path, n := range sink.got {
		if n != 1 {
			t.Errorf("letter %s took effect %d times", path, n)
		}
	}
}

// TestLetterForASinkThatIsGoneWaits: it is neither dropped nor given to others, and goes in when a worker has the sink.
func TestLetterForASinkThatIsGoneWaits(t *testing.T) {
	b := newBench(t)
	b.put(b.retrier(), letter("one", 1), letter("gone", 2), letter("one", 3))
	one, gone := &collector{got: map[string]int{}}, &collector{got: map[string]int{}}
	w := b.start(NewRetries, map[string]pipeline.Sink{"one": one})
	if text := <-w.alarms; !strings.Contains(text, "for sink gone") || !strings.Contains(text, "discard") {
		t.Errorf("alarm %q", text)
	}
	until(t, "what comes before it", func() bool { return one.count() == 1 })
	w.end()
	b.start(NewRetries, map[string]pipeline.Sink{"one": one, "gone": gone})
	until(t, "all of them", func() bool { return one.count() == 2 && gone.count() == 1 })
}

func TestTopicOfRetries(t *testing.T) {
	for group, want := range map[string]string{
		"sluice": "tyk-retry-sluice", "A.b_c-1": "tyk-retry-A.b_c-1", "of mine": "tyk-retry-e1ad4cc1188cec7feb3fc474",
		strings.Repeat("g", 101): "tyk-retry-66c59f403cf7bbbba6799558",
	} {
		c := Config{Topic: "tyk", Group: group}.retries()
		if c.Topic != want || c.Group != group+"-retry" {
			t.Errorf("%q: topic %s, group %s", group, c.Topic, c.Group)
		}
	}
}
