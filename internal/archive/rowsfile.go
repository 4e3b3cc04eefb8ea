package archive

import "os"

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
	n, err := f.file.WriteAt(packed, f.end)
	if err != nil {
		return extent{}, err
	}
	at := f.end
	f.end += int64(n)
	return extent{at, int64(n)}, nil
}

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
