// Package deadletter keeps dead letters: in a directory as JSON lines in append-only segments, or in a bucket, read back
// without duplicates.
package deadletter

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// segmentBytes is where a segment ends and the next begins, so that expiry can remove whole files.
const segmentBytes = 64 << 20

// Box is the letter box of one process. It implements pipeline.LetterBox.
type Box struct {
	dir string

	mu   sync.Mutex
	file *os.File
	size int64
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

// MarkRetried notes that the letter went back into a list; it is not listed any more.
func (b *Box) MarkRetried(_ context.Context, l *pipeline.Letter) error {
	id := identify(l)
	return b.append([]entry{{Retried: &id}})
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
	if b.file != nil && b.size+int64(len(lines)) > segmentBytes {
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
		b.file, b.size = f, 0
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

func (b *Box) drop() {
	if b.file != nil {
		_ = b.file.Close() // everything that was acknowledged is synced
		b.file = nil
	}
}

// Letters lists what is kept.
func (b *Box) Letters(context.Context) ([]pipeline.Letter, error) { return Read(b.dir) }

// Close closes the segment in hand.
func (b *Box) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	return nil
}

// Read lists the letters of a directory, oldest first, each once, without those retried since. Beside a *DamagedError it lists
// all that can be read. A directory that is not
// there has none. It may be called while a process writes.
func Read(dir string) ([]pipeline.Letter, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	slices.Sort(names)
	r := newReader()
	for _, name := range names {
		if err := r.segment(name); err != nil {
			return nil, err
		}
	}
	return r.rest(), r.err()
}

type reader struct {
	letters []pipeline.Letter
	seen    map[identity]struct{}
	retried map[identity]struct{}
	damaged []string // places of lines that cannot be read
}

// DamagedError names the lines that cannot be read. All others are listed beside it.
type DamagedError struct{ Lines []string }

func (e *DamagedError) Error() string {
	shown := e.Lines[:min(len(e.Lines), 10)]
	return fmt.Sprintf("%d lines of dead letters are damaged and left out: %s", len(e.Lines), strings.Join(shown, ", "))
}

func (r *reader) err() error {
	if len(r.damaged) == 0 {
		return nil
	}
	return &DamagedError{r.damaged}
}

func newReader() *reader {
	return &reader{seen: make(map[identity]struct{}), retried: make(map[identity]struct{})}
}

// rest is what was read and not retried. The note that a letter was retried may stand before it: several processes write
// segments, and clocks are set back.
func (r *reader) rest() []pipeline.Letter {
	return slices.DeleteFunc(r.letters, func(l pipeline.Letter) bool {
		_, gone := r.retried[identify(&l)]
		return gone
	})
}

// maxLine bounds a line: the largest element a process reads whole, in base64, and what stands around it.
const maxLine = 256 << 20

func (r *reader) segment(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	defer f.Close()
	return r.lines(filepath.Base(name), f)
}

func (r *reader) lines(name string, from io.Reader) error {
	sc := bufio.NewScanner(from)
	sc.Buffer(make([]byte, 0, 64<<10), maxLine)
	pending := ""
	for n := 1; sc.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			if pending != "" {
				r.damaged = append(r.damaged, pending)
			}
			pending = fmt.Sprintf("%s line %d", name, n) // the last line may be cut off by a crash before it was acknowledged
			continue
		}
		if pending != "" {
			r.damaged, pending = append(r.damaged, pending), ""
		}
		r.take(e)
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read dead letters: %s: %w", name, err)
	}
	return nil
}

func (r *reader) take(e entry) {
	switch {
	case e.Retried != nil:
		r.retried[*e.Retried] = struct{}{}
	case e.Letter != nil && e.Letter.ID != "":
		id := identify(e.Letter)
		if _, ok := r.seen[id]; !ok {
			r.seen[id] = struct{}{}
			r.letters = append(r.letters, *e.Letter)
		}
	}
}

// Find returns the letters with that ID, one for each sink that refused the record; the beginning of an ID is enough when
// no other begins with it.
func Find(letters []pipeline.Letter, id string) ([]pipeline.Letter, error) {
	var exact, begins []pipeline.Letter
	for _, l := range letters {
		if l.ID == id {
			exact = append(exact, l)
		} else if strings.HasPrefix(l.ID, id) {
			begins = append(begins, l)
		}
	}
	if len(exact) > 0 {
		return exact, nil
	}
	if len(begins) == 0 {
		return nil, fmt.Errorf("no dead letter has the ID %q; sluice deadletters list shows them", id)
	}
	for i := range begins {
		if a, b := begins[0].ID, begins[i].ID; a != b {
			return nil, fmt.Errorf("the IDs of several dead letters begin with %q, such as %s and %s: write more of it", id, a, b)
		}
	}
	return begins, nil
}
