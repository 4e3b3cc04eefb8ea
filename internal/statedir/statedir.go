// Package statedir owns a process's state directory: locked against a second process, with the identity that lets a
// restarted process go on with its leases at once.
package statedir

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sluice/internal/crash"
)

// Dir is a state directory held by this process.
type Dir struct {
	Path  string
	Token string // owner of leases: 128 random bits in hex, the same after a restart
	Home  string // names the directory: 64 random bits in hex

	lock *os.File
}

// ErrLocked says that another process holds the directory.
var ErrLocked = errors.New("another process uses it: give each process a state directory of its own")

// Open makes the directory if need be, locks it, and reads or makes its identity.
func Open(path string) (*Dir, error) {
	lock, err := lockFile(path, "lock")
	if err != nil {
		return nil, err
	}
	d := &Dir{Path: path, lock: lock}
	if err := d.identity(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("state directory %s: %w", path, err)
	}
	return d, nil
}

// LockRetry keeps every other process from putting the directory's dead letters back, beside the one that holds the
// directory and writes them. The caller closes the file when it is done.
func LockRetry(path string) (*os.File, error) { return lockFile(path, "retry.lock") }

func lockFile(path, name string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("state directory %s: %w", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("state directory %s: %w", path, err)
	}
	return lock, nil
}

type identity struct {
	Token string `json:"token"`
	Home  string `json:"home"`
}

func (d *Dir) identity() error {
	name := filepath.Join(d.Path, "identity.json")
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return d.create(name)
	}
	if err != nil {
		return err
	}
	var id identity
	if err := json.Unmarshal(data, &id); err != nil || len(id.Token) != 32 || len(id.Home) != 16 {
		return fmt.Errorf("%s is damaged: remove it, and leases are taken anew after one lease", name)
	}
	d.Token, d.Home = id.Token, id.Home
	return nil
}

// create writes a new identity so that a crash leaves either none or a whole one.
func (d *Dir) create(name string) error {
	var b [24]byte
	rand.Read(b[:]) // never fails, by its documentation
	d.Token, d.Home = hex.EncodeToString(b[:16]), hex.EncodeToString(b[16:])
	data, err := json.Marshal(identity{d.Token, d.Home})
	if err != nil {
		return err
	}
	return d.write(name, data)
}

// write makes a file that is there as a whole or not at all.
func (d *Dir) write(name string, data []byte) error {
	f, err := os.CreateTemp(d.Path, "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	crash.Before("state/write")
	_, err = f.Write(data)
	crash.After("state/write")
	err = errors.Join(err, f.Chmod(0o600))
	crash.Before("state/sync")
	err = errors.Join(err, f.Sync(), f.Close())
	crash.After("state/sync")
	if err != nil {
		return err
	}
	crash.Before("state/rename")
	err = os.Rename(f.Name(), name)
	crash.After("state/rename")
	return err
}

// AdminToken is the console's token where none is configured, made once, and the file that keeps it.
func (d *Dir) AdminToken() (token, file string, err error) {
	file = filepath.Join(d.Path, "admin-token")
	data, err := os.ReadFile(file)
	if err == nil && len(data) > 0 {
		return strings.TrimSpace(string(data)), file, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", file, err
	}
	token = rand.Text()
	return token, file, d.write(file, []byte(token+"\n"))
}

// Letters is where the dead letters of a state directory lie.
func Letters(path string) string { return filepath.Join(path, "deadletters") }

// Spool is where batches lie that Redis had no room for.
func (d *Dir) Spool() string { return Spool(d.Path) }

// Spool is where the spool of a state directory lies.
func Spool(path string) string { return filepath.Join(path, "spool") }

// Scratch is a directory for what may be lost with the process; name tells its user.
func (d *Dir) Scratch(name string) string { return filepath.Join(d.Path, "scratch", name) }

// Close gives the directory free.
func (d *Dir) Close() error { return d.lock.Close() }
