package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/internal/archive"
	"sluice/internal/archive/s3store"
	"sluice/internal/record"
)

// place is where objects of the archive lie.
type place struct {
	store  archive.Store
	prefix string
}

func (s *stores) archive(ctx context.Context) (*s3store.Store, error) {
	return s3store.New(ctx, s3store.Options{Bucket: s.bucket, Endpoint: s.endpoint, PathStyle: true, Region: s3Region,
		AccessKey: s.key, SecretKey: s.secret})
}

// judgeRows demands every record once by position, its ID one of those it can have, and all of its fields, in all places
// together.
func (w *world) judgeRows(ctx context.Context, name string, places ...place) (archived, error) {
	ids, positions, times := archived{}, map[string]bool{}, map[*debt]int{}
	t := tally{store: name}
	for _, pl := range places {
		for m, err := range archive.List(ctx, pl.store, pl.prefix, time.Time{}, time.Time{}) {
			if err != nil {
				return nil, err
			}
			rows, err := archive.Open(ctx, pl.store, m)
			if err != nil {
				return nil, err
			}
			for row, err := range rows.All() {
				if err != nil {
					return nil, errors.Join(fmt.Errorf("%s: %w", m.Object, err), rows.Close())
				}
				at := row.Stream.Lineage + row.Position.String()
				if positions[at] {
					t.note(&t.twice, "position %s of %s is in two rows", row.Position, row.Stream.List)
				}
				positions[at] = true
				d := w.gen.debts.byID[row.ID]
				if d == nil {
					t.note(&t.strange, "%s at %s is not owed", row.ID, row.Position)
					continue
				}
				ids[row.ID] = true
				times[d]++
				if archiveSum(row.Record) != d.archive {
					t.note(&t.differ, "%s at %s is not as it was pushed", row.ID, row.Position)
				}
			}
			if err := rows.Close(); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range w.gen.debts.all {
		switch n := times[d]; {
		case n < d.times:
			t.note(&t.missing, "%s is in %d rows and was pushed %d times", d.ids[0], n, d.times)
		case n > d.times:
			t.note(&t.twice, "%s is in %d rows and was pushed %d times", d.ids[0], n, d.times)
		}
	}
	w.end(t, w.gen.debts.records)
	return ids, nil
}

// judgeRaw demands every record that the raw collection takes once by ID.
func (w *world) judgeRaw(ctx context.Context, a archived) error {
	cur, err := w.stores.mongo.Collection("tyk_analytics").Find(ctx, bson.M{})
	if err != nil {
		return err
	}
	found := map[record.ID][]uint64{}
	for cur.Next(ctx) {
		var d struct {
			ID  primitive.ObjectID `bson:"_id"`
			Doc rawDoc             `bson:",inline"`
		}
		if err := cur.Decode(&d); err != nil {
			return errors.Join(err, cur.Close(ctx))
		}
		id := record.ID(d.ID)
		found[id] = append(found[id], rawSum(d.Doc))
	}
	w.judgeIDs("raw", a, inRaw, func(d *debt) uint64 { return d.raw }, found)
	return errors.Join(cur.Err(), cur.Close(ctx))
}

// page is an answer of a scrolled search.
type page struct {
	Scroll string `json:"_scroll_id"`
	Hits   struct {
		Hits []struct {
			ID     string    `json:"_id"`
			Source searchDoc `json:"_source"`
		} `json:"hits"`
	} `json:"hits"`
}

// judgeSearch demands every record once by ID.
func (w *world) judgeSearch(ctx context.Context, a archived) error {
	s := w.stores
	if _, err := s.ask(ctx, http.MethodPost, "/"+s.index+"-*/_refresh", ""); err != nil {
		return err
	}
	found := map[record.ID][]uint64{}
	path, body := "/"+s.index+"-*/_search?scroll=1m", `{"size":5000}`
	for {
		answer, err := s.ask(ctx, http.MethodPost, path, body)
		if err != nil {
			return err
		}
		var p page
		if err := json.Unmarshal(answer, &p); err != nil {
			return err
		}
		if len(p.Hits.Hits) == 0 {
			break
		}
		for _, h := range p.Hits.Hits {
			oid, err := primitive.ObjectIDFromHex(h.ID)
			if err != nil {
				w.violated("search: a document's ID is %q", h.ID)
				continue
			}
			found[record.ID(oid)] = append(found[record.ID(oid)], searchSum(h.Source))
		}
		path, body = "/_search/scroll", fmt.Sprintf(`{"scroll":"1m","scroll_id":%q}`, p.Scroll)
	}
	w.judgeIDs("search", a, inSearch, func(d *debt) uint64 { return d.search }, found)
	return nil
}
