package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/internal/fault"
	"sluice/internal/record"
)

func refusalCases() []scenario {
	return []scenario{
		{name: "mapping conflict: 400 for some and for all", pumps: 2, shape: shape{idle: true, refuses: "search"},
			means: "the first day's index was made by hand with a number where names are, which is refused for some records; the second " +
				"day's for all. What is refused is a dead letter of that sink, the rest arrives",
			run: mappingConflict},
		{name: "400 for all, then put back", pumps: 1, shape: shape{refuses: "search", unique: true},
			means: "OpenSearch cannot read any bulk request for three seconds: each record becomes a dead letter of that sink, and " +
				"`deadletters retry` brings all of them home",
			run: refusedThenRetried},
		{name: "413 for large requests", pumps: 1, shape: shape{idle: true, quiet: true},
			means: "three thousand records wait when the pump starts, and a proxy before OpenSearch takes no request above 16 KiB: all " +
				"arrive, in smaller ones, and none is a dead letter",
			run: refusedForSize},
		{name: "indices deleted under way", pumps: 2, shape: shape{forgiven: deletedByHand},
			means: "DELETE of all indices between two loads, with records in flight: what was deleted is gone, all later ones arrive",
			run:   indexDeleted},
	}
}

func mappingConflict(ctx context.Context, w *world) error {
	for day, mapping := range map[string]string{"2026.03.14": `"alias":{"type":"long"}`, "2026.03.15": `"org_id":{"type":"date"}`} {
		if _, err := w.stores.ask(ctx, http.MethodPut, "/"+w.stores.index+"-"+day, `{"mappings":{"properties":{`+mapping+`}}}`); err != nil {
			return err
		}
	}
	if err := w.startAll(); err != nil {
		return err
	}
	const refusal = "mapper_parsing_exception"
	gate := w.ways["search"].gate
	gate.Watch(refusal)
	err := w.load(ctx, func(ctx context.Context) error { return w.pause(ctx, 8*time.Second) })
	w.count("400 for records of a bulk", gate.Seen(refusal))
	return err
}

// unreadable is what OpenSearch says of a request that it cannot parse.
const unreadable = `{"error":{"root_cause":[{"type":"parse_exception","reason":"made up"}],"type":"parse_exception","reason":"made up"},"status":400}`

func refusedThenRetried(ctx context.Context, w *world) error {
	gate := w.ways["search"].gate
	err := w.load(ctx, func(ctx context.Context) error {
		if err := w.pause(ctx, 3*time.Second); err != nil {
			return err
		}
		gate.Set(fault.HTTPRule{Chance: 1, Status: 400, Answer: unreadable, Method: http.MethodPost, Suffix: "_bulk"})
		err := w.pause(ctx, 3*time.Second)
		gate.Set(fault.HTTPRule{})
		w.count("400 for whole requests", gate.Hits())
		return err
	})
	if err != nil {
		return err
	}
	if err := w.settled(ctx); err != nil {
		return err
	}
	letters, err := w.letters(ctx)
	if err != nil {
		return err
	}
	args := []string{"deadletters", "retry"}
	w.putBack = map[record.ID]record.ID{}
	for _, l := range letters {
		if l.Sink != "search" {
			continue
		}
		args = append(args, l.ID)
		// A letter holds the masked record, so that it comes back under another ID (docs/guarantees.md).
		old, err := primitive.ObjectIDFromHex(strings.TrimSuffix(l.ID, "-search"))
		if r := l.record(); r != nil && err == nil {
			w.putBack[record.MakeID(r.TimeStamp, record.HashPayload(l.Bytes))] = record.ID(old)
		}
	}
	w.retried = len(args) - 2
	w.count("dead letters put back", int64(w.retried))
	if code, out, err := w.pumps[0].output(ctx, args...); err != nil || code != 0 {
		return fmt.Errorf("deadletters retry ends with %d: %w: %s", code, err, out)
	}
	return w.settled(ctx)
}

func refusedForSize(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		for range 12 {
			var batch []payload
			for range 250 {
				batch = append(batch, w.gen.record(record.Msgpack))
			}
			if err := w.gen.put(ctx, list, record.Msgpack, batch); err != nil {
				return err
			}
		}
		gate := w.ways["search"].gate
		gate.Set(fault.HTTPRule{Chance: 1, Status: http.StatusRequestEntityTooLarge, MaxBody: largeRequest})
		err := w.startAll()
		if err == nil {
			err = w.settled(ctx)
		}
		w.count("413 for a request above 16 KiB", gate.Hits())
		gate.Set(fault.HTTPRule{})
		return err
	})
}

// deletedByHand tells of a record that may have been in an index when somebody deleted it. Pushes are counted: those of
// the first load are before the mark.
func deletedByHand(store string, d *debt) bool { return store == "search" && d.push <= deletedPushes }

// deletedPushes is how many pushes the first load has.
const deletedPushes = 60

func indexDeleted(ctx context.Context, w *world) error {
	for w.gen.pushes < deletedPushes {
		// What goes to another list is in flight when the indices vanish.
		if w.gen.pushes == deletedPushes*3/4 {
			if err := w.settled(ctx); err != nil {
				return err
			}
		}
		if err := w.gen.push(ctx, 20); err != nil {
			return err
		}
	}
	if err := w.catch(ctx, "indices deleted"); err != nil {
		return err
	}
	if _, err := w.stores.ask(ctx, http.MethodDelete, "/"+w.stores.index+"-*", ""); err != nil {
		return err
	}
	return w.load(ctx, func(ctx context.Context) error { return w.pause(ctx, 5*time.Second) })
}
