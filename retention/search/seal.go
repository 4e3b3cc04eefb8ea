package search

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/internal/crash"
	"sluice/retention/plan"
)

// unsealed notes an index that is not in its last form. Whether it is old enough is the plan's affair.
func (s *Store) unsealed(inv *plan.Inventory, x *index, from, to time.Time, readOnly bool) {
	if s.o.Rules.SealAfter == 0 || x.Status == "close" {
		return
	}
	var why []string
	if segments, shards := number(x.Segments), number(x.Shards); segments > shards {
		why = append(why, fmt.Sprintf("%d segments in %d shards", segments, shards))
	}
	if !readOnly {
		why = append(why, "open for writing")
	}
	if len(why) > 0 {
		inv.Unsealed = append(inv.Unsealed, plan.Unsealed{Target: x.Name, From: from, To: to, Records: number(x.Docs), Why: strings.Join(why, ", ")})
	}
}

// readOnly tells which indices take no writes.
func (s *Store) readOnly(ctx context.Context) (map[string]bool, error) {
	if s.o.Rules.SealAfter == 0 {
		return nil, nil
	}
	var found map[string]struct {
		Settings map[string]string `json:"settings"`
	}
	const block = "index.blocks.write"
	path := "/" + s.admin.Wildcard() + "/_settings/" + block + "?flat_settings=true"
	if status, err := s.admin.Call(ctx, http.MethodGet, path, nil, &found); err != nil && status != http.StatusNotFound {
		return nil, fmt.Errorf("ask which indices are read-only: %w", err)
	}
	out := map[string]bool{}
	for name, f := range found {
		out[name] = f.Settings[block] == "true"
	}
	return out, nil
}

// seal makes an index read-only, and then merges it to a segment a shard: in this order nothing comes in between. A late
// record opens it again, and the next plan has it once more.
func (s *Store) seal(ctx context.Context, name string) error {
	if err := s.admin.Seal(ctx, name); err != nil {
		return err
	}
	return s.merge(ctx, name, "max_num_segments=1")
}

// merge merges segments of an index in a task of the cluster. Before OpenSearch 2.7 a merge is no task: the request lasts as
// long as it does.
func (s *Store) merge(ctx context.Context, name, how string) error {
	var started struct {
		Task string `json:"task"`
	}
	crash.Before("retention/merge")
	status, err := s.admin.Call(ctx, http.MethodPost, "/"+name+"/_forcemerge?wait_for_completion=false&"+how, nil, &started)
	crash.After("retention/merge")
	if status == http.StatusBadRequest {
		crash.Before("retention/merge-waiting")
		status, err = s.admin.Call(ctx, http.MethodPost, "/"+name+"/_forcemerge?"+how, nil, nil)
		crash.After("retention/merge-waiting")
	}
	if status == http.StatusNotFound {
		return nil // the index is gone
	}
	if err != nil {
		return fmt.Errorf("merge index %s: %w", name, err)
	}
	if started.Task != "" {
		if err := s.await(ctx, "merge "+name, started.Task, func(int64) {}); err != nil {
			return err
		}
	}
	return s.refresh(ctx, name)
}
