package main

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/aggregate/recount"
	"sluice/internal/record"
)

// adoptHistory counts on where the incumbent stopped: in each round in documents of another day.
var adoptHistory = history{
	name: "adopt",
	not:  []string{"redis/renew"},
	make: func(c *crasher) {
		c.withAggregate()
		c.files["all"] = c.file(nil)
		c.records = map[int][]*record.Record{}
	},
	round: func(c *crasher) {
		c.incumbent(12)
		c.traffic(12)
		c.run("run", "--once", "--config", c.files["all"])
	},
	judge: func(c *crasher) {
		c.rest("all")
		all := c.expect().records
		for _, counted := range c.records {
			all = append(all, counted...)
		}
		c.wantAggregates(all)
	},
}

// incumbent leaves the documents that another program made of records of the round's day, which ours never sees.
func (c *crasher) incumbent(n int) {
	c.t.Helper()
	var rs []*record.Record
	for range n {
		at := capturedHour.AddDate(0, 0, -c.n).Add(time.Duration(c.next) * time.Millisecond)
		rec := new(record.Record)
		var dec record.Decoder
		if err := dec.Decode(record.Msgpack, made(c.next, at), rec); err != nil {
			c.t.Fatal(err)
		}
		rs = append(rs, rec)
		c.next++
	}
	c.records[c.n] = rs
	db := c.mongoDB()
	for _, d := range recount.Documents(rs, recount.Options{Bucket: time.Hour, ExpireAfter: 100 * 365 * 24 * time.Hour, TrackAllPaths: true}) {
		for _, name := range []string{"tyk_analytics_aggregates", "z_tyk_analyticz_aggregate_" + d["orgid"].(string)} {
			if _, err := db.Collection(name).InsertOne(context.Background(), storedTree(d)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// storedTree is the reverse of plainTree.
func storedTree(v any) any {
	switch v := v.(type) {
	case recount.Tree:
		out := bson.M{}
		for k, x := range v {
			out[k] = storedTree(x)
		}
		return out
	case []any:
		out := bson.A{}
		for _, x := range v {
			out = append(out, storedTree(x))
		}
		return out
	case recount.Millis:
		return primitive.DateTime(v)
	default:
		return v
	}
}
