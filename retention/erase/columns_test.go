package erase

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"sluice/internal/archive"
	"sluice/internal/archive/columnar"
	"sluice/internal/archive/dirstore"
	"sluice/retention/plan"
)

// orgs are the organisations in each Parquet file of an archive.
func orgs(t *testing.T, s archive.Store) (out []string) {
	t.Helper()
	for i, err := range s.List(t.Context(), columnar.Prefix("")) {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(i.Key, ".parquet") {
			continue
		}
		raw, err := s.Get(t.Context(), i.Key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(raw)
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Close()
		r := parquet.NewReader(bytes.NewReader(b))
		leaf, _ := r.Schema().Lookup("org_id")
		rows := make([]parquet.Row, 16)
		n, err := r.ReadRows(rows)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		names := ""
		for _, row := range rows[:n] {
			names += row[leaf.ColumnIndex].String() + " "
		}
		out = append(out, strings.TrimSpace(names))
		_ = r.Close()
	}
	return out
}

// TestParquetIsErased: with the rows go those of the Parquet file, also when a crash came between, and a lock on that file holds it back.
func TestParquetIsErased(t *testing.T) {
	root := t.TempDir()
	s, err := dirstore.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, 1, "gone", "kept")
	table := columnar.Table{Store: s, Dir: t.TempDir()}
	if err := table.Write(t.Context(), "eu", noon, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	p, err := New(Person{Org: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	a := &Archive{Name: "files", Store: s, Dir: t.TempDir(), Person: p}
	planned := func(verbs ...plan.Verb) []plan.Action {
		t.Helper()
		as, err := a.Plan(t.Context())
		if err != nil || len(as) != len(verbs) {
			t.Fatalf("%+v, %v; want %q", as, err, verbs)
		}
		for i := range as {
			if as[i].Verb != verbs[i] {
				t.Fatalf("%+v, want %q", as, verbs)
			}
		}
		return as
	}
	a.Locked = func(_ context.Context, key string) (string, error) {
		if strings.HasSuffix(key, ".parquet") {
			return "locked", nil
		}
		return "", nil
	}
	if as := planned(plan.Erase); !as[0].Held() {
		t.Errorf("a lock on the Parquet file does not hold it back: %+v", as)
	}
	a.Locked = nil
	as := planned(plan.Erase)
	// as after a crash between the objects and the Parquet file
	if err := a.rewriter().Rewrite(t.Context(), "eu", noon, func(r *archive.Row) archive.Fate { return a.judge(r, new([]string)) }, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	again := planned(plan.WriteParquet)
	for range 2 {
		if err := a.Do(t.Context(), &again[0], func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Do(t.Context(), &as[0], func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if got := orgs(t, s); len(got) != 2 || got[1] != "kept" {
		t.Errorf("files have %q", got)
	}
	planned()
	for i, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-2 * archive.Grace)
		if err := os.Chtimes(filepath.Join(root, i.Key), old, old); err != nil {
			t.Fatal(err)
		}
	}
	sweep := planned(plan.DeleteReplaced)
	if err := a.Do(t.Context(), &sweep[0], func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if got := orgs(t, s); len(got) != 1 || got[0] != "kept" {
		t.Errorf("swept: files have %q", got)
	}
	planned()
	put(t, s, 2, "gone", "kept")
	act := planned(plan.Erase)
	if err := a.Do(t.Context(), &act[0], func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if got := orgs(t, s); got[len(got)-1] != "kept kept" {
		t.Errorf("files have %q", got)
	}
}
