// Package mongoagg is the sink that keeps the aggregate documents the Tyk Dashboard reads: one for each organisation and
// time bucket, in a collection of the organisation and, if asked, also in a mixed one.
//
// Increments cannot be told from their repetition, so each document keeps, for each lineage, the position up to which it
// has counted. An update is an upsert filtered by the document's _id and equality with the positions this process last
// wrote or read; when somebody else was there meanwhile it misses, which shows as a duplicate key, and nothing changed.
// Then the positions are read, and what lies below them is not counted again.
package mongoagg

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sluice/aggregate"
	"sluice/internal/mongo"
	"sluice/internal/units"
)

// Config is the sink's part of the configuration.
type Config struct {
	URI               string         `yaml:"uri" secret:"true" doc:"MongoDB connection string; writes always wait for a majority of the members, less in the URI is refused."`
	Database          string         `yaml:"database" doc:"Database that the Tyk Dashboard reads."`
	MixedCollection   bool           `yaml:"mixed_collection" doc:"Also keep tyk_analytics_aggregates, which holds the documents of all organisations; on by default because the Dashboard's multi-organisation views read it."`
	TrackAllPaths     bool           `yaml:"track_all_paths" doc:"Count the endpoints of all records, not only of those that the gateway marks as tracked; off by default because documents grow with every path."`
	Bucket            units.Duration `yaml:"bucket" doc:"Time that one document covers: 1m, 5m, 15m, 30m or 1h; an hour is what the Dashboard expects."`
	ExpireAfter       units.Duration `yaml:"expire_after" doc:"How long after its bucket a document expires whose records give no expiry of their own; 100y keeps it."`
	Flush             units.Duration `yaml:"flush" doc:"How long counters gather before they are written; two seconds keep the Dashboard fresh and the number of updates small."`
	Ignore            []string       `yaml:"ignore" doc:"Dimensions that are not counted, such as keyendpoints, for documents that would grow too large."`
	IgnoreTagPrefixes []string       `yaml:"ignore_tag_prefixes" doc:"Tags that begin so are not counted; key- never is."`
	Top               int            `yaml:"top" doc:"How many counters each of lists.* holds, those with most hits; 0 lists all, as the Dashboard is used to."`
}

// Defaults are the settings of a sink that names only its URI.
func Defaults() Config {
	return Config{Database: "tyk_analytics", MixedCollection: true, Bucket: units.Duration(time.Hour),
		ExpireAfter: units.Duration(100 * 365 * units.Day), Flush: units.Duration(2 * time.Second)}
}

// Validate tells what is wrong, without any I/O.
func (c Config) Validate() []units.Problem {
	ps := append(mongo.ValidateURI("uri", c.URI), mongo.ValidateDatabase("database", c.Database)...)
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	if c.Flush < units.Duration(100*time.Millisecond) || c.Flush > units.Duration(time.Minute) {
		add("flush", fmt.Sprintf("%s is out of bounds", c.Flush), "use 100ms to 1m")
	}
	if c.Top < 0 {
		add("top", "is negative", "use 0 to list all")
	}
	if slices.Contains(c.IgnoreTagPrefixes, "") {
		add("ignore_tag_prefixes", "has an empty prefix, which all tags begin with", "write ignore: [tags] to count no tags")
	}
	return append(ps, c.shape().Validate()...)
}

// Target names the store, without secrets.
func (c Config) Target() string { return "mongo-aggregate " + mongo.Target(c.URI, c.Database) }

// shape is what of the configuration shapes the documents of a claim.
type shape struct {
	aggregate.Shape
	Mixed bool `json:"mixed_collection"`
	Top   int  `json:"top"`
}

func (c Config) shape() shape {
	return shape{Mixed: c.MixedCollection, Top: c.Top, Shape: aggregate.Shape{Bucket: c.Bucket, ExpireAfter: c.ExpireAfter,
		TrackAllPaths: c.TrackAllPaths, Ignore: sorted(c.Ignore), IgnoreTagPrefixes: sorted(c.IgnoreTagPrefixes)}}
}

// sorted makes equal settings equal, in whatever order they were written.
func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

// parseShape reads what was recorded with a claim; a claim without one goes by the configuration.
func parseShape(recorded json.RawMessage, otherwise shape) (shape, error) {
	if len(recorded) == 0 {
		return otherwise, nil
	}
	var s shape
	if err := json.Unmarshal(recorded, &s); err != nil {
		return s, fmt.Errorf("read the shape of a claim: %w", err)
	}
	if ps := s.Validate(); len(ps) > 0 {
		return s, fmt.Errorf("read the shape of a claim: %s %s", ps[0].Key, ps[0].What)
	}
	return s, nil
}
