package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

var update = flag.Bool("update", false, "write the fixture of the present format version, if it is not there")

// fixtures has an archive of each version of the format, as that version wrote it: never changed, only added to. Beside each lies
// the hash of what its rows must be read as.
const fixtures = "testdata/format"

// TestArchivesOfEveryVersionAreReplayed: whatever changes, what was written stays readable, as it was meant.
func TestArchivesOfEveryVersionAreReplayed(t *testing.T) {
	current := filepath.Join(fixtures, "v1")
	if _, err := os.Stat(current); err != nil && *update {
		writeFixture(t, current)
	}
	versions, err := filepath.Glob(filepath.Join(fixtures, "v*"))
	if err != nil || len(versions) != format.FormatVersion {
		t.Fatalf("there are fixtures %q; every version up to %d needs one (go test -update writes that of the present)", versions, format.FormatVersion)
	}
	for _, dir := range versions {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join(dir, "rows.sha256"))
			if err != nil {
				t.Fatal(err)
			}
			a := copied(t, dir)
			if got := seen(t, a); got != strings.TrimSpace(string(want)) {
				t.Errorf("rows are read as %s, want %s", got, want)
			}
			f := &fake{}
			err = Run(t.Context(), optionsFor(a, f, func(Place, int64) error { return nil }, func(u *Unreadable) { t.Error(u) }), Place{})
			if err != nil || len(f.has) != len(fixtureTexts)*3 {
				t.Errorf("%d records are replayed, %v", len(f.has), err)
			}
			for id, n := range f.has {
				if n != 1 {
					t.Errorf("record %s comes %d times", id, n)
				}
			}
		})
	}
}

// copied is the fixture in a directory that may be written to.
func copied(t *testing.T, dir string) Archive {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	store, err := dirstore.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	return Archive{Store: store}
}

// seen is the hash of every row, as JSON, in the order of reading.
func seen(t *testing.T, a Archive) string {
	t.Helper()
	sum := sha256.New()
	var enc format.Encoder
	for h, err := range a.Hours(t.Context(), time.Time{}, time.Time{}) {
		if err != nil || len(h.Broken) > 0 {
			t.Fatal(err, h.Broken)
		}
		for _, m := range h.Manifests {
			if err := a.WholeRows(t.Context(), m, func(r *format.Row) error {
				sum.Write(enc.AppendJSON(nil, r))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

var fixtureTexts = []string{"", "plain", "a,b", `"q"`, "line\nfeed", "\x00\xff", `back\slash`, "日本", "=1+1", "\u2028"}

// writeFixture writes objects of all compressions, in two hours, some joined, with what replaced them beside.
func writeFixture(t *testing.T, dir string) {
	t.Helper()
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 9, 59, 59, 999_999_000, time.UTC)
	for n, kind := range []format.Compression{format.Zstd, format.Gzip, format.Zstd} { // the two of one kind are joined
		g := format.NewGatherer(format.Options{Sink: "a", Dir: t.TempDir(), MaxBytes: 1 << 20, MaxAge: time.Hour,
			Layout: format.Layout{Compression: kind}, Log: slog.New(slog.DiscardHandler)})
		if err := g.OpenStore(store); err != nil {
			t.Fatal(err)
		}
		b := pipeline.Batch{Stream: pipeline.StreamID{Source: "main", List: "l", Lineage: strings.Repeat("0123456789abcdef", 2)}, Members: &members{},
			Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1700000000000, Rand: 7}, Number: uint32(n + 1)}, To: uint32(len(fixtureTexts)),
			Shape: pipeline.Shape{Key: "k", Record: pipeline.RecordShape{Region: "eu-west-1"}}}
		for i, s := range fixtureTexts {
			r := &record.Record{TimeStamp: at.Add(time.Duration(i) * 200 * time.Nanosecond), OrgID: "org", APIID: s, Path: "/" + s, RawPath: s, APIKey: s,
				Tags: []string{s, "t"}, ResponseCode: int32(200 + i), RawRequest: s, ExpireAt: at.Add(time.Hour)}
			r.Geo.Location.Latitude = 1.5
			b.Items = append(b.Items, pipeline.Item{Index: uint32(i), ID: record.MakeID(r.TimeStamp, uint64(n*100+i)), Record: r})
		}
		if _, err := g.Add(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Flush(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	a := Archive{Store: store}
	for h, err := range a.Hours(t.Context(), time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		w := format.Rewriter{Store: store, Dir: t.TempDir()}
		if err := w.Compact(t.Context(), h.Region, h.Time, 1<<20, func(*format.Manifest) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, ".tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.sha256"), []byte(seen(t, a)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
