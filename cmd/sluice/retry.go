package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"sluice/internal/config"
	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/statedir"
	"sluice/internal/units"
	"sluice/sources/kafka"
	"sluice/sources/redislist"
)

// retryLetters puts dead letters back, each exactly once also when the command dies on the way: Redis remembers which ones
// it has until they are marked as retried.
func (e *environment) retryLetters(ctx context.Context, ids []string, out *output) error {
	cfg, log, err := e.load(ctx)
	if err != nil {
		return err
	}
	if cfg.State.Durable {
		// Two at a time would each put back what the other has put back and marked since it read the letters.
		lock, err := statedir.LockRetry(cfg.State.Dir)
		if err != nil {
			return fmt.Errorf("retry of dead letters: %w", err)
		}
		defer lock.Close()
	}
	box, err := openLetterBox(ctx, cfg)
	if err != nil {
		return err
	}
	defer box.Close()
	r, err := newRetrier(cfg, log, box)
	if err != nil {
		return err
	}
	defer r.close()
	err = r.chosen(ctx, readable(log, box.Each), ids)
	retried := struct {
		Retried int `json:"retried"`
		Chosen  int `json:"chosen"`
	}{r.done, r.taken}
	return errors.Join(err, out.print(e.stdout, retried, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d of %d dead letters went back\n", r.done, r.taken)
		return err
	}))
}

// retrier puts letters back, some hundreds at a time: what it holds is bounded however many there are.
type retrier struct {
	sources map[string]*redislist.Source
	topics  map[string]*kafka.Source
	open    map[string]*kafka.Retrier // by source, once it was used
	sinks   map[string]config.Sink
	box     letterBox
	keep    time.Duration // how long Redis remembers what went in
	swept   map[retryTo]bool

	waiting     map[retryTo][]waitingLetter
	count       int
	size        int64
	taken, done int
	errs        []error
	failed      int
}

// retryTo is a list of a source that letters go into, or the topic beside that of a worker's source, which has no lists.
type retryTo struct {
	source string
	list   redislist.RetryList
}

type waitingLetter struct {
	letter *pipeline.Letter
	again  redislist.Retry
}

const (
	retryBatch = 500     // letters that one script pushes, one WAIT covers, and one note marks
	retryBytes = 8 << 20 // of them
	retryNamed = 20      // letters whose failure is said one by one
)

// retryMemory is how long Redis remembers at least what went in: as long as another pump may keep the same letter.
func retryMemory(cfg *config.Config) time.Duration {
	return max(cfg.Retention.DeadLetters.Keep.D(), 90*units.Day) + 10*units.Day
}

func newRetrier(cfg *config.Config, log *slog.Logger, box letterBox) (*retrier, error) {
	sources, err := onlookingSources(cfg, log)
	if err != nil {
		return nil, err
	}
	r := &retrier{sources: map[string]*redislist.Source{}, topics: map[string]*kafka.Source{}, open: map[string]*kafka.Retrier{}, sinks: cfg.Sinks, box: box, keep: retryMemory(cfg), swept: map[retryTo]bool{}, waiting: map[retryTo][]waitingLetter{}}
	for _, s := range ofRedis(sources) {
		r.sources[s.Name()] = s
	}
	for _, s := range sources {
		if k, ok := s.(topicSource); ok {
			r.topics[s.Name()] = k.Source
		}
	}
	return r, nil
}

func (r *retrier) close() {
	for _, k := range r.open {
		k.Close()
	}
}

