package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"
	"testing/iotest"
)

// An object is its pieces in a row, in memory and in the file, however it is read; and what it holds has the hash and
// the size that its manifest says.
func TestObjectReadsAsOne(t *testing.T) {
	for _, kind := range []Compression{Zstd, Gzip, None} {
		t.Run(string(kind), func(t *testing.T) {
			s, m := newMemStore(), &registry{}
			o := small(t)
			o.Layout.Compression = kind
			g := gathererOver(t, s, o)
			mustAdd(t, g, batchOf(m, g, 1, 0, 40_000, sameHour))
			mustAdd(t, g, batchOf(m, g, 1, 40_000, 40_010, sameHour))
			r := g.ranges[testStream]
			rows := r.rows.hours[hourOf(nine)]
			if len(rows.parts) == 0 || len(rows.mem) == 0 {
				t.Fatal("the rows do not lie in memory and in a file")
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
