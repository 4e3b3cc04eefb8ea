package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"sluice/internal/archive/dirstore"
	"sluice/internal/archive/s3store"
	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/internal/spool"
	"sluice/internal/statedir"
)

// openSpools opens the places for batches that Redis has no room for: the prefix of state.spool, and the state directory
// where that outlives the machine. The first is where new batches go; what lies in the other is still delivered. The
// function it returns closes them.
func openSpools(ctx context.Context, cfg *config.Config, state *statedir.Dir) (_ []pipeline.Spool, end func(), err error) {
	var out []pipeline.Spool
	end = func() {}
	if rest, ok := strings.CutPrefix(cfg.State.Spool, "s3://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		store, err := s3store.New(ctx, spoolStore(cfg, bucket))
		if err != nil {
			return nil, end, fmt.Errorf("state.spool: %w", err)
		}
		end = store.Close
		out = append(out, spool.New(store, prefix+"spool/", "s3://"+bucket+"/"+prefix))
	}
	if cfg.State.Durable {
		dir := state.Spool()
		err := os.MkdirAll(dir, 0o700) // records are nobody else's business
		var store *dirstore.Store
		if err == nil {
			store, err = dirstore.Open(dir)
		}
		if err != nil {
			return nil, end, usageError{fmt.Errorf("state.dir: %w", err)}
		}
		out = append(out, spool.New(store, "", "dir:"+state.Home))
	}
	return out, end, nil
}
