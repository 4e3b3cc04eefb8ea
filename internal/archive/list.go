package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Hour is what lies in the directory of one region and hour.
type Hour struct {
	Region    string
	Time      time.Time
	Manifests []*Manifest // of objects that count, sorted by name
	Replaced  []*Manifest // of objects that a compaction replaced: they count no more
	Orphans   []Info      // objects without a manifest: not there yet, or left behind by a crash
	Objects   []Info      // all objects, manifests not among them
	Listed    []Info      // the manifests' own objects
	Broken    []Broken    // manifests that cannot be read: what they describe is unknown, perhaps damaged
}

// Broken is a manifest that cannot be read, and why.
type Broken struct {
	Key string
	Err error
}

// manifestReads is how many manifests are read at once.
const manifestReads = 8

// Hours lists the archive below prefix, region by region and hour by hour, as far as hours touch [from, to). A zero from
// or to is no bound. It ends after its first error.
func Hours(ctx context.Context, s Store, prefix string, from, to time.Time) iter.Seq2[Hour, error] {
	return func(yield func(Hour, error) bool) {
		err := walk(ctx, s, prefix, from, to, yield)
		if err != nil && !errors.Is(err, errStopped) {
			yield(Hour{}, fmt.Errorf("list the archive: %w", err))
		}
	}
}

// errStopped ends a walk whose consumer wants no more.
var errStopped = errors.New("stopped")

func walk(ctx context.Context, s Store, prefix string, from, to time.Time, yield func(Hour, error) bool) error {
	for region, err := range s.Dirs(ctx, prefix+"region=") {
		if err != nil {
			return err
		}
		days := prefix + "region=" + region + "/dt="
		for day, err := range s.Dirs(ctx, days) {
			if err != nil {
				return err
			}
			t, bad := time.Parse(time.DateOnly, day)
			if bad != nil || !touches(t, 24*time.Hour, from, to) {
				continue
			}
			if err := walkDay(ctx, s, days+day+"/", region, from, to, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

func touches(t time.Time, span time.Duration, from, to time.Time) bool {
	return (to.IsZero() || t.Before(to)) && (from.IsZero() || t.Add(span).After(from))
}

// walkDay lists a day's objects in one go and yields them by hour.
func walkDay(ctx context.Context, s Store, dir, region string, from, to time.Time, yield func(Hour, error) bool) error {
	h := Hour{Region: unescapeLabel(region)}
	flush := func() error {
		if len(h.Objects) == 0 && len(h.Listed) == 0 {
			return nil
		}
		if err := h.read(ctx, s); err != nil {
			return err
		}
		if !yield(h, nil) {
			return errStopped
		}
		return nil
	}
	for info, err := range s.List(ctx, dir) {
		if err != nil {
			return err
		}
		t, bad := PartitionTime(info.Key)
		if bad != nil || !touches(t, time.Hour, from, to) {
			continue
		}
		if !t.Equal(h.Time) {
			if err := flush(); err != nil {
				return err
			}
			h = Hour{Region: h.Region, Time: t}
		}
		h.add(info)
	}
	return flush()
}

func (h *Hour) add(i Info) {
	if strings.HasSuffix(i.Key, manifestExt) {
		h.Listed = append(h.Listed, i)
	} else {
		h.Objects = append(h.Objects, i)
	}
}

// read reads the hour's manifests and sorts out what counts.
func (h *Hour) read(ctx context.Context, s Store) error {
	read := make([]*Manifest, len(h.Listed))
	broken := make([]error, len(h.Listed))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(manifestReads)
	for i := range h.Listed {
		group.Go(func() (err error) {
			read[i], err = ReadManifest(ctx, s, h.Listed[i].Key)
			switch {
			case errors.Is(err, ErrNotFound):
				return nil // deleted since it was listed
			case errors.Is(err, ErrManifest):
				broken[i] = err
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, err := range broken {
		if err != nil {
			h.Broken = append(h.Broken, Broken{Key: h.Listed[i].Key, Err: err})
		}
	}
	read = slices.DeleteFunc(read, func(m *Manifest) bool { return m == nil })
	described := make(map[string]bool)
	for _, m := range read {
		described[m.Key] = true
	}
	h.sort(read)
	for _, o := range h.Objects {
		if !described[o.Key] {
			h.Orphans = append(h.Orphans, o)
		}
	}
	return nil
}

// sort tells manifests that count from those that do not. What stands for others has a higher number than they, and only
// one that counts itself takes others away: a frozen process may send a manifest, late, whose object was given up or
// replaced since, and what it names is then not in any object that counts. Whatever stands for it names all that it
// holds itself.
func (h *Hour) sort(read []*Manifest) {
	slices.SortFunc(read, func(a, b *Manifest) int {
		return cmp.Or(cmp.Compare(mergedNumber(b.Name()), mergedNumber(a.Name())), cmp.Compare(len(b.Replaces), len(a.Replaces)),
			cmp.Compare(a.Object, b.Object))
	})
	replaced := make(map[string]bool)
	for _, m := range read {
		if replaced[m.Name()] || m.isVoid() {
			h.Replaced = append(h.Replaced, m)
			continue
		}
		h.Manifests = append(h.Manifests, m)
		for _, name := range m.Replaces {
			replaced[name] = true
		}
	}
	slices.SortFunc(h.Manifests, func(a, b *Manifest) int { return cmp.Compare(a.Object, b.Object) })
}

// List names the objects that count and may hold records with from <= time < to, by region, hour and name. A manifest
// that cannot be read ends it.
func List(ctx context.Context, s Store, prefix string, from, to time.Time) iter.Seq2[*Manifest, error] {
	return func(yield func(*Manifest, error) bool) {
		for h, err := range Hours(ctx, s, prefix, from, to) {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(h.Broken) > 0 {
				yield(nil, h.Broken[0].Err)
				return
			}
			for _, m := range h.Manifests {
				if !to.IsZero() && !m.First.Before(to) || !from.IsZero() && m.Last.Before(from) {
					continue
				}
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}
