// Package mongoraw is the sink that stores one document a record in MongoDB, in the collections the Tyk Dashboard
// reads: the capped tyk_analytics or one z_tyk_analyticz_<ORG> an organisation, and tyk_uptime_analytics.
//
// A document's _id is the record ID, so that a record delivered twice meets its own duplicate key, which is success.
package mongoraw

import (
	"encoding/json"
	"fmt"

	"sluice/internal/mongo"
	"sluice/internal/units"
)

// The layouts.
const (
	LayoutCapped = "capped"
	LayoutPerOrg = "per-org"
)

// Config is the sink's part of the configuration.
type Config struct {
	URI        string     `yaml:"uri" secret:"true" doc:"MongoDB connection string; writes always wait for a majority of the members, less in the URI is refused."`
	Database   string     `yaml:"database" doc:"Database that the Tyk Dashboard reads."`
	Layout     string     `yaml:"layout" doc:"capped: one capped collection tyk_analytics; per-org: a collection z_tyk_analyticz_<ORG> for each organisation, whose documents expire at their expireAt (also for DocumentDB, which has no capped collections)."`
	CappedSize units.Size `yaml:"capped_size" doc:"Size that the capped collection is created with, in bytes; an existing one keeps its size until retention changes it."`
	Uptime     bool       `yaml:"uptime" doc:"Also store uptime checks, in tyk_uptime_analytics; on by default because the Dashboard reads them there."`
}

// Defaults are the settings of a sink that names only its URI.
func Defaults() Config {
	return Config{Database: "tyk_analytics", Layout: LayoutCapped, CappedSize: 5 * units.GiB, Uptime: true}
}

// minCapped leaves room for at least some records; smaller is a typing error, 5MiB for 5GiB is not.
const minCapped = units.MiB

// Validate tells what is wrong, without any I/O.
func (c Config) Validate() []units.Problem {
	problems := append(mongo.ValidateURI("uri", c.URI), mongo.ValidateDatabase("database", c.Database)...)
	add := func(key, what, cure string) {
		problems = append(problems, units.Problem{Key: key, What: what, Cure: cure})
	}
	if c.Layout != LayoutCapped && c.Layout != LayoutPerOrg {
		add("layout", fmt.Sprintf("%q is not a layout", c.Layout), "write capped or per-org")
	}
	if c.Layout == LayoutCapped && c.CappedSize < minCapped {
		add("capped_size", c.CappedSize.String()+" is too small", "give at least "+minCapped.String())
	}
	return problems
}

// Target names the store, without secrets.
func (c Config) Target() string {
	return "mongo-raw " + mongo.Target(c.URI, c.Database) + " " + c.Layout
}

// shape is what of the configuration shapes the effects of a claim.
type shape struct {
	Layout string `json:"layout"`
	Uptime bool   `json:"uptime"`
}

func (c Config) shape() shape { return shape{Layout: c.Layout, Uptime: c.Uptime} }

// parseShape reads what was recorded with a claim; a claim without one goes by the configuration.
func parseShape(recorded json.RawMessage, otherwise shape) (shape, error) {
	if len(recorded) == 0 {
		return otherwise, nil
	}
	s := otherwise
	if err := json.Unmarshal(recorded, &s); err != nil {
		return shape{}, fmt.Errorf("read the shape recorded with the claim: %w", err)
	}
	if s.Layout != LayoutCapped && s.Layout != LayoutPerOrg {
		return shape{}, fmt.Errorf("the claim was made for layout %q, which this version does not know", s.Layout)
	}
	return s, nil
}
