package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
)

func letter(position, sink string) pipeline.Letter {
	return pipeline.Letter{
		ID: "id-" + position, Sink: sink, Reason: "does not decode", Time: time.Unix(1, 0).UTC(), Lineage: "l",
		Position: position, Bytes: []byte{0, 1, 0xff},
	}
}

// keeper is what Box and Bucket have in common.
type keeper interface {
	pipeline.LetterBox
	MarkRetried(context.Context, []*pipeline.Letter) error
	Each(context.Context, func(*pipeline.Letter) error) error
	Close() error
}

func TestLettersAreReadOnce(t *testing.T) {
	box, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]keeper{"directory": box, "bucket": NewBucket(store, "spool/")} {
		t.Run(name, func(t *testing.T) { readOnce(t, b) })
	}
}

func readOnce(t *testing.T, b keeper) {
	first, second, third := letter("1", "*"), letter("2", "raw"), letter("2", "search")
	for _, ls := range [][]pipeline.Letter{{first}, {first, second}, {third}} {
		if err := b.Store(t.Context(), ls); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.MarkRetried(t.Context(), []*pipeline.Letter{&second}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := b.Store(t.Context(), []pipeline.Letter{second}); err != nil { // a redelivery after the retry
		t.Fatal(err)
	}
	got, err := All(t.Context(), b.Each)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]pipeline.Letter{first, third}, got); d != "" {
		t.Error(d)
	}
}

