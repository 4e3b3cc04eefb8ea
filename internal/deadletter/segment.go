package deadletter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/crash"
)

// segmentTime is how a segment's name tells when it was begun.
const segmentTime = "20060102T150405.000000000Z"

// Segment is a file of dead letters.
type Segment struct {
	Name    string
	Begun   time.Time
	Written time.Time // when the last letter was added
	Bytes   int64
	Lines   int64 // letters, and notes that one was retried
	InUse   bool  // a process may still add to it
}

// ErrInUse says that a process may still add to a segment.
var ErrInUse = errors.New("a running process may still add to it")

// Segments lists the segments of a directory, oldest first. A directory that is not there has none.
func Segments(dir string) ([]Segment, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	slices.Sort(names)
	var out []Segment
	for _, name := range names {
		s, err := inspect(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list dead letters: %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}

func inspect(name string) (s Segment, err error) {
	f, err := os.Open(name)
	if err != nil {
		return s, err
	}
	defer f.Close() // with it the lock
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	s = Segment{Name: filepath.Base(name), Written: info.ModTime(), Bytes: info.Size()}
	if s.Begun, err = time.Parse(segmentTime, strings.TrimSuffix(s.Name, ".jsonl")); err != nil {
		s.Begun = s.Written // not one of ours; what it holds is read all the same
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.InUse = true
	}
	s.Lines, err = lines(f)
	return s, err
}

func lines(r io.Reader) (n int64, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		part, err := in.ReadSlice('\n')
		n += int64(bytes.Count(part, []byte{'\n'}))
		if err == io.EOF {
			return n, nil
		}
		if err != nil && err != bufio.ErrBufferFull {
			return n, err
		}
	}
}

// Remove deletes a segment that nobody adds to any more; one that is gone is removed. Its process may be told by nothing
// but this lock: letters added to a deleted file would be lost.
func Remove(dir, name string) error {
	if name != filepath.Base(name) || !strings.HasSuffix(name, ".jsonl") {
		return fmt.Errorf("%q is no segment of dead letters", name)
	}
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove dead letters: %w", err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("remove dead letters: %s: %w", name, ErrInUse)
	}
	crash.Before("dead-letters/remove")
	err = os.Remove(path)
	crash.After("dead-letters/remove")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove dead letters: %w", err)
	}
	return syncDir(dir)
}
