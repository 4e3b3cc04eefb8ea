package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/crash"
)

// Checkpoint keeps how far a replay has come in a file, so that it goes on there after a crash. One process at a time
// holds it.
type Checkpoint struct {
	name  string
	lock  *os.File
	saved time.Time
}

// ErrRunning says that another process is at the same replay.
var ErrRunning = errors.New("the same replay is running already")

// OpenCheckpoint takes the checkpoint of a job; dir is made if it is not there. The caller closes it.
func OpenCheckpoint(dir, job string) (*Checkpoint, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the state of a replay: %w", err)
	}
	name := filepath.Join(dir, job+".json")
	lock, err := os.OpenFile(name+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the state of a replay: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrRunning
		}
		return nil, fmt.Errorf("keep the state of a replay: %w", err)
	}
	return &Checkpoint{name: name, lock: lock}, nil
}

// Load reads what was saved last into state, and tells whether there was anything.
func (c *Checkpoint) Load(state any) (bool, error) {
	data, err := os.ReadFile(c.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, state)
	}
	if err != nil {
		return false, fmt.Errorf("read the state of a replay from %s: %w; remove it to begin anew", c.name, err)
	}
	return true, nil
}

// saveEvery is how often a checkpoint is written at most: what is repeated after a crash has no second effect.
const saveEvery = time.Second

// Save writes the state, as a whole or not at all, when the last time is long enough ago or now is set.
func (c *Checkpoint) Save(state any, now bool) error {
	if !now && time.Since(c.saved) < saveEvery {
		return nil
	}
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("keep the state of a replay: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(c.name), "new-*")
	if err != nil {
		return fmt.Errorf("keep the state of a replay: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when it was renamed
	crash.Before("replay/write")
	_, err = f.Write(data)
	crash.After("replay/write")
	crash.Before("replay/sync")
	err = errors.Join(err, f.Sync(), f.Close())
	crash.After("replay/sync")
	if err == nil {
		crash.Before("replay/rename")
		err = os.Rename(f.Name(), c.name)
		crash.After("replay/rename")
	}
	if err != nil {
		return fmt.Errorf("keep the state of a replay: %w", err)
	}
	c.saved = time.Now()
	return nil
}

// Remove forgets the state.
func (c *Checkpoint) Remove() error {
	crash.Before("replay/forget")
	err := os.Remove(c.name)
	crash.After("replay/forget")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the state of a replay: %w", err)
	}
	return nil
}

// Close gives the checkpoint free.
func (c *Checkpoint) Close() error { return c.lock.Close() }
