package deadletter

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sluice/internal/pipeline"
)

// ErrStop is what a function given to Each returns to end it without an error.
var ErrStop = errors.New("enough was read")

// Each calls f with the letters of a directory, oldest first, each once, without those retried since, one at a time: what is
// remembered meanwhile is some 40 bytes a letter. It ends with the first error of f. What cannot be read is left out, and named by a
// *DamagedError at the end. A directory that is not there has none. It may be called while a process writes.
func Each(ctx context.Context, dir string, f func(*pipeline.Letter) error) error {
	return each(ctx, files(dir), f)
}

// All gathers what a function such as Box.Each reads.
func All(ctx context.Context, each func(context.Context, func(*pipeline.Letter) error) error) (all []pipeline.Letter, err error) {
	err = each(ctx, func(l *pipeline.Letter) error {
		all = append(all, *l)
		return nil
	})
	return all, err
}

// DamagedError names the lines and files that cannot be read. All others were.
type DamagedError struct {
	Places []string // the first few
	Count  int
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%d lines or files of dead letters are damaged and left out: %s", e.Count, strings.Join(e.Places, ", "))
}

// shelf is where files of lines lie.
type shelf interface {
	// names lists the files in order; marks: those that may hold notes that letters were retried.
	names(ctx context.Context, marks bool) iter.Seq2[string, error]
	// open reads one; fs.ErrNotExist when it is gone by then.
	open(ctx context.Context, name string) (io.ReadCloser, error)
}

// files is a shelf in a directory.
type files string

func (d files) names(context.Context, bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := filepath.Glob(filepath.Join(string(d), "*.jsonl"))
		if err != nil {
			yield("", err)
			return
		}
		slices.Sort(names)
		for _, name := range names {
			if !yield(filepath.Base(name), nil) {
				return
			}
		}
	}
}

func (d files) open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &unreadable{err}
	}
	return f, err
}

// unreadable is an error of one file, which says nothing of the others.
type unreadable struct{ error }

// reader remembers which letters it came across.
type reader struct {
	shelf   shelf
	seen    map[key]struct{}
	retried map[key]struct{}
	damaged DamagedError
	in      *bufio.Reader
	line    []byte
}

// key is a letter's identity, hashed to a fixed size.
type key [16]byte

func (id identity) key() (k key) {
	sum := sha256.Sum256([]byte(id.Lineage + "\x00" + id.Position + "\x00" + id.Sink))
	copy(k[:], sum[:])
	return k
}

// each reads all that was retried first: the note of it may stand before the letter, since several processes write segments, and
// clocks are set back.
func each(ctx context.Context, s shelf, f func(*pipeline.Letter) error) error {
	r := &reader{shelf: s, in: bufio.NewReaderSize(nil, 1<<20), seen: map[key]struct{}{}, retried: map[key]struct{}{}}
	err := r.all(ctx, true, r.mark)
	if err == nil {
		r.damaged = DamagedError{} // seen again
		err = r.all(ctx, false, func(line []byte) error { return r.letter(line, f) })
	}
	switch {
	case errors.Is(err, ErrStop):
		return nil
	case err != nil:
		return err
	case r.damaged.Count > 0:
		return &r.damaged
	}
	return nil
}

// errDamaged says that a line is none of ours, or not any more.
var errDamaged = errors.New("the line is damaged")

func (r *reader) all(ctx context.Context, marks bool, f func(line []byte) error) error {
	for name, err := range r.shelf.names(ctx, marks) {
		if err != nil {
			return fmt.Errorf("list dead letters: %w", err)
		}
		err := r.file(ctx, name, f)
		var apart *unreadable
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist): // expired meanwhile
		case errors.As(err, &apart):
			r.lost(err.Error())
		default:
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
	}
	return nil
}

// placesNamed is how many places of damage are named.
const placesNamed = 10

func (r *reader) lost(place string) {
	if r.damaged.Count++; len(r.damaged.Places) < placesNamed {
		r.damaged.Places = append(r.damaged.Places, place)
	}
}

