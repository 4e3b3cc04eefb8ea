package archive

import (
	"os"
	"slices"
)

// ownFiles is how many hours, of all ranges, have a file of their own at a time. Beyond it the hours of a range share one.
const ownFiles = 64

// handles counts the files that may still be opened for hours.
type handles struct{ left int }

// rowsFile is a temporary file of gathered rows, made with the first of them.
type rowsFile struct {
	file *os.File
	end  int64 // what lies behind it, of a write that failed, is written over
}

// append writes at the end.
func (f *rowsFile) append(dir string, packed []byte) (extent, error) {
	if f.file == nil {
		file, err := os.CreateTemp(dir, "rows-*")
		if err != nil {
			return extent{}, err
		}
		f.file = file
	}
	at := f.end
	for piece := range slices.Chunk(packed, writeSize) {
		if _, err := f.file.WriteAt(piece, at); err != nil {
			return extent{}, err
		}
		at += int64(len(piece))
	}
	whole := extent{f.end, int64(len(packed))}
	f.end = at
	return whole, nil
}

// writeSize is how much is written at a time. For a write of more the kernel (Linux 6.18, ext4) looks for large stretches
// of its memory: 312 MB took 52 to 560 ms of CPU time in writes of 1 MiB, 145 to 190 in those of 256 KiB, 62 to 73 in
// those of 128, 106 and more in those of 16.
const writeSize = 128 << 10

// finish cuts off what lies behind the end.
func (f *rowsFile) finish() error { return f.file.Truncate(f.end) }

func (f *rowsFile) discard() {
	if f.file != nil {
		discard(f.file)
	}
}

// discard closes and removes a temporary file. What fails is found and removed when the gatherer opens next.
func discard(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}
