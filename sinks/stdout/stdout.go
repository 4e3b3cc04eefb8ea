// Package stdout is the sink that prints each record as a line of JSON. It keeps no state: what is delivered twice, after
// a crash, is printed twice.
package stdout

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/units"
)

// Config is the sink's part of the configuration. It has no keys.
type Config struct{}

// Defaults are the settings of a sink of which nothing is said.
func Defaults() Config { return Config{} }

// Validate finds nothing wrong.
func (Config) Validate() []units.Problem { return nil }

// Target names the one standard output.
func (Config) Target() string { return "stdout" }

// Sink prints records, the names of their fields those of the archive's columns. Lines of streams that come at the same
// time do not mix.
type Sink struct {
	name string
	mu   sync.Mutex
	out  io.Writer
	enc  archive.Encoder
	buf  []byte
}

// New makes the sink; it prints to out.
func New(name string, _ Config, out io.Writer, _ *slog.Logger) (*Sink, error) {
	return &Sink{name: name, out: out}, nil
}

// Open implements pipeline.Sink.
func (*Sink) Open(context.Context) error { return nil }

// Shape implements pipeline.Sink: nothing shapes the lines.
func (*Sink) Shape() json.RawMessage { return json.RawMessage("{}") }

// Takes implements pipeline.Sink: everything but uptime records.
func (*Sink) Takes(k pipeline.Kind) bool { return k == pipeline.Analytics }

// maxKept is how much of the buffer is kept for the next batch.
const maxKept = 16 << 20

// Write prints the batch in one go. A reader that went away (EPIPE) does not come back, but it is not for this sink to
// stop the others: the error is repeated until an operator removes the sink or starts anew.
func (s *Sink) Write(_ context.Context, b *pipeline.Batch) (pipeline.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = s.buf[:0]
	for i := range b.Items {
		it := &b.Items[i]
		if it.Record == nil {
			return pipeline.Result{}, fmt.Errorf("sink %s: item %d of %s is no analytics record", s.name, it.Index, b.Stream.List)
		}
		s.buf = s.enc.AppendJSON(s.buf, &archive.Row{
			ID: it.ID, Record: it.Record, Stream: b.Stream, Position: pipeline.Position{Claim: b.Claim, Index: it.Index},
		})
	}
	_, err := s.out.Write(s.buf)
	if cap(s.buf) > maxKept {
		s.buf = nil
	}
	if err != nil {
		return pipeline.Result{}, pipeline.Fatal(fmt.Errorf("sink %s: print records: %w", s.name, err))
	}
	return pipeline.Result{}, nil
}

// Close implements pipeline.Sink.
func (*Sink) Close(context.Context) error { return nil }

var _ pipeline.Writer = (*Sink)(nil)
