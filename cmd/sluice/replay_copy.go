package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/config"
	"sluice/sinks/csv"
	archivesource "sluice/sources/archive"
)

// planCopy refuses what cannot be copied exactly: an archive gets whole objects.
func planCopy(name string, req *replayRequest) error {
	if req.Filtered() {
		return usageError{fmt.Errorf("sink %s is an archive and gets whole objects: leave out --org, --api and --status, or name the other sinks with --sink", name)}
	}
	if from, to := req.From.Truncate(time.Hour), req.To.Add(time.Hour-1).Truncate(time.Hour); !from.Equal(req.From) || !to.Equal(req.To) {
		return usageError{fmt.Errorf("sink %s is an archive and gets whole objects: give bounds of hours, like --from %s --to %s, or name the other sinks with --sink",
			name, from.Format(time.RFC3339), to.Format(time.RFC3339))}
	}
	return nil
}

// copy puts the objects of the time into the other archives.
func (r *replayer) copy(ctx context.Context) error {
	for _, name := range r.plan.copies {
		if err := r.copyInto(ctx, name); err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
	}
	return nil
}

func (r *replayer) copyInto(ctx context.Context, name string) (err error) {
	to, err := openTarget(ctx, r.cfg, name)
	if err != nil {
		return err
	}
	defer to.close()
	dir, err := os.MkdirTemp("", "sluice-copy-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	counts := &archivesource.Counts{}
	r.result.Sinks[name] = counts
	sources, err := onlookingSources(r.cfg, r.log)
	if err != nil {
		return err
	}
	owing, patience := &debts{sources: sources, sink: name}, r.request.o.timeout
	var all int64
	c := format.Copier{From: r.archive.raw.Store, To: to.raw.Store, Prefix: to.Prefix, Dir: dir}
	for h, err := range r.archive.Hours(ctx, r.request.From, r.request.To) {
		if err != nil {
			return err
		}
		for _, b := range h.Broken {
			r.fault(&archivesource.Unreadable{Object: b.Key, Err: b.Err})
		}
		for _, m := range h.Manifests {
			all += m.Records
		}
		var late []*format.Manifest
		if h.Manifests, late, err = owing.paid(ctx, h.Manifests, &patience); err != nil {
			return err
		}
		for _, m := range late {
			r.fault(&archivesource.Unreadable{Object: m.Key, Err: errStillOwed})
		}
		err = c.Hour(ctx, &h, func(n int64) { counts.Written += n; r.showMoved(n) },
			func(key string, err error) { r.fault(&archivesource.Unreadable{Object: key, Err: err}) })
		if err != nil {
			return err
		}
	}
	r.result.Records = max(r.result.Records, all)
	return nil
}

// errStillOwed says why an object is not copied.
var errStillOwed = errors.New("the other archive's own sink still is to get records of it, from Redis or its spool: they would be there twice; let a pump deliver them, or sluice release them, then go on")

// openTarget opens an archive that is copied into; a directory is made if it is not there.
func openTarget(ctx context.Context, cfg *config.Config, name string) (*openArchive, error) {
	if c, ok := cfg.Sinks[name].Settings.(csv.Config); ok {
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			return nil, err
		}
	}
	return (&environment{}).openArchive(ctx, cfg, name)
}
