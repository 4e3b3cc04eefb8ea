package deadletter

import (
	"context"
	"errors"
	"testing"

	"sluice/internal/pipeline"
)

func TestASegmentInUseStays(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"1", "2"} {
		if err := b.Store(context.Background(), []pipeline.Letter{letter(p, "*")}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Segments(dir)
	if err != nil || len(s) != 1 || !s[0].InUse || s[0].Lines != 2 || s[0].Bytes == 0 || s[0].Written.Before(s[0].Begun.Add(-1e9)) {
		t.Fatalf("segments %+v, %v", s, err)
	}
	if err := Remove(dir, s[0].Name); !errors.Is(err, ErrInUse) {
		t.Fatalf("a segment in use is removed: %v", err)
	}
	if err := b.Store(context.Background(), []pipeline.Letter{letter("3", "*")}); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, dir); err != nil || len(got) != 3 {
		t.Fatalf("%d letters, %v", len(got), err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Remove(dir, s[0].Name); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := Segments(dir); err != nil || len(s) != 0 {
		t.Errorf("segments %+v, %v", s, err)
	}
	if err := Remove(dir, "../x.jsonl"); err == nil {
		t.Error("a file elsewhere is removed")
	}
	if s, err := Segments(dir + "/none"); err != nil || len(s) != 0 {
		t.Errorf("no directory: %+v, %v", s, err)
	}
}
