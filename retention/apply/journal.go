package apply

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/crash"
	"sluice/retention/plan"
)

// Dir is where a job keeps its own things: the journal, and what was verified. One job holds it at a time.
type Dir struct {
	path string
	lock *os.File
}

// ErrBusy says that another job runs.
var ErrBusy = errors.New("another retention job runs")

// OpenDir makes the directory if need be and locks it; the lock goes with the process.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("retention's directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("retention's directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: it holds %s", ErrBusy, f.Name())
		}
		return nil, fmt.Errorf("retention's directory: %w", err)
	}
	return &Dir{path: path, lock: f}, nil
}

// Scratch makes a directory in it for temporary files, without what a crash left there.
func (d *Dir) Scratch(name string) error {
	path := filepath.Join(d.path, name)
	crash.Before("retention/scratch")
	err := os.RemoveAll(path)
	crash.After("retention/scratch")
	if err == nil {
		err = os.Mkdir(path, 0o700)
	}
	if err != nil {
		return fmt.Errorf("retention's directory: %w", err)
	}
	return nil
}

// Close gives the directory free.
func (d *Dir) Close() error { return d.lock.Close() }

// maxJournal is where the journal is put aside; the one before that is dropped.
const maxJournal = 16 << 20

// Entry is a line of the journal.
type Entry struct {
	Time    time.Time    `json:"time"`
	Run     string       `json:"run"`
	Event   string       `json:"event"` // begin, done, failed
	Action  *plan.Action `json:"action"`
	Records int64        `json:"records,omitempty"` // that went
	Error   string       `json:"error,omitempty"`
}

// Journal is what was done, as JSON lines.
type Journal struct {
	file *os.File
	run  string
}

// Journal opens the journal for a run.
func (d *Dir) Journal(run string) (*Journal, error) {
	name := filepath.Join(d.path, "journal.jsonl")
	if info, err := os.Stat(name); err == nil && info.Size() > maxJournal {
		crash.Before("retention/journal-aside")
		err = os.Rename(name, name+".1")
		crash.After("retention/journal-aside")
		if err != nil {
			return nil, fmt.Errorf("put the journal aside: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return &Journal{file: f, run: run}, nil
}

// Note writes an entry; it is on the disk when this returns.
func (j *Journal) Note(e Entry) error {
	e.Time, e.Run = time.Now().UTC(), j.run
	line, err := json.Marshal(e)
	if err == nil {
		crash.Before("retention/journal")
		_, err = j.file.Write(append(line, '\n'))
		crash.After("retention/journal")
	}
	if err == nil {
		crash.Before("retention/journal-sync")
		err = j.file.Sync()
		crash.After("retention/journal-sync")
	}
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// Close closes the journal.
func (j *Journal) Close() error { return j.file.Close() }

// Verified remembers which objects of the archive were found to be right, so that a large archive is read once.
type Verified struct {
	mu   sync.Mutex
	seen map[string]bool
	file *os.File
}

// maxVerified bounds what is remembered; beyond it all is forgotten, which costs a reading.
const maxVerified = 1 << 20

// verified is a line of what is remembered.
type verified struct {
	Key      string    `json:"key"`
	SHA      string    `json:"sha256"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

func (v verified) id() string {
	return fmt.Sprint(v.Key, " ", v.SHA, " ", v.Size, " ", v.Modified.UnixNano())
}

// Verified reads what is remembered.
func (d *Dir) Verified() (*Verified, error) {
	name := filepath.Join(d.path, "verified.jsonl")
	v := &Verified{seen: map[string]bool{}}
	if err := v.read(name); err != nil {
		return nil, err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if len(v.seen) > maxVerified {
		clear(v.seen)
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open what was verified: %w", err)
	}
	v.file = f
	return v, nil
}

func (v *Verified) read(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what was verified: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		var l verified
		if json.Unmarshal(in.Bytes(), &l) == nil { // a line that a crash cut off counts for nothing
			v.seen[l.id()] = true
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read what was verified: %w", err)
	}
	return nil
}

// Has tells whether an object with these properties was verified.
func (v *Verified) Has(key, sha string, size int64, modified time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen[verified{key, sha, size, modified.UTC()}.id()]
}

// Add remembers an object.
func (v *Verified) Add(key, sha string, size int64, modified time.Time) error {
	l := verified{key, sha, size, modified.UTC()}
	line, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("note what was verified: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen[l.id()] = true
	crash.Before("retention/verified")
	_, err = v.file.Write(append(append([]byte{'\n'}, line...), '\n')) // apart from a line that a crash cut off
	crash.After("retention/verified")
	if err != nil {
		return fmt.Errorf("note what was verified: %w", err)
	}
	return nil
}

// Close closes the file.
func (v *Verified) Close() error { return v.file.Close() }
