// Package deadletter keeps dead letters: in a directory as JSON lines in append-only segments, or in a bucket, read back
// without duplicates.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// A segment ends when it is full, a day old, or nothing came for an hour: expiry removes whole files, by what came last, and
// none that a process may still add to.
const (
	segmentBytes = 64 << 20
	segmentAge   = 24 * time.Hour
	segmentIdle  = time.Hour
)

// Box is the letter box of one process. It implements pipeline.LetterBox.
type Box struct {
	dir string

	mu    sync.Mutex
	file  *os.File
	size  int64
	begun time.Time
	idle  *time.Timer // closes the segment when nothing comes any more
}

var _ pipeline.LetterBox = (*Box)(nil)

// Open makes the directory if need be. Only one process may write to it: the lock of the state directory sees to that.
func Open(dir string) (*Box, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = syncDir(filepath.Dir(dir)) // a segment in it is worth nothing without its name
	}
	if err != nil {
		return nil, fmt.Errorf("make the directory of dead letters: %w", err)
	}
	return &Box{dir: dir}, nil
}

// entry is a line: a letter, or a note that one was retried.
type entry struct {
	*pipeline.Letter
	Retried *identity `json:"retried,omitempty"`
}

// identity tells letters apart.
type identity struct {
	Lineage  string `json:"lineage"`
	Position string `json:"position"`
	Sink     string `json:"sink"`
}

func identify(l *pipeline.Letter) identity { return identity{l.Lineage, l.Position, l.Sink} }

// Store appends the letters and returns when they are on the disk.
func (b *Box) Store(_ context.Context, letters []pipeline.Letter) error {
	entries := make([]entry, len(letters))
	for i := range letters {
		entries[i].Letter = &letters[i]
	}
	return b.append(entries)
}

// MarkRetried notes that letters went back into a list; they are not listed any more.
func (b *Box) MarkRetried(_ context.Context, letters []*pipeline.Letter) error {
	return b.append(notes(letters))
}

func notes(letters []*pipeline.Letter) []entry {
	out := make([]entry, len(letters))
	for i, l := range letters {
		id := identify(l)
		out[i].Retried = &id
	}
	return out
}

func (b *Box) append(entries []entry) error {
	lines, err := encode(entries)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.write(lines); err != nil {
		b.drop() // what was written in part is cut off by its missing line end; the next segment starts clean
		return fmt.Errorf("store dead letters: %w", err)
	}
	return nil
}

func (b *Box) write(lines []byte) error {
	if b.file != nil && (b.size+int64(len(lines)) > segmentBytes || time.Since(b.begun) > segmentAge) {
		b.drop()
	}
	if b.file == nil {
		if err := b.next(); err != nil {
			return err
		}
	}
	crash.Before("dead-letters/write")
	n, err := b.file.Write(lines)
	crash.After("dead-letters/write")
	b.size += int64(n)
	if err != nil {
		return err
	}
	crash.Before("dead-letters/sync")
	err = b.file.Sync()
	crash.After("dead-letters/sync")
	b.idle.Reset(segmentIdle)
	return err
}

// next begins a segment; its name sorts by time and is never reused.
func (b *Box) next() error {
	for at := time.Now().UTC(); ; at = at.Add(time.Nanosecond) {
		name := filepath.Join(b.dir, at.Format("20060102T150405.000000000Z")+".jsonl")
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil { // keeps Remove from it
			return errors.Join(err, f.Close())
		}
		b.file, b.size, b.begun = f, 0, time.Now()
		b.idle = time.AfterFunc(segmentIdle, func() { b.rest(f) })
		return syncDir(b.dir)
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	crash.Before("dead-letters/sync-names")
	err = d.Sync()
	crash.After("dead-letters/sync-names")
	return err
}

// rest closes a segment to which nothing was added for long.
func (b *Box) rest(f *os.File) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == f {
		b.drop()
	}
}

func (b *Box) drop() {
	if b.file != nil {
		b.idle.Stop()
		_ = b.file.Close() // everything that was acknowledged is synced
		b.file = nil
	}
}

// Each reads what is kept: see Each.
func (b *Box) Each(ctx context.Context, f func(*pipeline.Letter) error) error {
	return Each(ctx, b.dir, f)
}

// Close closes the segment in hand.
func (b *Box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	return nil
}
