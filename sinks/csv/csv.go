// Package csv is the sink that writes the CSV archive into a directory, in the format of package archive. Its store is on
// the machine it runs on.
package csv

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/units"
)

// Config is the sink's part of the configuration.
type Config struct {
	Dir         string               `yaml:"dir" required:"true" doc:"Directory of the archive; it is made if it is not there, on a file system with hard links."`
	Compression string               `yaml:"compression" enum:"zstd|gzip|none" doc:"zstd, gzip or none; zstd is the smallest and fastest."`
	Object      archive.ObjectConfig `yaml:"object" doc:"When gathered rows become files."`
	Formulas    bool                 `yaml:"formulas" doc:"Neutralise cells that a spreadsheet would run as a formula, by writing their first character as \\xHH; readers of the archive get the same text. Off because programs run nothing."`
}

// Defaults are the settings of a sink that names only its directory.
func Defaults() Config {
	return Config{Compression: string(archive.Zstd), Object: archive.DefaultObject()}
}

// Validate tells what is wrong, without any I/O.
func (c Config) Validate() []units.Problem {
	problems := archive.ValidateObject(c.Object, archive.Compression(c.Compression))
	if c.Dir == "" {
		problems = append(problems, units.Problem{
			Key: "dir", What: "is missing", Cure: "name the directory that the archive lies in",
		})
	}
	return problems
}

// Target names the store.
func (c Config) Target() string {
	dir := c.Dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return "csv " + dir
}

// Sink is the archive in a directory. What it gathers and how it stays exact is the archive.Gatherer's.
type Sink struct {
	*archive.Gatherer
	c Config
}

// New makes the sink. dir is for its temporary files, a directory of its own; it is emptied by Open.
func New(name string, c Config, dir string, log *slog.Logger) (*Sink, error) {
	if dir == "" {
		return nil, fmt.Errorf("sink %s: no directory for temporary files", name)
	}
	return &Sink{c: c, Gatherer: archive.NewGatherer(archive.Options{
		Sink: name, Dir: dir, MaxBytes: int64(c.Object.MaxBytes), MaxAge: c.Object.MaxAge.D(), Log: log,
		Layout: archive.Layout{Compression: archive.Compression(c.Compression), Neutral: c.Formulas},
	})}, nil
}

// Open makes the directory.
func (s *Sink) Open(context.Context) error {
	store, err := dirstore.Open(s.c.Dir)
	if err != nil {
		return dirstore.Classify(err)
	}
	return s.OpenStore(store)
}

// Takes implements pipeline.Sink: everything but uptime records, whatever a record reports of.
func (s *Sink) Takes(k pipeline.Kind) bool { return k == pipeline.Analytics }

// Local tells that the store is on this machine: a list that feeds it is not taken over by another.
func (s *Sink) Local() bool { return true }

var _ pipeline.Gatherer = (*Sink)(nil)
