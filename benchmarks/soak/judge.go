package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/record"
)

// judge reads every store, past all proxies, and demands each obligation once and intact.
func (w *world) judge(ctx context.Context) error {
	bucket, err := w.stores.archive(ctx)
	if err != nil {
		return err
	}
	archived, err := w.judgeRows(ctx, "archive", place{bucket, archivePrefix})
	bucket.Close()
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	for _, f := range []func(context.Context) error{
		w.judgeLetters,
		func(ctx context.Context) error { return w.judgeRaw(ctx, archived) },
		func(ctx context.Context) error { return w.judgeSearch(ctx, archived) },
		w.judgeAggregates, w.judgeUptimes, w.judgeLocal, w.judgeLedger, w.judgeRedis, w.judgeSpools,
	} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return w.judgeLogs()
}

// archived are the IDs that the rows of the archive have: of equal payloads, the claims decide how many IDs there are, and
// the other stores must have the same ones.
type archived map[record.ID]bool

// tally compares one store with what is owed to it.
type tally struct {
	store                           string
	missing, strange, twice, differ int
	example                         string
}

func (t *tally) note(n *int, format string, args ...any) {
	*n++
	if t.example == "" {
		t.example = fmt.Sprintf(format, args...)
	}
}

// end adds what was found to the verdict.
func (w *world) end(t tally, owed int) {
	w.found.Losses += t.missing
	w.found.Doubles += t.twice + t.strange
	if t.missing+t.strange+t.twice+t.differ > 0 {
		w.violated("%s: of %d owed %d are missing, %d are there twice, %d nobody owes, %d are not intact; for one, %s",
			t.store, owed, t.missing, t.twice, t.strange, t.differ, t.example)
		return
	}
	w.opts.log("%s judge: %s has all %d, once and intact", w.clock(), t.store, owed)
}

// judgeIDs holds a store keyed by record ID against the debts and the archive.
func (w *world) judgeIDs(store string, a archived, takes func(*record.Record) bool, sumOf func(*debt) uint64, found map[record.ID][]uint64) {
	t := tally{store: store}
	owed := 0
	refused := map[*debt]int{}
	if store == w.opts.shape.refuses {
		refused = maps.Clone(w.refused)
	}
	for id, old := range w.putBack {
		if sums, ok := found[id]; ok && store == w.opts.shape.refuses {
			found[old] = append(found[old], sums...)
			delete(found, id)
		}
	}
	excused := func(d *debt) bool {
		if refused[d] > 0 {
			refused[d]--
			return true
		}
		return w.opts.shape.forgiven != nil && w.opts.shape.forgiven(store, d)
	}
	for id := range a {
		d := w.gen.debts.byID[id]
		if d == nil || !takes(d.rec) {
			continue
		}
		owed++
		if len(found[id]) == 0 && !excused(d) {
			t.note(&t.missing, "%s is missing", id)
		}
	}
	for d, n := range refused {
		if n > 0 && w.retried == 0 {
			t.note(&t.twice, "%s is there and a dead letter as well", d.ids[0])
		}
	}
	// What the archive lost, this store must have all the same.
	for _, d := range w.gen.debts.all {
		if takes(d.rec) && d.times > 0 && !a[d.ids[0]] && len(found[d.ids[0]]) == 0 {
			t.note(&t.missing, "%s is missing here and in the archive", d.ids[0])
		}
	}
	for id, sums := range found {
		d := w.gen.debts.byID[id]
		switch {
		case d == nil || !takes(d.rec):
			t.note(&t.strange, "%s is not owed", id)
		case len(sums) > 1:
			t.note(&t.twice, "%s is there %d times", id, len(sums))
		case sums[0] != sumOf(d):
			t.note(&t.differ, "%s is not as it was pushed", id)
		}
	}
	w.end(t, owed)
}

// judgeLedger demands the ledger that follows from what was pushed.
func (w *world) judgeLedger(ctx context.Context) error {
	if w.opts.shape.Bus {
		return w.judgeBus(ctx)
	}
	audit, err := w.pumps[0].ledger(ctx)
	if err != nil {
		return err
	}
	d := w.gen.debts
	uptimes, retried := uint64(len(d.uptimes)), uint64(w.retried)
	taken := uint64(d.records+d.poisons) + uptimes + retried
	if len(audit.Strange) > 0 || !audit.Balanced || audit.Taken != taken {
		w.violated("ledger: balanced %v, taken %d, pushed %d: %s", audit.Balanced, audit.Taken, taken,
			strings.Join(audit.Strange, "; "))
	}
	for name, takes := range map[string]func(*record.Record) bool{"dashboard": inAggregates, "raw": inRaw, "search": inSearch,
		"archive": everywhere, "files": everywhere, "local": everywhere} {
		if !slices.Contains(w.opts.shape.sinks(), name) {
			continue
		}
		want := column{Effective: d.count(takes), DeadLetters: uint64(d.poisons)}
		if name == "raw" {
			want.Effective += uptimes
		}
		if name == w.opts.shape.refuses {
			want.DeadLetters += uint64(w.found.Refused)
			want.Effective += retried - uint64(w.found.Refused)
		}
		want.Filtered = taken - want.Effective - want.DeadLetters
		if got := audit.Sinks[name]; got != want {
			w.violated("ledger of %s: %+v, want %+v", name, got, want)
		}
	}
	return nil
}

// leftInRedis is what a drained Redis may hold of ours: bookkeeping.
const leftInRedis = 64 << 10

// judgeRedis demands that nothing but bookkeeping is left.
func (w *world) judgeRedis(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c := w.client
	keys, err := w.keys(ctx, "*")
	if err != nil {
		return err
	}
	size := 0
	for _, k := range keys {
		if strings.HasPrefix(k, pushedKey) { // the suite's own
			continue
		}
		dump, err := c.Do(ctx, c.B().Dump().Key(k).Build()).AsBytes()
		if err != nil {
			return err
		}
		size += len(k) + len(dump)
		if n, err := c.Do(ctx, c.B().Llen().Key(k).Build()).AsInt64(); err == nil && n > 0 {
			w.violated("Redis: %d elements are left in %s", n, k)
		}
	}
	if size > leftInRedis && !w.opts.shape.unbounded {
		w.violated("Redis: %d bytes are left in %d keys", size, len(keys))
	}
	return nil
}
