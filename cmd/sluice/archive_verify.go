package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	format "sluice/internal/archive"
	archivesource "sluice/sources/archive"
)

// verifyParallel is how many objects are read at once. Each takes some ten MiB to decompress.
const verifyParallel = 4

// verification is the result of archive verify.
type verification struct {
	Archive string `json:"archive"`
	Objects int    `json:"objects"` // read
	Records int64  `json:"records"` // of those that are sound
	Bytes   int64  `json:"bytes"`
	Orphans int    `json:"orphans"` // objects without a manifest: in work, or left by a crash
	Corrupt faults `json:"corrupt"`
}

func archiveVerify(e *environment) *cobra.Command {
	var sel selecting
	c := &cobra.Command{Use: "verify", Short: "Do bytes and hashes of all objects hold", Args: noArgs,
		Long: `Reads every object that counts to its end and compares records, bytes and SHA-256 with its manifest. Damaged
objects are named, the rest goes on; the exit code is 1 then.`,
		Example: "  sluice archive verify\n  sluice archive verify --from 2026-11-23 --to 2026-11-24"}
	sel.times(c)
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return e.withArchive(c.Context(), &sel, func(a *openArchive, s *archivesource.Selection, p *progress) error {
			v := &verifying{verification: verification{Archive: a.name}, archive: a, progress: p}
			if err := v.all(c.Context(), s); err != nil {
				return err
			}
			if err := out.print(e.stdout, &v.verification, v.text); err != nil {
				return err
			}
			return v.Corrupt.failed()
		})
	}
	return c
}

type verifying struct {
	archive *openArchive

	mu sync.Mutex
	verification
	progress *progress
	known    int64 // records of the hours begun
	expected int64
	done     int64
}

// all reads the chosen objects, hour by hour, some at a time.
func (v *verifying) all(ctx context.Context, s *archivesource.Selection) error {
	expected, err := v.archive.Expected(ctx, s) // for the progress alone, so from indexes where there are some
	if err != nil {
		return err
	}
	for h, err := range v.archive.raw.Hours(ctx, s.From, s.To) {
		if err != nil {
			return err
		}
		v.begin(&h)
		v.expected = max(expected, v.known)
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(verifyParallel)
		for _, m := range h.Manifests {
			if m.Touches(s.From, s.To) {
				g.Go(func() error { return v.one(ctx, m) })
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	slices.SortFunc(v.Corrupt.Named, func(a, b fault) int { return strings.Compare(a.Object, b.Object) })
	return nil
}

func (v *verifying) begin(h *format.Hour) {
	v.Orphans += len(h.Orphans)
	for _, b := range h.Broken {
		v.Corrupt.add(b.Key, b.Err)
	}
	for _, m := range h.Manifests {
		v.known += m.Records
	}
}

func (v *verifying) one(ctx context.Context, m *format.Manifest) error {
	err := format.Verify(ctx, v.archive.raw.Store, m)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, format.ErrNotFound) && v.archive.Successor(ctx, m) != nil {
		return nil // joined with others and deleted meanwhile
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Objects++
	v.done += m.Records
	if err != nil {
		v.Corrupt.add(m.Key, err)
	} else {
		v.Records += m.Records
		v.Bytes += m.Bytes
	}
	if v.progress.due() {
		v.progress.at(uint64(v.done), uint64(v.expected), m.Key)
	}
	return nil
}

func (v *verification) text(w io.Writer) error {
	if err := v.Corrupt.text(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d objects read, %d records and %d bytes are sound, %d objects are corrupt, %d have no manifest\n",
		v.Objects, v.Records, v.Bytes, v.Corrupt.Count, v.Orphans)
	return err
}
