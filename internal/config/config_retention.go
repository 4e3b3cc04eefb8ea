package config

import (
	"fmt"
	"time"

	"sluice/internal/units"
)

// Retention is how long each store keeps its data. A span of 0 keeps for ever.
type Retention struct {
	Archive       RetainArchive           `yaml:"archive" doc:"Objects of the archive (s3-csv, csv)."`
	Raw           RetainRaw               `yaml:"raw" doc:"Raw records in MongoDB."`
	Aggregate     RetainAggregate         `yaml:"aggregate" doc:"Aggregate documents in MongoDB."`
	Search        RetainSearch            `yaml:"search" doc:"Indices of OpenSearch."`
	Uptime        Keep                    `yaml:"uptime" doc:"Uptime checks in MongoDB, beside their own expireAt."`
	SQLite        Keep                    `yaml:"sqlite" doc:"Counters and recent records of sqlite sinks; minutes are bounded by the sink's keep_minutes, recent records also by its recent."`
	Spool         Keep                    `yaml:"spool" doc:"Spooled batches that nobody is owed any more: given up, or left by a crash. What is still owed to a sink is never deleted by age."`
	DeadLetters   Keep                    `yaml:"dead_letters" doc:"Dead letters."`
	Floor         units.Duration          `yaml:"floor" doc:"Nothing younger is ever deleted, whatever the other rules say; a day leaves room to notice a wrong rule."`
	WarnWithin    units.Duration          `yaml:"warn_within" doc:"Warn of a store that will be full within this time; 0s warns of none."`
	Organisations map[string]Organisation `yaml:"organisations" doc:"Overrides by organisation ID."`
	Holds         []Hold                  `yaml:"holds" doc:"Legal holds: what they cover is kept whatever the rules say."`
}

// Keep is a rule with a span alone.
type Keep struct {
	Keep units.Duration `yaml:"keep" doc:"How long it is kept; 0s keeps for ever."`
}

// RetainArchive is the rule for the archive.
type RetainArchive struct {
	Keep         units.Duration `yaml:"keep" doc:"How long objects are kept, by the hour of their records; 0s keeps for ever."`
	CompactAfter units.Duration `yaml:"compact_after" doc:"Age from which the small objects of an hour are joined; at least 1h, since a frozen process may still send its upload."`
	TargetObject units.Size     `yaml:"target_object" doc:"Size that joined objects aim at, in bytes before compression."`
	Parquet      bool           `yaml:"parquet" doc:"Beside the objects of each hour that is over, keep a Parquet file of the hour for Athena, which reads only the columns that a query names. Derived from the objects: written after they are joined, again when they change; erased and expired with them. Nothing else reads it."`
}

// RetainRaw is the rule for raw records.
type RetainRaw struct {
	Keep       units.Duration `yaml:"keep" doc:"How long records are kept in layout per-org; 0s keeps for ever. A capped collection is bounded by its size alone."`
	CappedSize units.Size     `yaml:"capped_size" doc:"Size the capped collection is brought to."`
	Convert    bool           `yaml:"convert" doc:"Convert a plain tyk_analytics to a capped collection, which locks the whole database while documents are copied; the plan says for how much. Off: a plain collection is left as it is."`
}

// RetainAggregate is the rule for aggregates.
type RetainAggregate struct {
	Keep   map[string]units.Duration `yaml:"keep" doc:"How long documents are kept, by bucket width (1m, 5m, 15m, 30m, 1h, 1d); a width that is not named is kept for ever."`
	RollUp bool                      `yaml:"roll_up" doc:"Add documents to the next coarser width named in keep before they are deleted."`
}

// RetainSearch is the rule for OpenSearch.
type RetainSearch struct {
	Keep      units.Duration `yaml:"keep" doc:"How long an index is kept, by the date in its name; 0s keeps for ever. Older records are filtered rather than written."`
	MaxSize   units.Size     `yaml:"max_size" doc:"Bytes that all indices of the sink may take, replicas included: beyond it the oldest go before their time, but never what floor or a hold keeps. 0 sets no bound."`
	SealAfter units.Duration `yaml:"seal_after" doc:"Age of an index's end from which it is merged to one segment a shard and made read-only; the sink opens it again for late records, for which it needs the rights to read mappings and write settings. 0s leaves indices as they are."`
	ISM       string         `yaml:"ism" doc:"Whether Index State Management deletes indices: auto uses it where the plugin is there and deletes by itself elsewhere." enum:"auto|always|never"`
}

// Organisation overrides rules for one organisation. A nil span is not overridden.
type Organisation struct {
	Archive   *Keep        `yaml:"archive" doc:"Span for the organisation's rows in the archive; no shorter than that of the others, since objects hold rows of all and go as whole days: the longest span wins."`
	Raw       *Keep        `yaml:"raw" doc:"Span for the organisation's own raw collection."`
	Aggregate *KeepByWidth `yaml:"aggregate" doc:"Spans for the organisation's own aggregates."`
	Search    *Keep        `yaml:"search" doc:"Span for the organisation's documents in OpenSearch."`
	Uptime    *Keep        `yaml:"uptime" doc:"Span for the organisation's uptime checks."`
	SQLite    *Keep        `yaml:"sqlite" doc:"Span for the organisation's counters and recent records in sqlite."`
}

// KeepByWidth is a span for each bucket width.
type KeepByWidth struct {
	Keep map[string]units.Duration `yaml:"keep" doc:"How long documents are kept, by bucket width."`
}

// Hold keeps records of an organisation whatever the rules say.
type Hold struct {
	Org    string `yaml:"org" doc:"Organisation ID, or * for all." required:"true"`
	From   Moment `yaml:"from" doc:"First moment that is kept, as 2026-01-31 or 2026-01-31T12:00:00Z; without it there is no beginning."`
	To     Moment `yaml:"to" doc:"First moment that is not kept any more; without it there is no end."`
	Reason string `yaml:"reason" doc:"Why; it is printed wherever the hold keeps something." required:"true"`
}

// Covers tells whether the hold keeps a record of that organisation and time.
func (h Hold) Covers(org string, t time.Time) bool {
	return (h.Org == "*" || h.Org == org) &&
		(h.From.IsZero() || !t.Before(h.From.Time)) && (h.To.IsZero() || t.Before(h.To.Time))
}

// Moment is a point in time in UTC, written as a date or in RFC 3339. The zero Moment is none.
type Moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(b []byte) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if t, err := time.Parse(layout, string(b)); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is not a time: write it like 2026-01-31 or 2026-01-31T12:00:00Z", b)
}

// MarshalText implements encoding.TextMarshaler.
func (m Moment) MarshalText() ([]byte, error) {
	switch {
	case m.IsZero():
		return nil, nil
	case m.Equal(m.Truncate(24 * time.Hour)):
		return []byte(m.Format(time.DateOnly)), nil
	}
	return []byte(m.Format(time.RFC3339Nano)), nil
}
