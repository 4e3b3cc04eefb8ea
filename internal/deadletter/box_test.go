package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	MarkRetried(context.Context, *pipeline.Letter) error
	Letters(context.Context) ([]pipeline.Letter, error)
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
	if err := b.MarkRetried(t.Context(), &second); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := b.Store(t.Context(), []pipeline.Letter{second}); err != nil { // a redelivery after the retry
		t.Fatal(err)
	}
	got, err := b.Letters(t.Context())
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
	if got, err := Read(dir); err != nil || len(got) != 1 {
		t.Errorf("with a torn line: %d letters, error %v; want 1 and none", len(got), err)
	}
	if err := os.WriteFile(names[0], append([]byte("{broken\n"), data...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil {
		t.Error("a damaged line before a good one went unnoticed")
	}
}

func TestReadOfNothing(t *testing.T) {
	if got, err := Read(filepath.Join(t.TempDir(), "none")); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFind(t *testing.T) {
	ls := []pipeline.Letter{letter("1", "*"), letter("10", "*")}
	if got, err := Find(ls, "id-1"); err != nil || len(got) != 1 || got[0].Position != "1" {
		t.Errorf("an exact ID found %v, %v", got, err)
	}
	if got, err := Find(ls, "id-10"); err != nil || len(got) != 1 {
		t.Errorf("an exact ID found %v, %v", got, err)
	}
	for _, id := range []string{"id-", "", "x"} { // a retry must not take more than what was meant
		if got, err := Find(ls, id); err == nil {
			t.Errorf("%q found %v", id, got)
		}
	}
	ls = []pipeline.Letter{letter("12", "a"), letter("12", "b")}
	if got, err := Find(ls, "id-1"); err != nil || len(got) != 2 {
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
			err = b.MarkRetried(t.Context(), &l)
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
	if got, err := Read(dir); err != nil || len(got) != 0 {
		t.Errorf("a retried letter is listed again: %+v, %v", got, err)
	}
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
	letters, err := Read(dir)
	var damaged *DamagedError
	if !errors.As(err, &damaged) || len(damaged.Lines) != 1 || !strings.HasSuffix(damaged.Lines[0], ".jsonl line 2") {
		t.Errorf("damage: %v", err)
	}
	if len(letters) != 2 || letters[0].ID != "id0" || letters[1].ID != "id2" {
		t.Errorf("%+v", letters)
	}
}