func (r *reader) file(ctx context.Context, name string, f func(line []byte) error) error {
	body, err := r.shelf.open(ctx, name)
	if err != nil {
		return err
	}
	defer body.Close()
	r.in.Reset(body)
	for n := 1; ; n++ {
		r.line, err = readLine(r.in, r.line[:0])
		if err == io.EOF { // a last line without its end was cut off by a crash, before it was acknowledged
			return nil
		}
		if err != nil && !errors.Is(err, errDamaged) {
			err = fmt.Errorf("read dead letters: %s behind line %d: %w", name, n-1, err)
			if _, local := r.shelf.(files); local {
				err = &unreadable{err}
			}
			return err
		}
		if err == nil {
			err = f(r.line)
		}
		if errors.Is(err, pipeline.ErrNewer) {
			r.lost(fmt.Sprintf("%s line %d (%s)", name, n, err))
		} else if errors.Is(err, errDamaged) {
			r.lost(fmt.Sprintf("%s line %d", name, n))
		} else if err != nil {
			return err
		}
	}
}

// maxLine bounds a line: the largest element a process reads whole, in base64, and what stands around it.
const maxLine = 256 << 20

// readLine appends a line without its end. One that is too long is read over, and damaged.
func readLine(in *bufio.Reader, line []byte) ([]byte, error) {
	size := 0
	for {
		part, err := in.ReadSlice('\n')
		if size += len(part); size <= maxLine {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err != nil:
			return line, err
		case size > maxLine:
			return line, errDamaged
		default:
			return line[:len(line)-1], nil
		}
	}
}

// marked begins the note that a letter was retried.
var marked = []byte(`{"retried":`)

func (r *reader) mark(line []byte) error {
	if !bytes.HasPrefix(line, marked) {
		return nil
	}
	var e entry
	if err := json.Unmarshal(line, &e); err != nil || e.Retried == nil {
		return errDamaged
	}
	r.retried[e.Retried.key()] = struct{}{}
	return nil
}

// letterLayout is that of the lines, as field v; lines of this layout leave it out.
const letterLayout = 1

// bytesBegin is where the payload begins in a line, as it is written.
var bytesBegin = []byte(`,"bytes":"`)

// decode reads a letter. What JSON makes of a long string it does not do itself, which is several times as fast.
func decode(line []byte) (*pipeline.Letter, error) {
	l := &pipeline.Letter{}
	head, payload := line, []byte(nil)
	if i := bytes.LastIndex(line, bytesBegin); i > 0 {
		if tail, ok := bytes.CutSuffix(line[i+len(bytesBegin):], []byte(`"}`)); ok {
			head, payload = append(bytes.Clone(line[:i]), '}'), tail
		}
	}
	var layout struct {
		V int `json:"v"`
	}
	err := json.Unmarshal(head, &layout)
	if err == nil && layout.V > letterLayout {
		return nil, fmt.Errorf("%w: the letter has layout %d, this program knows %d", pipeline.ErrNewer, layout.V, letterLayout)
	}
	if err == nil {
		err = json.Unmarshal(head, l)
	}
	if err == nil && payload != nil {
		l.Bytes, err = base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(payload))), payload)
	}
	if err != nil || l.ID == "" {
		return nil, errDamaged
	}
	return l, nil
}

func (r *reader) letter(line []byte, f func(*pipeline.Letter) error) error {
	if bytes.HasPrefix(line, marked) {
		return r.mark(line) // to count its damage
	}
	l, err := decode(line)
	if err != nil {
		return err
	}
	k := identify(l).key()
	if _, gone := r.retried[k]; gone {
		return nil
	}
	if _, again := r.seen[k]; again {
		return nil
	}
	r.seen[k] = struct{}{}
	return f(l)
}

// Find reads the letters with that ID, one for each sink that refused the record; the beginning of an ID is enough when no
// other begins with it.
func Find(ctx context.Context, each func(context.Context, func(*pipeline.Letter) error) error, id string) ([]pipeline.Letter, error) {
	var exact, begins []pipeline.Letter
	other := "" // of which the ID begins alike
	err := each(ctx, func(l *pipeline.Letter) error {
		switch {
		case l.ID == id:
			exact = append(exact, *l)
		case !strings.HasPrefix(l.ID, id):
		case len(begins) > 0 && begins[0].ID != l.ID:
			other = l.ID
		default:
			begins = append(begins, *l)
		}
		return nil
	})
	switch {
	case len(exact) > 0:
		return exact, err
	case other != "":
		return nil, errors.Join(err, fmt.Errorf("the IDs of several dead letters begin with %q, such as %s and %s: write more of it", id, begins[0].ID, other))
	case len(begins) == 0:
		return nil, errors.Join(err, fmt.Errorf("no dead letter has the ID %q; sluice deadletters list shows them", id))
	}
	return begins, err
}
