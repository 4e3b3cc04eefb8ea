package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errNoMount says that a case cannot be carried out here.
var errNoMount = errors.New("a file system of a few megabytes cannot be mounted here: run it as root, or as " +
	"`unshare -Urm go run ./benchmarks/soak ...`")

// mountSmall puts the pump's disk on a tmpfs of its own, if the shape says so. It is a real file system that is really
// full or read-only.
func (w *world) mountSmall(p *pump) error {
	if w.opts.shape.small == 0 {
		return nil
	}
	options := fmt.Sprintf("size=%d", w.opts.shape.small)
	for _, dir := range []string{p.disk, filepath.Join(p.state(), "spool"), filepath.Join(p.state(), "deadletters"), p.files()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := syscall.Mount("soak", dir, "tmpfs", 0, options); err != nil {
			return errors.Join(errNoMount, err)
		}
		p.mounts = append(p.mounts, dir)
	}
	return nil
}

func (p *pump) unmount() (err error) {
	for i := len(p.mounts) - 1; i >= 0; i-- {
		err = errors.Join(err, syscall.Unmount(p.mounts[i], syscall.MNT_DETACH))
	}
	p.mounts = nil
	return err
}

// fill takes all room of the file system that dir is on; what it returns gives it back.
func fill(dir string) (empty func() error, err error) {
	name := filepath.Join(dir, ".filler")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	for chunk := 1 << 20; chunk > 0; chunk /= 2 {
		for err == nil {
			_, err = f.Write(make([]byte, chunk))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return nil, errors.Join(err, f.Close())
		}
		err = nil
	}
	return func() error { return os.Remove(name) }, f.Close()
}

// remount makes the file system that is mounted at dir read-only, or writable again. While a file is open for writing
// the kernel refuses the first.
func (w *world) remount(dir string, readOnly bool) error {
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	return syscall.Mount("soak", dir, "tmpfs", flags, fmt.Sprintf("size=%d", w.opts.shape.small))
}
