package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"sluice/internal/archive/s3store"
	"sluice/internal/config"
	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
	"sluice/internal/statedir"
	"sluice/sinks/s3csv"
)

// letterBox is where dead letters live: deadletter.Box, deadletter.Bucket, or nowhere.
type letterBox interface {
	pipeline.LetterBox
	Each(ctx context.Context, f func(*pipeline.Letter) error) error
	MarkRetried(ctx context.Context, letters []*pipeline.Letter) error
	Close() error
}

// openLetterBox opens the place for dead letters: the state directory where it outlives the machine, else the bucket of
// state.spool.
func openLetterBox(ctx context.Context, cfg *config.Config) (letterBox, error) {
	if cfg.State.Durable {
		box, err := deadletter.Open(statedir.Letters(cfg.State.Dir))
		if err != nil {
			return nil, stateError(err)
		}
		return box, nil
	}
	rest, ok := strings.CutPrefix(cfg.State.Spool, "s3://")
	if !ok {
		return noLetterBox{}, nil
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	store, err := s3store.New(ctx, spoolStore(cfg, bucket))
	if err != nil {
		return nil, fmt.Errorf("state.spool: %w", err)
	}
	return &bucketBox{deadletter.NewBucket(store, prefix), store}, nil
}

// letterReader reads letters one at a time, as deadletter.Each does.
type letterReader func(ctx context.Context, f func(*pipeline.Letter) error) error

// readsLetters is how the configured place is read; close it. Where there is no state directory it makes none: it would be this
// user's, not the pump's.
func readsLetters(ctx context.Context, cfg *config.Config, log *slog.Logger) (read letterReader, closes func(), err error) {
	if cfg.State.Durable {
		dir := statedir.Letters(cfg.State.Dir)
		if _, err := os.ReadDir(dir); errors.Is(err, fs.ErrNotExist) {
			log.Info("no pump has run with this state directory", "dir", cfg.State.Dir)
		} else if err != nil {
			return nil, nil, fmt.Errorf("read dead letters: %w", err)
		}
		return readable(log, func(ctx context.Context, f func(*pipeline.Letter) error) error { return deadletter.Each(ctx, dir, f) }), func() {}, nil
	}
	box, err := openLetterBox(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	return readable(log, box.Each), func() { _ = box.Close() }, nil
}

// readable goes on with the letters that can be read and names the lines that cannot.
func readable(log *slog.Logger, read letterReader) letterReader {
	return func(ctx context.Context, f func(*pipeline.Letter) error) error {
		err := read(ctx, f)
		if errors.As(err, new(*deadletter.DamagedError)) {
			log.Error("some dead letters cannot be read", "err", err)
			return nil
		}
		return err
	}
}

// stateError is what is wrong with the state directory, for an operator to cure.
func stateError(err error) error {
	if errors.Is(err, statedir.ErrLocked) {
		return usageError{fmt.Errorf("state.dir: %w", err)} // it names the cure
	}
	return usageError{fmt.Errorf("state.dir: %w; set it to a directory of its own that this user may write to", err)}
}

// spoolStore reaches the spool's bucket as the archive sink of the same bucket does, else as AWS's default chain says.
func spoolStore(cfg *config.Config, bucket string) s3store.Options {
	for _, name := range sortedKeys(cfg.Sinks) {
		if c, ok := cfg.Sinks[name].Settings.(s3csv.Config); ok && c.Bucket == bucket {
			return c.Store()
		}
	}
	return s3store.Options{Bucket: bucket}
}

// bucketBox closes the store with the letters in it.
type bucketBox struct {
	*deadletter.Bucket
	store *s3store.Store
}

func (b *bucketBox) Close() error {
	b.store.Close()
	return nil
}

// noLetterBox is the letter box of a process that has no durable place: what must become a dead letter waits.
type noLetterBox struct{}

var errNowhere = errors.New("state.durable is false and state.spool names no bucket: there is no place for dead letters; set state.spool to s3://bucket/prefix/")

func (noLetterBox) Store(context.Context, []pipeline.Letter) error           { return errNowhere }
func (noLetterBox) Each(context.Context, func(*pipeline.Letter) error) error { return nil }
func (noLetterBox) MarkRetried(context.Context, []*pipeline.Letter) error    { return errNowhere }
func (noLetterBox) Close() error                                             { return nil }
