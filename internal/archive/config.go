package archive

import (
	"fmt"

	"sluice/internal/units"
)

// ObjectConfig says when objects are closed.
type ObjectConfig struct {
	MaxBytes units.Size     `yaml:"max_bytes" doc:"Uncompressed size of gathered rows, in bytes, at which they go to the archive; until then their records wait in Redis."`
	MaxAge   units.Duration `yaml:"max_age" doc:"Age of the oldest gathered row at which rows go to the archive whatever their size; short enough that Redis holds little back."`
}

// Defaults of objects: a quarter of a GiB compresses to some 20 MiB, which is large enough for Athena and small enough for
// one PUT; a minute bounds what waits in Redis.
const (
	DefaultMaxBytes = 256 * units.MiB
	DefaultMaxAge   = units.Duration(60e9)
)

// Bounds of max_bytes. A range may exceed it by one batch, and a single PUT takes 5 GiB.
const (
	minMaxBytes = 4 * units.KiB
	maxMaxBytes = 4 * units.GiB
)

// DefaultObject is what applies when nothing is said.
func DefaultObject() ObjectConfig {
	return ObjectConfig{MaxBytes: DefaultMaxBytes, MaxAge: DefaultMaxAge}
}

// ValidateObject tells what is wrong with the keys object and compression of a sink.
func ValidateObject(o ObjectConfig, c Compression) (problems []units.Problem) {
	if o.MaxBytes < minMaxBytes || o.MaxBytes > maxMaxBytes {
		problems = append(problems, units.Problem{
			Key: "object.max_bytes", What: o.MaxBytes.String() + " is out of range",
			Cure: fmt.Sprintf("give %s to %s", minMaxBytes, maxMaxBytes),
		})
	}
	if o.MaxAge <= 0 {
		problems = append(problems, units.Problem{
			Key: "object.max_age", What: "must be more than nothing", Cure: "give a span such as 60s",
		})
	}
	if !c.Valid() {
		problems = append(problems, units.Problem{
			Key: "compression", What: fmt.Sprintf("%q is not a compression", c), Cure: "write zstd, gzip or none",
		})
	}
	return problems
}
