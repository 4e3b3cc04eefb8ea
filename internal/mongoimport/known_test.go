package mongoimport

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// ids are n IDs as a pump of ours makes them, a second apart, sorted.
func ids(n int) (out []record.ID) {
	for i := range n {
		out = append(out, record.MakeID(noon.Add(time.Duration(i)*time.Second), uint64(i)*0x9e3779b97f4a7c15))
	}
	return out
}

// store is an archive of some of the IDs, imported so many at once.
func store(t *testing.T, lineage string, some []record.ID, at int) archive.Store {
	t.Helper()
	s, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	im := archive.NewImporter(archive.ImportOptions{Store: s, Layout: archive.Layout{Compression: archive.None}, Dir: t.TempDir(), From: Source,
		Shape: pipeline.RecordShape{Region: "eu"}, Stream: pipeline.StreamID{Source: "s", List: "l", Lineage: lineage}})
	for n, id := range some {
		sec := int64(id[0])<<24 | int64(id[1])<<16 | int64(id[2])<<8 | int64(id[3])
		if err := im.Add(&archive.Row{ID: id, Record: &record.Record{TimeStamp: time.Unix(sec, 0).UTC()}, Stream: pipeline.StreamID{Lineage: lineage}, Position: archive.ImportPosition(id)}); err != nil {
			t.Fatal(err)
		}
		if n%at == at-1 || n == len(some)-1 {
			if _, err := im.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

func TestKnown(t *testing.T) {
	all := ids(300)
	var some []record.ID
	for i, id := range all {
		if i%3 != 0 {
			some = append(some, id)
		}
	}
	for _, lineage := range []string{archive.ImportLineage("db.c"), "0123456789abcdef"} {
		k := newKnown(store(t, lineage, some, 40), "")
		for from := 0; from < len(all); from += 50 {
			page := all[from : from+50]
			found, err := k.among(t.Context(), noon.Truncate(time.Hour), page)
			if err != nil {
				t.Fatal(err)
			}
			for i, id := range page {
				if found[id] != ((from+i)%3 != 0) {
					t.Errorf("%s: document %d: %v", lineage, from+i, found[id])
				}
			}
		}
		if found, err := k.among(t.Context(), noon.Add(-48*time.Hour).Truncate(time.Hour), all); err != nil || len(found) != 0 {
			t.Errorf("another hour has %d, %v", len(found), err)
		}
	}
}

// joining is a store whose first object goes before it is read, as when it is joined.
type joining struct {
	archive.Store
	gone func()
}

func (s *joining) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if strings.HasSuffix(key, ".csv") && s.gone != nil {
		s.gone()
		s.gone = nil
	}
	return s.Store.Get(ctx, key)
}

func TestKnownWhileObjectsAreJoined(t *testing.T) {
	all := ids(100)
	s := store(t, archive.ImportLineage("db.c"), all, 30)
	hour := noon.Truncate(time.Hour)
	dir := t.TempDir()
	k := newKnown(&joining{s, func() {
		w := &archive.Rewriter{Store: s, Dir: dir}
		if err := w.Compact(t.Context(), "eu", hour, 1<<20, func(*archive.Manifest) {}); err != nil {
			t.Error(err)
		}
		h, err := archive.ReadHour(t.Context(), s, "", "eu", hour)
		if err != nil {
			t.Error(err)
		}
		for _, l := range h.Leftovers() {
			if err := s.Delete(t.Context(), l.Key); err != nil {
				t.Error(err)
			}
		}
	}}, "")
	if found, err := k.among(t.Context(), hour, all); err != nil || len(found) != 100 {
		t.Errorf("%d are known, %v", len(found), err)
	}
	h, err := archive.ReadHour(t.Context(), s, "", "eu", hour)
	if err != nil || len(h.Manifests) != 1 || h.Manifests[0].Imported != Source || h.Manifests[0].Complete() {
		t.Errorf("%v %v", fmt.Sprint(h.Manifests), err)
	}
}
