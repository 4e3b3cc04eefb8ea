package mongoimport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/internal/archive"
	"sluice/internal/record"
)

// Bounds of what is remembered of the archive.
const (
	maxKnown = 3_000_000   // IDs, of 12 bytes each
	listedIn = time.Minute // after which an hour is listed anew: a pump may add to it
)

// known tells which records an archive has, by their IDs. It is for one goroutine.
type known struct {
	store  archive.Store
	prefix string

	hours   map[time.Time]*knownHour
	objects map[string]*knownObject
	held    int
	clock   int
}

type knownHour struct {
	at        time.Time
	manifests []*archive.Manifest
}

type knownObject struct {
	ids  []record.ID // sorted, from where it was read on
	from record.ID
	used int
}

func newKnown(s archive.Store, prefix string) *known {
	return &known{store: s, prefix: prefix, hours: map[time.Time]*knownHour{}, objects: map[string]*knownObject{}}
}

// asked is what the archive did not have when it was listed.
type asked struct {
	hour time.Time
	ids  []record.ID // sorted
	of   []*archive.Manifest
}

// came tells whether the archive has got any of them since.
func (k *known) came(ctx context.Context, before []asked) (bool, error) {
	clear(k.hours)
	for _, a := range before {
		ms, err := k.list(ctx, a.hour)
		if err != nil {
			return false, err
		}
		for _, m := range ms {
			if slices.ContainsFunc(a.of, func(o *archive.Manifest) bool { return o.Key == m.Key }) || !mayHave(m, a.ids[0], a.ids[len(a.ids)-1]) {
				continue
			}
			any, err := k.has(ctx, m, a.ids)
			if any || err != nil {
				return any, err
			}
		}
	}
	return false, nil
}

// has tells whether an object has any of the IDs, which are sorted.
func (k *known) has(ctx context.Context, m *archive.Manifest, ids []record.ID) (any bool, err error) {
	o, err := k.read(ctx, m, ids[0])
	if errors.Is(err, archive.ErrNotFound) {
		return true, nil // joined since it was listed: it is looked at anew
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(ids, func(id record.ID) bool {
		_, ok := slices.BinarySearchFunc(o.ids, id, compareIDs)
		return ok
	}), nil
}

// among are those of the IDs, sorted and all of one hour of the records' time, that the archive has.
func (k *known) among(ctx context.Context, hour time.Time, ids []record.ID) (map[record.ID]bool, error) {
	found := map[record.ID]bool{}
	for tries := 0; ; tries++ {
		err := k.look(ctx, hour, ids, found)
		if errors.Is(err, archive.ErrNotFound) && tries < 3 { // joined since it was listed
			delete(k.hours, hour)
			continue
		}
		return found, err
	}
}

func (k *known) look(ctx context.Context, hour time.Time, ids []record.ID, found map[record.ID]bool) error {
	ms, err := k.list(ctx, hour)
	if err != nil {
		return err
	}
	for _, m := range ms {
		if !mayHave(m, ids[0], ids[len(ids)-1]) {
			continue
		}
		o, err := k.read(ctx, m, ids[0])
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, ok := slices.BinarySearchFunc(o.ids, id, compareIDs); ok {
				found[id] = true
			}
		}
	}
	return nil
}

func compareIDs(a, b record.ID) int { return slices.Compare(a[:], b[:]) }

// mayHave tells whether an object may have IDs between two. Those of a pump begin with the second of the record's time, and
// those that were imported are positions.
func mayHave(m *archive.Manifest, first, last record.ID) bool {
	from, to := archive.ImportPosition(first).String(), archive.ImportPosition(last).String()
	for _, r := range m.Positions {
		if !archive.IsImport(r.Lineage) {
			second := func(id record.ID) uint32 { return binary.BigEndian.Uint32(id[:4]) }
			if second(first) <= uint32(m.Last.Unix()) && uint32(m.First.Unix()) <= second(last) {
				return true
			}
			continue
		}
		if r.From <= to && from < r.To {
			return true
		}
	}
	return false
}

// list is what the archive has of an hour, in all regions.
func (k *known) list(ctx context.Context, hour time.Time) ([]*archive.Manifest, error) {
	if h := k.hours[hour]; h != nil && time.Since(h.at) < listedIn {
		return h.manifests, nil
	}
	days, err := archive.Days(ctx, k.store, k.prefix, hour, hour.Add(time.Hour))
	if err != nil {
		return nil, err
	}
	h := &knownHour{at: time.Now()}
	for _, d := range days {
		for _, region := range d.Regions {
			there, err := archive.ReadHour(ctx, k.store, k.prefix, region, hour)
			if err != nil {
				return nil, err
			}
			if len(there.Broken) > 0 {
				return nil, fmt.Errorf("what the archive has is not known: %w", there.Broken[0].Err)
			}
			h.manifests = append(h.manifests, there.Manifests...)
		}
	}
	if len(k.hours) > 1000 { // documents come by time: what was used is not needed again
		clear(k.hours)
	}
	k.hours[hour] = h
	return h.manifests, nil
}

// read is an object's IDs from one on; IDs are asked for in rising order.
func (k *known) read(ctx context.Context, m *archive.Manifest, from record.ID) (*knownObject, error) {
	k.clock++
	if o := k.objects[m.Key]; o != nil && compareIDs(o.from, from) <= 0 {
		o.used = k.clock
		return o, nil
	}
	o := &knownObject{from: from, used: k.clock}
	err := archive.IDs(ctx, k.store, m, func(id [12]byte) {
		if compareIDs(id, from) >= 0 {
			o.ids = append(o.ids, id)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("what the archive has is not known: %w", err)
	}
	slices.SortFunc(o.ids, compareIDs)
	k.drop(m.Key)
	k.objects[m.Key] = o
	k.held += len(o.ids)
	for k.held > maxKnown && len(k.objects) > 1 {
		k.drop(k.oldest())
	}
	return o, nil
}

func (k *known) drop(key string) {
	if o := k.objects[key]; o != nil {
		k.held -= len(o.ids)
		delete(k.objects, key)
	}
}

func (k *known) oldest() (key string) {
	for name, o := range k.objects {
		if key == "" || o.used < k.objects[key].used {
			key = name
		}
	}
	return key
}
