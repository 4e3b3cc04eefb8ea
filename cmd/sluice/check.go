package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
	"sluice/internal/statedir"
	"sluice/sources/redislist"
)

// finding is one line of a check.
type finding struct {
	Part  string          `json:"part"`
	Level redislist.Level `json:"level"`
	Text  string          `json:"text"`
	Cure  string          `json:"cure,omitempty"`
}

func checkCommand(e *environment) *cobra.Command {
	var connect bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Validates the configuration; with --connect also tries every source and sink",
		Long: `Without --connect nothing is connected to. With it every source and sink is tried: reachable, allowed to write, indexes
and templates right, clocks. Sinks are prepared as a run would prepare them: collections, indexes and templates that are
missing are made.`,
		Example: "  sluice check\n  sluice check --connect --output json",
		Args:    noArgs,
	}
	c.Flags().BoolVar(&connect, "connect", false, "try every source and sink")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, log, err := e.load(c.Context())
		if err != nil {
			return err
		}
		found := []finding{{Part: "configuration", Level: redislist.OK, Text: fmt.Sprintf("%s: sources %s; sinks %s",
			cfg.File(), strings.Join(sortedKeys(cfg.Sources), ", "), strings.Join(sortedKeys(cfg.Sinks), ", "))}}
		if connect {
			tried, err := e.tryAll(c.Context(), cfg, log)
			if err != nil {
				return err
			}
			for i := range tried {
				tried[i].Text = cfg.Clean(tried[i].Text)
			}
			found = append(found, tried...)
		}
		if err := out.print(e.stdout, found, func(w io.Writer) error { return writeFindings(w, found) }); err != nil {
			return err
		}
		for _, f := range found {
			if f.Level == redislist.Fail {
				return silentError{}
			}
		}
		return nil
	}
	return c
}

func writeFindings(w io.Writer, found []finding) error {
	for _, f := range found {
		line := fmt.Sprintf("%-4s  %s: %s", f.Level, f.Part, printable(f.Text))
		if f.Cure != "" {
			line += "; " + f.Cure
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// tryAll tries every source and sink. The state directory is not locked: a pump may be running on it.
func (e *environment) tryAll(ctx context.Context, cfg *config.Config, log *slog.Logger) ([]finding, error) {
	found := []finding{tryState(cfg.State.Dir), tryLetters(ctx, cfg)}
	sources, err := onlookingSources(cfg, log)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		for _, f := range s.Check(ctx) {
			found = append(found, finding{"source " + s.Name(), f.Level, f.Text, f.Cure})
		}
	}
	scratch, err := os.MkdirTemp("", "sluice-check-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	specs, err := sinkSpecs(cfg, sinkDeps{state: &statedir.Dir{Path: scratch}, stdout: io.Discard, log: log})
	if err != nil {
		return nil, err
	}
	for _, s := range specs {
		found = append(found, trySink(ctx, s))
	}
	return found, nil
}

// trySink opens a sink as a run would, and closes it.
func trySink(ctx context.Context, s pipeline.SinkSpec) finding {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	began := time.Now()
	err := s.Sink.Open(ctx)
	closeCtx, end := context.WithTimeout(context.WithoutCancel(ctx), s.Timeout)
	defer end()
	if closeErr := s.Sink.Close(closeCtx); err == nil {
		err = closeErr
	}
	f := finding{Part: "sink " + s.Name, Level: redislist.OK, Text: fmt.Sprintf("%s is ready, opened in %s", s.Type,
		time.Since(began).Round(time.Millisecond))}
	if err != nil {
		f.Level, f.Text = redislist.Fail, err.Error()
		f.Cure = "it cannot be reached now; a run would wait for it"
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
			f.Cure = "a run would not start"
		}
	}
	return f
}

// tryLetters tells whether dead letters have a place.
func tryLetters(ctx context.Context, cfg *config.Config) finding {
	f := finding{Part: "state", Level: redislist.OK, Text: "dead letters have a place"}
	box, err := openLetterBox(ctx, cfg)
	if err == nil {
		defer box.Close()
		err = box.Each(ctx, func(*pipeline.Letter) error { return deadletter.ErrStop })
	}
	switch {
	case err != nil:
		f.Level, f.Text, f.Cure = redislist.Fail, err.Error(), "see state.dir, state.durable and state.spool"
	case box == noLetterBox{}:
		f.Level, f.Text, f.Cure = redislist.Warn, "dead letters have no place: a record that becomes one waits, and all behind it",
			"set state.spool to s3://bucket/prefix/"
	}
	return f
}

// tryState tells whether the state directory can be written to.
func tryState(dir string) finding {
	f := finding{Part: "state", Level: redislist.OK, Text: dir + " can be written to"}
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		probe := filepath.Join(dir, ".check")
		if err = os.WriteFile(probe, nil, 0o600); err == nil {
			err = os.Remove(probe)
		}
	}
	if err != nil {
		f.Level, f.Text, f.Cure = redislist.Fail, err.Error(), "set state.dir to a directory of its own that this user may write to"
	}
	return f
}
