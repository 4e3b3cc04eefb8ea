package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"sluice/internal/record"
)

// letter is a dead letter as the program lists it.
type letter struct {
	ID, Sink, Lineage, Position, Reason, Format, List string
	Length                                            int
	Bytes                                             []byte
}

// letters are those of all pumps. A pump that died may have stored one before another took over and stored it in its own
// directory: such letters have one sink and position.
func (w *world) letters(ctx context.Context) ([]letter, error) {
	at := map[string]bool{}
	var out []letter
	for _, p := range w.pumps {
		code, b, err := p.output(ctx, "deadletters", "export")
		if err != nil {
			return nil, err
		}
		if code != 0 {
			return nil, fmt.Errorf("deadletters export of %s ends with %d", p.name, code)
		}
		for dec := json.NewDecoder(bytes.NewReader(b)); dec.More(); {
			var l letter
			if err := dec.Decode(&l); err != nil {
				return nil, fmt.Errorf("deadletters export of %s: %w", p.name, err)
			}
			if key := l.Sink + l.Lineage + l.Position; !at[key] {
				at[key] = true
				out = append(out, l)
			}
		}
	}
	return out, nil
}

// everySink is what a dead letter names that no sink can take.
const everySink = "*"

// judgeLetters demands each poisoned payload as one dead letter, and takes note of what a store was made to refuse.
func (w *world) judgeLetters(ctx context.Context) error {
	letters, err := w.letters(ctx)
	if err != nil {
		return err
	}
	w.refused = map[*debt]int{}
	debts, found := w.gen.debts, map[string]int{}
	t := tally{store: "dead letters"}
	for _, l := range letters {
		r := l.record()
		switch {
		case l.Sink == everySink && debts.poison[string(l.Bytes)] > 0:
			found[string(l.Bytes)]++
		case l.Sink == everySink && debts.huge[l.Length] > 0 && l.Length > len(l.Bytes):
			debts.huge[l.Length]--
		case l.Sink == everySink && r != nil && debts.absurd[r.OriginalPath] == archiveSum(r):
			delete(debts.absurd, r.OriginalPath)
		case l.Sink == w.opts.shape.refuses && r != nil && debts.byPath[r.OriginalPath] != nil:
			d := debts.byPath[r.OriginalPath]
			w.refused[d]++
			w.found.Refused++
			if archiveSum(r) != d.archive {
				t.note(&t.differ, "%s of %s is not as it was pushed", l.Position, l.List)
			}
		default:
			t.note(&t.strange, "%s of %s refused by %s: %s", l.Position, l.List, l.Sink, l.Reason)
		}
	}
	for size, n := range debts.huge {
		if n > 0 {
			t.note(&t.missing, "%d of %d bytes", n, size)
		}
	}
	for path := range debts.absurd {
		t.note(&t.missing, "%s of an absurd time", path)
	}
	for data, n := range w.gen.debts.poison {
		switch m := found[data]; {
		case m < n:
			t.note(&t.missing, "of %d times %.40q there are %d", n, data, m)
		case m > n:
			t.note(&t.twice, "of %d times %.40q there are %d", n, data, m)
		}
	}
	w.found.Refused += w.retried // those are not listed any more
	w.end(t, w.gen.debts.poisons)
	return nil
}

// record is what a letter holds, masked as everything is; nil if it does not decode.
func (l letter) record() *record.Record {
	format := record.Msgpack
	if l.Format == record.Protobuf.String() {
		format = record.Protobuf
	}
	r := new(record.Record)
	if record.Decode(format, l.Bytes, r) != nil {
		return nil
	}
	return r
}
