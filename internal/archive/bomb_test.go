package archive

import (
	"bytes"
	"errors"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// bomb is an object of a few hundred kilobytes that unfolds to size bytes of fill behind a header.
func bomb(t *testing.T, kind Compression, fill string, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	if kind == Gzip {
		w, err = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	} else {
		w, err = zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Write(AppendHeader(nil)); err != nil {
		t.Fatal(err)
	}
	piece := []byte(strings.Repeat(fill, 1<<20/len(fill)))
	for n := 0; n < size; n += len(piece) {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBombsAreBounded: an object that unfolds to half a gigabyte, under a manifest that agrees with it, is refused with
// the memory of a few rows.
func TestBombsAreBounded(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	const size = 512 << 20
	for _, kind := range []Compression{Zstd, Gzip} {
		for name, fill := range map[string]string{"one endless row": "a", "rows of nothing": "\n", "rows of commas": strings.Repeat(",", 50) + "\n"} {
			data := bomb(t, kind, fill, size)
			m := &Manifest{Compression: kind, Bytes: size + int64(len(AppendHeader(nil))), Records: 1 << 40, SHA256: strings.Repeat("0", 64)}
			r, err := NewReader(bytes.NewReader(data), m)
			if err != nil {
				t.Fatal(err)
			}
			before := allocated()
			for err == nil {
				_, err = r.Next()
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
			if used := allocated() - before; used > 3*maxLine {
				t.Errorf("%s, %s: %d MiB were allocated for an object of %d kB", kind, name, used>>20, len(data)>>10)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestWindowIsBounded: a zstd frame may ask for a window of its own size; ours ask for a megabyte.
func TestWindowIsBounded(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(2*maxWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 3*maxWindow); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = NewReader(&out, &Manifest{Compression: Zstd, Bytes: 3 * maxWindow, Records: 1})
	if !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("a window of %d bytes is taken: %v", 2*maxWindow, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
