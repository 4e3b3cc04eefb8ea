package archive

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"
)

// asked counts the requests that a Store of S3 would send: a LIST for each thousand names.
type asked struct {
	*memStore
	lists, indexes, manifests int
	keys                      int // that were listed
}

func (a *asked) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		n := 0
		defer func() { a.lists += 1 + max(0, n-1)/1000; a.keys += n }()
		for i, err := range a.memStore.List(ctx, prefix) {
			n++
			if !yield(i, err) {
				return
			}
		}
	}
}

func (a *asked) Dirs(ctx context.Context, prefix string) iter.Seq2[string, error] {
	a.lists++ // some 40 days
	return a.memStore.Dirs(ctx, prefix)
}

func (a *asked) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if strings.HasSuffix(key, manifestExt) {
		a.manifests++
	} else {
		a.indexes++
	}
	return a.memStore.Get(ctx, key)
}

// TestCatalogueOfAThousandHours: of days that are joined and indexed a reader of all asks for two lists and an index each and
// for no manifest, and a reader of one day for that day alone.
func TestCatalogueOfAThousandHours(t *testing.T) {
	s := newMemStore()
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const hours, each = 1000, 3
	days := 0
	for n := range hours {
		at := first.Add(time.Duration(n) * time.Hour)
		for o := range each {
			m := Manifest{Version: FormatVersion, Object: fmt.Sprintf("merged-%08d.csv.zst", o+1), Records: 10, SHA256: strings.Repeat("0", 64), First: at, Last: at,
				Compression: Zstd, Positions: []Range{}, Replaces: []string{}}
			line, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			m.Key = Partition("p/", "eu", at) + m.Object
			s.objects[m.Key] = memObject{body: []byte("x")}
			s.objects[m.ManifestKey()] = memObject{body: line}
		}
	}
	for at := first; at.Before(first.Add(hours * time.Hour)); at = at.AddDate(0, 0, 1) {
		if err := WriteIndex(t.Context(), s, "p/", "eu", at); err != nil {
			t.Fatal(err)
		}
		days++
	}
	read := func(from, to time.Time) (*asked, int) {
		under := &asked{memStore: s}
		records := 0
		for m, err := range List(t.Context(), NewIndexed(under, "p/", false), "p/", from, to) {
			if err != nil {
				t.Fatal(err)
			}
			records += int(m.Records)
		}
		return under, records
	}
	all, records := read(time.Time{}, time.Time{})
	if records != 10*each*hours || all.lists > 2+2*days || all.indexes > days || all.manifests > 0 {
		t.Errorf("all %d days: %d records, %d lists, %d indexes, %d manifests", days, records, all.lists, all.indexes, all.manifests)
	}
	day := first.AddDate(0, 0, 20)
	one, records := read(day, day.AddDate(0, 0, 1))
	if records != 10*each*24 || one.lists > 4 || one.keys > 2*each*24+1 || one.indexes > 1 || one.manifests > 0 {
		t.Errorf("one day: %d records, %d lists of %d names, %d indexes, %d manifests", records, one.lists, one.keys, one.indexes, one.manifests)
	}
}