// chosen retries the letters with the IDs, or all without any; one that cannot go back holds up none behind it.
func (r *retrier) chosen(ctx context.Context, read letterReader, ids []string) error {
	if len(ids) > 0 {
		var found []pipeline.Letter
		for _, id := range ids {
			some, err := deadletter.Find(ctx, read, id)
			if err != nil {
				return err
			}
			found = append(found, some...)
		}
		read = func(_ context.Context, f func(*pipeline.Letter) error) error {
			for i := range found {
				if err := f(&found[i]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	err := read(ctx, func(l *pipeline.Letter) error {
		r.taken++
		if err := r.add(l); err != nil {
			r.fail(l.ID, err)
		}
		if r.count >= retryBatch || r.size >= retryBytes {
			r.flush(ctx)
		}
		return ctx.Err()
	})
	r.flush(ctx)
	if more := r.failed - len(r.errs); more > 0 {
		r.errs = append(r.errs, fmt.Errorf("%d more", more))
	}
	return errors.Join(append(r.errs, err)...)
}

func (r *retrier) fail(id string, err error) {
	if r.failed++; len(r.errs) < retryNamed {
		r.errs = append(r.errs, fmt.Errorf("dead letter %s: %w", id, err))
	}
}

// add puts a letter among those that wait for their push.
func (r *retrier) add(l *pipeline.Letter) error {
	if int64(len(l.Bytes)) != l.Length {
		return fmt.Errorf("only %d of its %d bytes were kept", len(l.Bytes), l.Length)
	}
	if _, ok := r.topics[l.Source]; ok {
		if _, ok := r.sinks[l.Sink]; !ok && l.Sink != pipeline.EverySink {
			return fmt.Errorf("sink %s is not configured any more", l.Sink)
		}
		r.wait(retryTo{source: l.Source}, waitingLetter{letter: l})
		return nil
	}
	if _, ok := r.sources[l.Source]; !ok {
		return fmt.Errorf("source %s is no Redis and no topic that is configured: rows that were followed in an archive go in again with sluice replay; see sluice deadletters export", l.Source)
	}
	at, err := pipeline.ParsePosition(l.Position)
	if err != nil {
		return err
	}
	to := retryTo{l.Source, redislist.RetryList{Kind: pipeline.Analytics, Format: record.Msgpack, Sink: l.Sink}}
	if l.Format == record.Protobuf.String() {
		to.list.Format = record.Protobuf
	}
	if l.Kind == "uptime" {
		to.list.Kind = pipeline.Uptime
	}
	if l.Sink == pipeline.EverySink {
		to.list.Sink = ""
	}
	r.wait(to, waitingLetter{l, redislist.Retry{Lineage: l.Lineage, Position: at, Of: l.Sink, Payload: l.Bytes}})
	return nil
}

func (r *retrier) wait(to retryTo, w waitingLetter) {
	r.waiting[to] = append(r.waiting[to], w)
	r.count, r.size = r.count+1, r.size+w.letter.Length
}

// flush puts back what waits.
func (r *retrier) flush(ctx context.Context) {
	for to, batch := range r.waiting {
		if err := r.push(ctx, to, batch); err != nil {
			for i := range batch {
				r.fail(batch[i].letter.ID, err)
			}
			continue
		}
		r.done += len(batch)
	}
	clear(r.waiting)
	r.count, r.size = 0, 0
}

// push puts letters of one list back. They are marked where they are kept when Redis and its replicas have them, and not before.
func (r *retrier) push(ctx context.Context, to retryTo, batch []waitingLetter) error {
	letters, again := make([]*pipeline.Letter, len(batch)), make([]redislist.Retry, len(batch))
	for i := range batch {
		letters[i], again[i] = batch[i].letter, batch[i].again
	}
	if k, ok := r.topics[to.source]; ok {
		if err := r.send(ctx, k, letters); err != nil {
			return err
		}
		return r.box.MarkRetried(ctx, letters)
	}
	forget := r.keep
	if r.swept[to] {
		forget = 0
	}
	if _, err := r.sources[to.source].Retry(ctx, to.list, again, forget); err != nil {
		return err
	}
	r.swept[to] = true
	return r.box.MarkRetried(ctx, letters)
}

// send puts letters into the topic beside that of their source.
func (r *retrier) send(ctx context.Context, k *kafka.Source, letters []*pipeline.Letter) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	to := r.open[k.Name()]
	if to == nil {
		var err error
		if to, err = k.Retrier(ctx, r.keep); err != nil {
			return err
		}
		r.open[k.Name()] = to
	}
	return to.Put(ctx, letters)
}

// sendTime bounds what one batch of letters takes, the reading of what went in before included.
const sendTime = 5 * time.Minute
