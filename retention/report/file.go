package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sluice/internal/crash"
)

// Path is where the report of a state directory lies.
func Path(stateDir string) string { return filepath.Join(stateDir, "retain", "report.json") }

// Write replaces the report, as a whole or not at all. One process at a time writes it: the caller holds retention's
// directory.
func Write(path string, r *Report) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := scratch(path+".new", data); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	crash.Before("retention/report")
	err = os.Rename(path+".new", path)
	crash.After("retention/report")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func scratch(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// maxReport bounds what is read: some stores with a year of samples are some 200 kB.
const maxReport = 16 << 20

// Read reads the report; nil if there is none.
func Read(path string) (*Report, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the report of retention: %w", err)
	}
	if info.Size() > maxReport {
		return nil, fmt.Errorf("read the report of retention: %s has %d bytes", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the report of retention: %w", err)
	}
	r := new(Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read the report of retention: %w", err)
	}
	return r, nil
}

// File reads a report again only when it changed. It is safe for concurrent use.
type File struct {
	Path string

	mu   sync.Mutex
	at   time.Time
	size int64
	last *Report
}

// Read is the last report; nil if there is none.
func (f *File) Read() (*Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, statErr := os.Stat(f.Path)
	if statErr == nil && f.last != nil && info.ModTime().Equal(f.at) && info.Size() == f.size {
		return f.last, nil
	}
	r, err := Read(f.Path)
	if err != nil || r == nil {
		f.last = nil
		return nil, err
	}
	if statErr == nil { // of the file before it, perhaps: then it is read once more
		f.last, f.at, f.size = r, info.ModTime(), info.Size()
	}
	return r, nil
}
