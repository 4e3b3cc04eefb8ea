package archive

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// Grace is how long what was replaced stays: readers that listed it before may still be reading, and a process that was
// frozen may still send it.
const Grace = time.Hour

// Leftover is an object that counts no more, or its manifest.
type Leftover struct {
	Info
	By    *Manifest // that stands for it
	Since time.Time // both are at least as old as this: it may be deleted a Grace later
}

// Leftovers are the files of an hour that another object stands for, manifests first: of an object without one nobody
// thinks that it is there.
func (h *Hour) Leftovers() (out []Leftover) {
	if len(h.Broken) > 0 {
		return nil
	}
	written := map[string]time.Time{}
	for _, i := range h.Listed {
		written[i.Key] = i.Modified
	}
	by := map[string]*Manifest{}
	for _, m := range h.Manifests {
		for _, name := range m.Replaces {
			by[name] = m
		}
	}
	for _, files := range [][]Info{h.Listed, h.Objects} {
		for _, f := range files {
			name, _, _ := strings.Cut(path.Base(f.Key), ".")
			m := by[name]
			if m == nil || m.Name() == name {
				continue
			}
			since := written[m.ManifestKey()]
			if f.Modified.After(since) {
				since = f.Modified
			}
			out = append(out, Leftover{f, m, since})
		}
	}
	slices.SortStableFunc(out, func(a, b Leftover) int { return cmp.Compare(rank(a.Key), rank(b.Key)) })
	return out
}

func rank(key string) int {
	if strings.HasSuffix(key, manifestExt) {
		return 0
	}
	return 1
}
