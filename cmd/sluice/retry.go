package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"sluice/internal/config"
	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/statedir"
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
	letters, err := readable(log)(box.Letters(ctx))
	if err != nil {
		return err
	}
	if letters, err = chosenLetters(letters, ids); err != nil {
		return err
	}
	r, err := newRetrier(cfg, log, box)
	if err != nil {
		return err
	}
	done, err := r.all(ctx, letters)
	retried := struct {
		Retried int `json:"retried"`
		Chosen  int `json:"chosen"`
	}{done, len(letters)}
	return errors.Join(err, out.print(e.stdout, retried, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d of %d dead letters went back into Redis\n", done, len(letters))
		return err
	}))
}

// chosenLetters are the letters with the IDs, or all without any.
func chosenLetters(letters []pipeline.Letter, ids []string) ([]pipeline.Letter, error) {
	if len(ids) == 0 {
		return letters, nil
	}
	var out []pipeline.Letter
	for _, id := range ids {
		found, err := deadletter.Find(letters, id)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

type retrier struct {
	sources map[string]*redislist.Source
	box     letterBox
}

func newRetrier(cfg *config.Config, log *slog.Logger, box letterBox) (*retrier, error) {
	sources, err := onlookingSources(cfg, log)
	if err != nil {
		return nil, err
	}
	r := &retrier{sources: map[string]*redislist.Source{}, box: box}
	for _, s := range ofRedis(sources) {
		r.sources[s.Name()] = s
	}
	return r, nil
}

// all retries one letter after another; one that cannot go back holds up none behind it.
func (r *retrier) all(ctx context.Context, letters []pipeline.Letter) (done int, err error) {
	var errs []error
	for i := range letters {
		if err := r.one(ctx, &letters[i]); err != nil {
			errs = append(errs, fmt.Errorf("dead letter %s: %w", letters[i].ID, err))
			continue
		}
		done++
	}
	return done, errors.Join(errs...)
}

func (r *retrier) one(ctx context.Context, l *pipeline.Letter) error {
	if int64(len(l.Bytes)) != l.Length {
		return fmt.Errorf("only %d of its %d bytes were kept", len(l.Bytes), l.Length)
	}
	src, ok := r.sources[l.Source]
	if !ok {
		return fmt.Errorf("source %s is not a Redis that is configured: a worker's dead letters cannot go back; see sluice deadletters export", l.Source)
	}
	format := record.Msgpack
	if l.Format == record.Protobuf.String() {
		format = record.Protobuf
	}
	kind := pipeline.Analytics
	if l.Kind == "uptime" {
		kind = pipeline.Uptime
	}
	sink := l.Sink
	if sink == pipeline.EverySink {
		sink = ""
	}
	again := redislist.Retry{Kind: kind, Format: format, Sink: sink, Key: l.Lineage + " " + l.Position + " " + l.Sink, Payload: l.Bytes}
	if err := src.Retry(ctx, again); err != nil {
		return err
	}
	if err := r.box.MarkRetried(ctx, l); err != nil {
		return err
	}
	return src.Retried(ctx, again)
}