func TestLineCutByACrashIsIgnoredAndDamageIsNot(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store(t.Context(), []pipeline.Letter{letter("1", "*")}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	names, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(names[0], append(data, `{"id":"x`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, dir); err != nil || len(got) != 1 {
		t.Errorf("with a torn line: %d letters, error %v; want 1 and none", len(got), err)
	}
	if err := os.WriteFile(names[0], append([]byte("{broken\n"), data...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, dir); err == nil {
		t.Error("a damaged line before a good one went unnoticed")
	}
}

func TestReadOfNothing(t *testing.T) {
	if got, err := read(t, filepath.Join(t.TempDir(), "none")); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// read gathers the letters of a directory.
func read(t *testing.T, dir string) ([]pipeline.Letter, error) {
	return All(t.Context(), func(ctx context.Context, f func(*pipeline.Letter) error) error { return Each(ctx, dir, f) })
}

func TestFind(t *testing.T) {
	find := func(id string, letters ...pipeline.Letter) ([]pipeline.Letter, error) {
		return Find(t.Context(), func(_ context.Context, f func(*pipeline.Letter) error) error {
			for i := range letters {
				if err := f(&letters[i]); err != nil {
					return err
				}
			}
			return nil
		}, id)
	}
	ls := []pipeline.Letter{letter("1", "*"), letter("10", "*")}
	if got, err := find("id-1", ls...); err != nil || len(got) != 1 || got[0].Position != "1" {
		t.Errorf("an exact ID found %v, %v", got, err)
	}
	if got, err := find("id-10", ls...); err != nil || len(got) != 1 {
		t.Errorf("an exact ID found %v, %v", got, err)
	}
	for _, id := range []string{"id-", "", "x"} { // a retry must not take more than what was meant
		if got, err := find(id, ls...); err == nil {
			t.Errorf("%q found %v", id, got)
		}
	}
	if got, err := find("id-1", letter("12", "a"), letter("12", "b")); err != nil || len(got) != 2 {
		t.Errorf("the beginning of one ID, refused by two sinks, found %v, %v", got, err)
	}
}

func TestRetriedLetterStaysSoWhenTheClockWasSetBack(t *testing.T) {
	dir := t.TempDir()
	for _, retry := range []bool{false, true} {
		b, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		l := letter("1", "*")
		if retry {
			err = b.MarkRetried(t.Context(), []*pipeline.Letter{&l})
		} else {
			err = b.Store(t.Context(), []pipeline.Letter{l})
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if len(names) != 2 {
		t.Fatalf("segments %v", names)
	}
	if err := os.Rename(names[1], filepath.Join(dir, "0.jsonl")); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, dir); err != nil || len(got) != 0 {
		t.Errorf("a retried letter is listed again: %+v, %v", got, err)
	}
}

// However a letter is written, and wherever in it a byte is changed, it is read as it was, or named as damaged, or another
// letter of its own; never cut.
func TestDecodeReadsWhatWasWritten(t *testing.T) {
	odd := letter("1", "*")
	odd.Reason = `a reason with ,"bytes":"eA=="} in it, and \u2028`
	for name, l := range map[string]pipeline.Letter{"plain": letter("1", "*"), "odd": odd, "no bytes": {ID: "x"}, "empty bytes": {ID: "x", Bytes: []byte{}}} {
		lines, err := encode([]entry{{Letter: &l}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(bytes.TrimSuffix(lines, []byte("\n")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(&l, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"id":""}`, `{"id":"x","bytes":"%"}`, `{"id":"x","bytes":"eA="}`, `{"id":"x","bytes":"eA=="`, `,"bytes":"eA=="}`} {
		if l, err := decode([]byte(bad)); err == nil {
			t.Errorf("%q is read as %+v", bad, l)
		}
	}
}

// Lines of a file are foreign bytes: whatever they are, each is a letter or damaged, and those that are written are read.
func FuzzLines(f *testing.F) {
	l := letter("1", "*")
	lines, err := encode([]entry{{Letter: &l}, {Retried: &identity{"l", "1", "*"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lines)
	f.Add([]byte("{\n\n\x00,\"bytes\":\"\"}\n"))
	gather := func(t *testing.T, data []byte) (all []pipeline.Letter) {
		err := each(t.Context(), memory(data), func(l *pipeline.Letter) error {
			all = append(all, *l)
			return nil
		})
		var damaged *DamagedError
		if err != nil && !errors.As(err, &damaged) {
			t.Fatal(err)
		}
		return all
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := gather(t, data)
		entries := make([]entry, len(got))
		for i := range got {
			entries[i].Letter = &got[i]
		}
		lines, err := encode(entries)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, gather(t, lines)); d != "" {
			t.Error(d)
		}
	})
}

// memory is a shelf with one file.
type memory []byte

func (m memory) names(context.Context, bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("file", nil) }
}

func (m memory) open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m)), nil
}

// A damaged line hides none of those behind it, and is named.
func TestDamagedLineHidesNothing(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		l := pipeline.Letter{ID: fmt.Sprint("id", i), Lineage: "l", Position: fmt.Sprint(i), Sink: "s", Reason: "a long enough reason"}
		if err := b.Store(t.Context(), []pipeline.Letter{l}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.IndexByte(data, '\n') + 1
	data[second+10] ^= 0xff
	data[second] = '!'
	if err := os.WriteFile(names[0], append(data, `{"id":"cut`...), 0o600); err != nil {
		t.Fatal(err)
	}
	letters, err := read(t, dir)
	var damaged *DamagedError
	if !errors.As(err, &damaged) || damaged.Count != 1 || !strings.HasSuffix(damaged.Places[0], ".jsonl line 2") {
		t.Errorf("damage: %v", err)
	}
	if len(letters) != 2 || letters[0].ID != "id0" || letters[1].ID != "id2" {
		t.Errorf("%+v", letters)
	}
}

// TestLetterOfANewerLayout is named and left where it is; the others are read, also those that name this layout.
func TestLetterOfANewerLayout(t *testing.T) {
	dir := t.TempDir()
	lines := `{"v":2,"id":"new","sink":"raw","lineage":"l","position":"1","whatever":true}` + "\n" +
		`{"v":1,"id":"now","sink":"raw","lineage":"l","position":"2","bytes":"AAH/"}` + "\n" +
		`{"id":"old","sink":"raw","lineage":"l","position":"3","bytes":"AAH/"}` + "\n"
	name := filepath.Join(dir, "20260101T000000.000000000Z.jsonl")
	if err := os.WriteFile(name, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	var ids []string
	err := Each(t.Context(), dir, func(l *pipeline.Letter) error { ids = append(ids, l.ID); return nil })
	var damaged *DamagedError
	if !errors.As(err, &damaged) || damaged.Count != 1 || !strings.Contains(err.Error(), "newer version of sluice") || !strings.Contains(err.Error(), "layout 2") {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff([]string{"now", "old"}, ids); d != "" {
		t.Error(d)
	}
	if now, err := os.ReadFile(name); err != nil || string(now) != lines {
		t.Error("the file was touched")
	}
}
