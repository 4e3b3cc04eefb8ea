package archive

import (
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression names how objects are compressed.
type Compression string

// The compressions.
const (
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
	None Compression = "none"
)

// Valid tells whether c is one of the compressions.
func (c Compression) Valid() bool { return slices.Contains([]Compression{Zstd, Gzip, None}, c) }

// Ext is how the names of objects end.
func (c Compression) Ext() string {
	switch c {
	case Zstd:
		return ".csv.zst"
	case Gzip:
		return ".csv.gz"
	}
	return ".csv"
}

// maxWindow bounds what a zstd frame may make a reader hold; our own frames ask for 8 MiB at most.
const maxWindow = 64 << 20

// compressor makes objects one after another with a single encoder, which exists while objects are made only: an open
// zstd encoder holds some 18 MiB.
type compressor struct {
	level int // 0: the default of the kind
	zstd  *zstd.Encoder
}

// writer compresses to w what is written until it is closed.
func (c *compressor) writer(kind Compression, w io.Writer) (io.WriteCloser, error) {
	switch kind {
	case Zstd:
		return c.zstdWriter(w)
	case Gzip:
		level := gzip.DefaultCompression
		if c.level > 0 {
			level = min(c.level, gzip.BestCompression)
		}
		return gzip.NewWriterLevel(w, level)
	case None:
		return nopCloser{w}, nil
	}
	return nil, fmt.Errorf("%q is not a compression", kind)
}

func (c *compressor) zstdWriter(w io.Writer) (io.WriteCloser, error) {
	if c.zstd != nil {
		c.zstd.Reset(w)
		return c.zstd, nil
	}
	level := zstd.SpeedDefault
	if c.level > 0 {
		level = zstd.EncoderLevelFromZstd(c.level)
	}
	enc, err := zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	c.zstd = enc
	return enc, nil
}

// decompress reads what a writer of that kind wrote, within bounded memory.
func decompress(kind Compression, r io.Reader) (io.ReadCloser, error) {
	switch kind {
	case Zstd:
		dec, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return dec.IOReadCloser(), nil
	case Gzip:
		return gzip.NewReader(r)
	case None:
		return io.NopCloser(r), nil
	}
	return nil, fmt.Errorf("%q is not a compression", kind)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
