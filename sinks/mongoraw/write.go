package mongoraw

import (
	"context"
	"errors"

	driver "go.mongodb.org/mongo-driver/mongo"
	"golang.org/x/sync/errgroup"

	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/tally"
)

// maxParallel bounds the commands in flight for one batch of many organisations. Each holds a command in memory.
const maxParallel = 4

// group is what of a batch goes to one collection.
type group struct {
	to    collection
	items []int // indices into Batch.Items
}

// Write inserts the batch's records. MCP records and TCP reports (-1) are left out as the incumbent does, in the layout
// per-org also those without an organisation.
func (s *Sink) Write(ctx context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	db, err := s.database()
	if err != nil {
		return pipeline.Result{}, err
	}
	shape, err := parseShape(b.Shape.JSON, s.cfg.shape())
	if err != nil {
		return pipeline.Result{}, err
	}
	t := tally.New(len(b.Items))
	var eg errgroup.Group
	eg.SetLimit(maxParallel)
	for _, g := range route(b, db.Name(), shape, t) {
		eg.Go(func() error {
			s.deliver(ctx, db, b, g, t)
			return nil
		})
	}
	_ = eg.Wait() // what failed stands in the tally
	return t.Result()
}

// route sorts a batch's items by collection, in the order of their first record, and tallies those that go nowhere.
func route(b *pipeline.Batch, database string, sh shape, t *tally.Tally) []group {
	if b.Kind == pipeline.Uptime {
		return []group{{to: uptime(), items: sequence(len(b.Items))}}
	}
	var groups []group
	at := map[string]int{}
	for i := range b.Items {
		r := b.Items[i].Record
		if !stores(sh.Layout, r) {
			t.Filter()
			continue
		}
		key := "" // the one collection of the layout capped
		if sh.Layout == LayoutPerOrg {
			key = r.OrgID
		}
		n, ok := at[key]
		if !ok {
			to, reason := destination(database, key)
			if reason != "" {
				t.Dead(i, reason)
				continue
			}
			n = len(groups)
			groups, at[key] = append(groups, group{to: to}), n
		}
		groups[n].items = append(groups[n].items, i)
	}
	return groups
}

// stores tells whether a record is stored at all.
func stores(layout string, r *record.Record) bool {
	return !r.MCP.IsMCP && r.ResponseCode != -1 && (layout != LayoutPerOrg || r.OrgID != "")
}

func destination(database, org string) (to collection, reason string) {
	if org == "" {
		return capped(), ""
	}
	name, reason := orgCollection(database, org)
	return perOrg(name), reason
}

func sequence(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// deliver writes a group and tallies what became of each of its items.
func (s *Sink) deliver(ctx context.Context, db *driver.Database, b *pipeline.Batch, g group, t *tally.Tally) {
	err := s.ensure(ctx, db, g.to)
	switch {
	case errors.Is(err, errNoCollection):
		for _, i := range g.items {
			t.Dead(i, mongo.NoCollection(b.Items[i].Record.OrgID, err.Error()))
		}
	case err != nil:
		t.Retry(g.items, err)
	default:
		(&inserter{db: db, batch: b, to: g.to, tally: t}).insert(ctx, g.items)
	}
}
