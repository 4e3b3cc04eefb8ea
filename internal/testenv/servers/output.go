package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// reporter prints progress lines from several goroutines.
type reporter struct {
	mu  sync.Mutex
	out io.Writer
}

func (r *reporter) say(name, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Progress is a courtesy: there is nobody to tell that it failed.
	_, _ = fmt.Fprintf(r.out, "servers: %-10s %s\n", name, fmt.Sprintf(format, args...))
}

// writeFile writes text to path in one step, so that whoever waits for the
// file never reads half of it.
func writeFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".servers-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
