// Package discard is the sink that counts records and drops them, for benchmarks.
package discard

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"

	"sluice/internal/pipeline"
	"sluice/internal/units"
)

// Config is the sink's part of the configuration. It has no keys.
type Config struct{}

// Defaults are the settings of a sink of which nothing is said.
func Defaults() Config { return Config{} }

// Validate finds nothing wrong.
func (Config) Validate() []units.Problem { return nil }

// Target is empty: nothing is stored, so several such sinks do not disturb each other.
func (Config) Target() string { return "" }

// Sink counts what it is given.
type Sink struct{ records atomic.Uint64 }

// New makes the sink.
func New(string, Config, *slog.Logger) (*Sink, error) { return new(Sink), nil }

// Open implements pipeline.Sink.
func (*Sink) Open(context.Context) error { return nil }

// Shape implements pipeline.Sink: nothing shapes nothing.
func (*Sink) Shape() json.RawMessage { return json.RawMessage("{}") }

// Takes implements pipeline.Sink.
func (*Sink) Takes(pipeline.Kind) bool { return true }

// Write implements pipeline.Writer.
func (s *Sink) Write(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	s.records.Add(uint64(len(b.Items)))
	return pipeline.Result{}, nil
}

// Records is how many records were written, repeats counted again. It may be called at any time.
func (s *Sink) Records() uint64 { return s.records.Load() }

// Close implements pipeline.Sink.
func (*Sink) Close(context.Context) error { return nil }

var _ pipeline.Writer = (*Sink)(nil)
