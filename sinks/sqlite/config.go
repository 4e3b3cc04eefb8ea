// Package sqlite is the sink that keeps aggregates and the latest records in one SQLite file, for one machine and for
// the console. A record's effect and the position that says so are one transaction.
package sqlite

import (
	"path/filepath"

	"sluice/internal/units"
)

// Config of a sqlite sink.
type Config struct {
	Path   string `yaml:"path" doc:"File that holds the database; its directory is made when it is not there, and a lock file lies beside it."`
	Recent int    `yaml:"recent" doc:"Number of latest records kept one by one beside the aggregates; 100000 are some 50 MB, 0 keeps none."`
	Bodies bool   `yaml:"bodies" doc:"Keep raw request and response of the latest records too; off, since they are most of a record's bytes."`

	KeepMinutes units.Duration `yaml:"keep_minutes" doc:"How long aggregates by minute are kept (those by hour stay); 2d, since a minute takes some 150 rows."`
	Names       int            `yaml:"names" doc:"Most values that a dimension (endpoints, keys, ...) may have in an hour; later ones count under 'other', so that callers cannot fill the disk with paths."`
}

// Defaults of a sqlite sink.
func Defaults() Config {
	return Config{Recent: 100_000, KeepMinutes: units.Duration(2 * units.Day), Names: 2000}
}

// Validate tells what is wrong with the configuration.
func (c Config) Validate() []units.Problem {
	var p []units.Problem
	if c.Path == "" {
		p = append(p, units.Problem{Key: "path", What: "is missing", Cure: "name the file, for example ./sluice.db"})
	}
	if c.Recent < 0 {
		p = append(p, units.Problem{Key: "recent", What: "is negative", Cure: "0 keeps no records, 100000 is the default"})
	}
	if c.KeepMinutes.D() < hourWidth {
		p = append(p, units.Problem{Key: "keep_minutes", What: "is less than an hour", Cure: "2d is the default"})
	}
	if c.Names < 1 {
		p = append(p, units.Problem{Key: "names", What: "is less than 1", Cure: "2000 is the default"})
	}
	return p
}

// Target is the file, so that two sinks on one file can be refused.
func (c Config) Target() string {
	abs, err := filepath.Abs(c.Path)
	if err != nil {
		return "sqlite:" + c.Path
	}
	return "sqlite:" + abs
}
