package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sluice/internal/record"
)

// judge reads every store, past all proxies, and demands each obligation once and intact.
func (w *world) judge(ctx context.Context) error {
	archived, err := w.judgeArchive(ctx)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	for _, f := range []func(context.Context) error{
		func(ctx context.Context) error { return w.judgeRaw(ctx, archived) },
		func(ctx context.Context) error { return w.judgeSearch(ctx, archived) },
		w.judgeAggregates, w.judgeLetters, w.judgeLedger, w.judgeRedis,
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
	for id := range a {
		if d := w.gen.debts.byID[id]; d == nil || !takes(d.rec) {
			continue
		}
		owed++
		if len(found[id]) == 0 {
			t.note(&t.missing, "%s is missing", id)
		}
	}
	// What the archive lost, this store must have all the same.
	for _, d := range w.gen.debts.all {
		if takes(d.rec) && !a[d.ids[0]] && len(found[d.ids[0]]) == 0 {
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

// judgeLetters demands each poisoned payload as one dead letter. A pump that died may have stored one before another
// took over and stored it in its own directory: such letters have one position.
func (w *world) judgeLetters(ctx context.Context) error {
	type letter struct {
		Sink, Lineage, Position, Reason string
		Bytes                           []byte
	}
	at := map[string]bool{}
	found := map[string]int{}
	t := tally{store: "dead letters"}
	for _, p := range w.pumps {
		code, out, err := p.output(ctx, "deadletters", "list", "--output", "json")
		if err != nil {
			return err
		}
		var letters []letter
		if err := json.Unmarshal(out, &letters); err != nil || code != 0 {
			return fmt.Errorf("deadletters list of %s ends with %d: %w", p.name, code, err)
		}
		for _, l := range letters {
			if key := l.Lineage + l.Position; !at[key] {
				at[key] = true
				found[string(l.Bytes)]++
			}
			if w.gen.debts.poison[string(l.Bytes)] == 0 {
				t.note(&t.strange, "%s refused by %s: %s", l.Position, l.Sink, l.Reason)
			}
		}
	}
	for data, n := range w.gen.debts.poison {
		switch m := found[data]; {
		case m < n:
			t.note(&t.missing, "of %d times %.40q there are %d", n, data, m)
		case m > n:
			t.note(&t.twice, "of %d times %.40q there are %d", n, data, m)
		}
	}
	w.end(t, w.gen.debts.poisons)
	return nil
}

// judgeLedger demands the ledger that follows from what was pushed.
func (w *world) judgeLedger(ctx context.Context) error {
	type column struct {
		Effective, Duplicates, Filtered, Spooled, Pending uint64
		DeadLetters                                       uint64 `json:"dead_letters"`
	}
	var audit struct {
		Taken    uint64
		Balanced bool
		Sinks    map[string]column
		Strange  []string
	}
	code, out, err := w.pumps[0].output(ctx, "audit", "--output", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &audit); err != nil {
		return fmt.Errorf("audit ends with %d: %w", code, err)
	}
	d := w.gen.debts
	taken := uint64(d.records + d.poisons)
	if code != 0 || !audit.Balanced || audit.Taken != taken {
		w.violated("ledger: exit code %d, balanced %v, taken %d, pushed %d: %s", code, audit.Balanced, audit.Taken, taken,
			strings.Join(audit.Strange, "; "))
	}
	for name, takes := range map[string]func(*record.Record) bool{
		"dashboard": inAggregates, "raw": inRaw, "search": everywhere, "archive": everywhere} {
		n := d.count(takes)
		want := column{Effective: n, Filtered: uint64(d.records) - n, DeadLetters: uint64(d.poisons)}
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
	if err := c.Do(ctx, c.B().Del().Key(pushedKey).Build()).Error(); err != nil {
		return err
	}
	keys, err := c.Do(ctx, c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		return err
	}
	size := 0
	for _, k := range keys {
		dump, err := c.Do(ctx, c.B().Dump().Key(k).Build()).AsBytes()
		if err != nil {
			return err
		}
		size += len(k) + len(dump)
		if n, err := c.Do(ctx, c.B().Llen().Key(k).Build()).AsInt64(); err == nil && n > 0 {
			w.violated("Redis: %d elements are left in %s", n, k)
		}
	}
	if size > leftInRedis {
		w.violated("Redis: %d bytes are left in %d keys", size, len(keys))
	}
	return nil
}
