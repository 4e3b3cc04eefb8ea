package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"sluice/internal/config"
)

// load reads the configuration and makes the log it asks for. Nothing is connected to.
func (e *environment) load(ctx context.Context) (*config.Config, *slog.Logger, error) {
	path, err := config.Find(e.config, e.env)
	if err != nil {
		return nil, nil, err
	}
	cfg, warnings, err := config.Load(ctx, path, e.env, &config.AWS{})
	if err != nil {
		return nil, nil, err
	}
	e.clean = cfg.Clean
	log := newLog(cleanWriter{e.stderr, cfg.Clean}, cfg.Log)
	for _, w := range warnings {
		log.Warn("configuration", "key", w.Name, "problem", w.Text)
	}
	return cfg, log, nil
}

// cleanWriter takes the secrets of the configuration out of what is written, which comes a line at a time.
type cleanWriter struct {
	to    io.Writer
	clean func(string) string
}

func (w cleanWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.to, w.clean(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

func newLog(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated with the configuration
	opt := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

func configCommand(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "The configuration: reference of all keys, the file as it is understood, JSON Schema",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use: "reference", Short: "Every key with type, default and meaning", Args: noArgs,
			RunE: func(*cobra.Command, []string) error { return config.Reference(e.stdout) },
		},
		&cobra.Command{
			Use: "show", Short: "The file as it is understood: defaults, overrides and references in place, secrets hidden", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				cfg, _, err := e.load(c.Context())
				if err != nil {
					return err
				}
				return write(e.stdout, cfg.Show)
			},
		},
		&cobra.Command{
			Use: "schema", Short: "JSON Schema, so that editors complete the file", Args: noArgs,
			RunE: func(*cobra.Command, []string) error { return write(e.stdout, config.Schema) },
		})
	return c
}

func write(w io.Writer, f func() ([]byte, error)) error {
	b, err := f()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s", b)
	return err
}
