package csv

import (
	"context"
	stdcsv "encoding/csv"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSink(t testing.TB, c Config) *Sink {
	t.Helper()
	s, err := New("files", c, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	for _, kind := range []archive.Compression{archive.Zstd, archive.Gzip, archive.None} {
		t.Run(string(kind), func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Harness {
				c := Defaults()
				c.Dir, c.Compression, c.Formulas = filepath.Join(t.TempDir(), "archive"), string(kind), kind == archive.None
				return sinktest.Harness{
					Open:    func(t testing.TB) pipeline.Sink { return newSink(t, c) },
					Effects: func(t testing.TB) map[string]int { return effects(t, c.Dir) },
					Key:     sinktest.PositionKey,
				}
			})
		})
	}
}

func effects(t testing.TB, dir string) map[string]int {
	t.Helper()
	rows := map[string]int{}
	if _, err := os.Stat(dir); err != nil {
		return rows
	}
	store, err := dirstore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range archive.List(t.Context(), store, "", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := archive.Open(t.Context(), store, m)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			rows[row.Stream.Lineage+" "+row.Position.String()]++
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// TestFilesAreForOthers reads what the sink wrote with tools that know nothing of it.
func TestFilesAreForOthers(t *testing.T) {
	c := Defaults()
	c.Dir, c.Compression = t.TempDir(), string(archive.None)
	s := newSink(t, c)
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := sinktest.NewList("analytics-tyk-system-analytics_0")
	items := sinktest.Captured(t, record.Msgpack)
	l.Add(items)
	if err := sinktest.NewDriver(s).Deliver(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	byHour := map[string]int{}
	for _, it := range items {
		byHour[it.Record.TimeStamp.UTC().Format("region=test/dt=2006-01-02/hour=15")]++
	}
	rows := 0
	err := filepath.WalkDir(c.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(name, ".manifest.json") {
			return nil
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		cells, err := stdcsv.NewReader(f).ReadAll()
		if err != nil {
			return err
		}
		hour, err := filepath.Rel(c.Dir, filepath.Dir(name))
		if err != nil {
			return err
		}
		if got := len(cells) - 1; got != byHour[hour] {
			t.Errorf("%s has %d rows, want %d", hour, got, byHour[hour])
		}
		rows += len(cells) - 1
		return nil
	})
	if err != nil || rows != len(items) {
		t.Errorf("%d rows of %d records, %v", rows, len(items), err)
	}
}

// TestHashIsThatOfTheContent: what a manifest says is what anybody finds with a shell.
func TestHashIsThatOfTheContent(t *testing.T) {
	c := Defaults()
	c.Dir, c.Compression = t.TempDir(), string(archive.Gzip)
	s := newSink(t, c)
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := sinktest.NewList("analytics-tyk-system-analytics_0")
	l.Add(sinktest.Captured(t, record.Protobuf)[:800])
	if err := sinktest.NewDriver(s).Deliver(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	store, err := dirstore.Open(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m, err := range archive.List(t.Context(), store, "", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `gzip -dc "$1" | sha256sum; gzip -dc "$1" | wc -c`, "sh",
			filepath.Join(c.Dir, m.Key)).Output()
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(out))
		if len(fields) != 3 || fields[0] != m.SHA256 || fields[2] != strconv.FormatInt(m.Bytes, 10) {
			t.Errorf("gzip and sha256sum say %q, the manifest %s and %d", fields, m.SHA256, m.Bytes)
		}
	}
	if n == 0 {
		t.Error("no objects")
	}
}

func TestConfig(t *testing.T) {
	c := Defaults()
	if p := c.Validate(); len(p) != 1 || p[0].Key != "dir" {
		t.Errorf("without a directory: %+v", p)
	}
	c.Dir = "archive"
	if p := c.Validate(); len(p) > 0 {
		t.Errorf("defaults: %+v", p)
	}
	abs := c
	abs.Dir, _ = filepath.Abs(c.Dir)
	if c.Target() != abs.Target() {
		t.Errorf("one directory, two targets: %q and %q", c.Target(), abs.Target())
	}
	s := newSink(t, c)
	if !s.Local() || s.Takes(pipeline.Uptime) || !s.Takes(pipeline.Analytics) {
		t.Error("the sink is local and takes analytics records")
	}
	if _, err := New("files", c, "", nil); err == nil {
		t.Error("a sink without a directory for temporary files is made")
	}
}
