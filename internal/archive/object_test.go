package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// An object is its pieces in a row, in memory and in the file, however it is read; and what it holds has the hash and
// the size that its manifest says.
func TestObjectReadsAsOne(t *testing.T) {
	for _, c := range []struct {
		kind Compression
		own  bool // the hour has a file of its own
	}{{Zstd, true}, {Gzip, true}, {None, true}, {Zstd, false}, {Gzip, false}, {None, false}} {
		kind := c.kind
		t.Run(fmt.Sprint(kind, c.own), func(t *testing.T) {
			s, m := newMemStore(), &registry{}
			o := small(t)
			o.Layout.Compression = kind
			g := gathererOver(t, s, o)
			if !c.own {
				g.files.left = 0
			}
			mustAdd(t, g, batchOf(m, g, 1, 0, 20_000, sameHour))
			mustAdd(t, g, batchOf(m, g, 1, 20_000, 20_010, sameHour))
			r := g.ranges[testStream]
			rows := r.rows.hours[hourOf(nine)]
			if (rows.own != nil) != c.own || (len(rows.parts) > 0) == c.own || len(rows.mem) == 0 {
				t.Fatal("the rows do not lie in memory and in the file")
			}
			b, manifest, err := r.object(rows)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := io.ReadAll(b)
			if err != nil || int64(len(whole)) != b.size {
				t.Fatalf("%d of %d bytes, %v", len(whole), b.size, err)
			}
			if _, err := b.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(b, whole); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(t.TempDir(), "link")
			if err := b.Link(name); (err == nil) != c.own {
				t.Fatalf("link: %v", err)
			}
			if linked, err := os.ReadFile(name); c.own && (err != nil || !bytes.Equal(linked, whole)) {
				t.Fatalf("the file has %d bytes of %d, %v", len(linked), len(whole), err)
			}
			plain, err := decompress(kind, bytes.NewReader(whole))
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(plain)
			sum := sha256.Sum256(content)
			if err != nil || manifest.SHA256 != hex.EncodeToString(sum[:]) || manifest.Bytes != int64(len(content)) {
				t.Fatalf("%d bytes, the manifest says %d; %v", len(content), manifest.Bytes, err)
			}
		})
	}
}

// A file that is shorter than what was written to it is an error, not the object's end.
func TestShortFileIsNoObject(t *testing.T) {
	b := &body{}
	b.add(bytes.NewReader([]byte("abc")), 0, 10)
	if got, err := io.ReadAll(b); err != io.ErrUnexpectedEOF || string(got) != "abc" {
		t.Fatalf("%q, %v", got, err)
	}
}

// A write that failed half-way leaves nothing in the object, whoever the file belongs to.
func TestTornWriteIsWrittenOver(t *testing.T) {
	for _, files := range []int{1, 0} {
		b := buffer{dir: t.TempDir(), kind: None, pack: &packer{}, files: &handles{files}, limit: 1}
		b.add(run{hour: 1, rows: bytes.Repeat([]byte("a"), directWrite), n: 1})
		h := b.hours[1]
		f := &b.common
		if files > 0 {
			f = h.own
		}
		if _, err := f.file.WriteAt(bytes.Repeat([]byte("torn"), directWrite), f.end); err != nil {
			t.Fatal(err)
		}
		b.add(run{hour: 1, rows: bytes.Repeat([]byte("b"), directWrite), n: 1})
		r := &gathered{rows: b}
		object, _, err := r.object(h)
		if err != nil {
			t.Fatal(err)
		}
		want := string(AppendHeader(nil)) + strings.Repeat("a", directWrite) + strings.Repeat("b", directWrite)
		if got, err := io.ReadAll(object); err != nil || string(got) != want {
			t.Errorf("%d bytes, want %d; %v", len(got), len(want), err)
		}
		if info, err := f.file.Stat(); err != nil || files > 0 && info.Size() != int64(len(want)) {
			t.Errorf("the file has %d bytes, want %d; %v", info.Size(), len(want), err)
		}
		r.rows.drop()
		if left, err := os.ReadDir(b.dir); err != nil || len(left) > 0 || b.files.left != files {
			t.Errorf("%d files are left, %d of %d may be opened, %v", len(left), b.files.left, files, err)
		}
	}
}

// Beyond so many hours the rows of a range share a file, and what is in it is the same.
func TestManyHoursShareAFile(t *testing.T) {
	s, m := newMemStore(), &registry{}
	o := small(t)
	o.MaxBytes = 1 << 40
	g := gathererOver(t, s, o)
	g.files.left = 2
	at := func(i uint32) time.Time { return nine.Add(time.Duration(i%5) * time.Hour) }
	for i := uint32(0); i < 50_000; i += 5000 {
		mustAdd(t, g, batchOf(m, g, 1, i, i+5000, at))
		if err := g.ranges[testStream].rows.spillAll(); err != nil {
			t.Fatal(err)
		}
	}
	own := 0
	for _, h := range g.ranges[testStream].rows.hours {
		if h.own != nil {
			own++
		}
	}
	if own != 2 {
		t.Fatalf("%d hours have files of their own, want 2", own)
	}
	if _, err := g.Flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	wantPositions(t, s, 0, 50_000)
}

// Rows that a file does not take are in the hash once all the same, however often they are tried.
func TestHashOfRowsThatTheFileRefuses(t *testing.T) {
	b := buffer{dir: filepath.Join(t.TempDir(), "missing"), kind: None, pack: &packer{}, files: &handles{1}, limit: 1}
	want := string(AppendHeader(nil))
	for _, rows := range []string{strings.Repeat("many\n", directWrite), "few\n", strings.Repeat("again\n", directWrite), "few again\n", strings.Repeat("more\n", directWrite)} {
		b.add(run{hour: 1, rows: []byte(rows), n: 1})
		want += rows
		if b.relieve() == nil {
			t.Fatal("a directory that is not there takes files")
		}
	}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.add(run{hour: 1, rows: []byte("last\n"), n: 1})
	want += "last\n"
	r := &gathered{rows: b}
	sum := sha256.Sum256([]byte(want))
	for range 2 {
		object, m, err := r.object(b.hours[1])
		if err != nil || m.SHA256 != hex.EncodeToString(sum[:]) {
			t.Fatalf("hash %s, want %x; %v", m.SHA256, sum, err)
		}
		if got, err := io.ReadAll(object); err != nil || string(got) != want {
			t.Fatalf("%d bytes, want %d; %v", len(got), len(want), err)
		}
	}
	r.rows.drop()
}
