package deadletter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"sluice/internal/archive"
	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// Bucket keeps dead letters in a bucket, for a process whose disk goes with its machine: one object of JSON lines a
// call. It implements pipeline.LetterBox.
type Bucket struct {
	store  archive.Store
	prefix string
}

var _ pipeline.LetterBox = (*Bucket)(nil)

// NewBucket keeps letters below the prefix.
func NewBucket(s archive.Store, prefix string) *Bucket {
	return &Bucket{store: s, prefix: prefix + "deadletters/"}
}

// Store puts the letters as one object, named by what they are: the same letters are the same object.
func (b *Bucket) Store(ctx context.Context, letters []pipeline.Letter) error {
	entries := make([]entry, len(letters))
	for i := range letters {
		entries[i].Letter = &letters[i]
	}
	return b.put(ctx, letters[0].Time.UTC().Format("20060102T150405.000Z"), entries)
}

// MarkRetried notes that letters went back into a list.
func (b *Bucket) MarkRetried(ctx context.Context, letters []*pipeline.Letter) error {
	return b.put(ctx, strings.TrimSuffix(retriedBegin, "-"), notes(letters))
}

func (b *Bucket) put(ctx context.Context, begin string, entries []entry) error {
	lines, err := encode(entries)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(lines)
	sha := hex.EncodeToString(sum[:])
	key := b.prefix + begin + "-" + sha[:16] + ".jsonl"
	crash.Before("dead-letters/put")
	_, _, err = b.store.PutIfAbsent(ctx, key, bytes.NewReader(lines), int64(len(lines)), sha)
	crash.After("dead-letters/put")
	if err != nil {
		return fmt.Errorf("store dead letters: %w", err)
	}
	return nil
}

// Each reads what is kept, as the function of that name does.
func (b *Bucket) Each(ctx context.Context, f func(*pipeline.Letter) error) error {
	return each(ctx, b, f)
}

// retriedBegin begins the names of objects with notes that letters were retried. They sort behind those with letters.
const retriedBegin = "retried-"

func (b *Bucket) names(ctx context.Context, marks bool) iter.Seq2[string, error] {
	prefix := b.prefix
	if marks {
		prefix += retriedBegin
	}
	return func(yield func(string, error) bool) {
		for info, err := range b.store.List(ctx, prefix) {
			if err == nil && !marks && strings.HasPrefix(info.Key, b.prefix+retriedBegin) {
				return
			}
			if !yield(info.Key, err) || err != nil {
				return
			}
		}
	}
}

func (b *Bucket) open(ctx context.Context, key string) (io.ReadCloser, error) {
	body, err := b.store.Get(ctx, key)
	switch {
	case errors.Is(err, archive.ErrNotFound):
		return nil, fs.ErrNotExist
	case err != nil:
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return body, nil
}

// Close has nothing to do: the store is its maker's.
func (b *Bucket) Close() error { return nil }

// encode makes a line of each entry.
func encode(entries []entry) ([]byte, error) {
	var lines []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encode a dead letter: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	return lines, nil
}
