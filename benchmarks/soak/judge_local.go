package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	_ "modernc.org/sqlite" // the database of the local sink

	"sluice/internal/archive/dirstore"
	"sluice/internal/record"
)

// judgeUptimes demands every uptime record once by ID.
func (w *world) judgeUptimes(ctx context.Context) error {
	cur, err := w.stores.mongo.Collection("tyk_uptime_analytics").Find(ctx, bson.M{})
	if err != nil {
		return err
	}
	var docs []struct {
		ID primitive.ObjectID `bson:"_id"`
	}
	if err := cur.All(ctx, &docs); err != nil {
		return err
	}
	t := tally{store: "uptimes"}
	for _, d := range docs { // _id is unique
		if !w.gen.debts.uptimes[record.ID(d.ID)] {
			t.note(&t.strange, "%s is not owed", d.ID)
		}
	}
	if n := len(w.gen.debts.uptimes) - len(docs) + t.strange; n > 0 {
		t.note(&t.missing, "%d are missing", n)
		t.missing = n
	}
	w.end(t, len(w.gen.debts.uptimes))
	return nil
}

// judgeLocal reads what the pumps have on their own disks: together it is everything once.
func (w *world) judgeLocal(ctx context.Context) error {
	if !w.opts.shape.Local {
		return nil
	}
	var places []place
	var rows []localRow
	for _, p := range w.pumps {
		if _, err := os.Stat(p.files()); err == nil { // a pump that was never given a list has none
			store, err := dirstore.Open(p.files())
			if err != nil {
				return err
			}
			places = append(places, place{store: store})
		}
		more, err := p.localRows(ctx)
		if err != nil {
			return fmt.Errorf("read the database of %s: %w", p.name, err)
		}
		rows = append(rows, more...)
	}
	ids, err := w.judgeRows(ctx, "files", places...)
	if err != nil {
		return err
	}
	t := tally{store: "local"}
	at := map[string]bool{}
	for _, r := range rows {
		if at[r.at] {
			t.note(&t.twice, "position %s is in two rows", r.at)
		}
		at[r.at] = true
		if !ids[r.id] {
			t.note(&t.strange, "%s is not owed", r.id)
		}
	}
	if n := w.gen.debts.records - len(at); n > 0 {
		t.note(&t.missing, "%d of %d positions are missing", n, w.gen.debts.records)
		t.missing = n
	}
	w.end(t, w.gen.debts.records)
	return nil
}

// localRow is a record in a local database.
type localRow struct {
	at string // lineage and position
	id record.ID
}

func (p *pump) localRows(ctx context.Context) (out []localRow, err error) {
	if _, err := os.Stat(p.database()); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(p.database())+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT lineage, position, id FROM recent")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var lineage, position, id string
		if err := rows.Scan(&lineage, &position, &id); err != nil {
			return nil, err
		}
		oid, err := primitive.ObjectIDFromHex(strings.TrimSpace(id))
		if err != nil {
			return nil, fmt.Errorf("ID %q: %w", id, err)
		}
		out = append(out, localRow{lineage + position, record.ID(oid)})
	}
	return out, rows.Err()
}

// judgeSpools demands that spools are empty when all is delivered.
func (w *world) judgeSpools(ctx context.Context) error {
	if n := w.spooled(ctx); n > 0 {
		w.violated("%d batches are left in spools", n)
	}
	return nil
}
