// Package search is retention in OpenSearch: indices by the time in their names, documents of single organisations within
// them.
package search

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"sluice/internal/crash"
	"sluice/retention/plan"
	"sluice/sinks/opensearch"
)

// How indices are deleted.
const (
	Auto   = "auto"   // by Index State Management where the plugin is there, else by ourselves
	Always = "always" // by Index State Management; without the plugin nothing is deleted
	Never  = "never"  // by ourselves
)

// Options are what a Store needs.
type Options struct {
	Name   string // of the sink
	Config opensearch.Config
	ISM    string
	Rules  plan.Rules
	Log    *slog.Logger
	Rate   int // documents a second that are deleted by query; 0: 10,000
}

// Store looks into the indices of one sink and deletes there. It is for one goroutine.
type Store struct {
	o     Options
	admin *opensearch.Admin
	poll  time.Duration
	ism   bool // the plugin answers and is to be used
}

const defaultRate = 10_000

// New makes a store; nothing is connected to yet. The caller closes it.
func New(ctx context.Context, o Options) (*Store, error) {
	a, err := opensearch.NewAdmin(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	if o.Rate <= 0 {
		o.Rate = defaultRate
	}
	return &Store{o: o, admin: a, poll: 500 * time.Millisecond}, nil
}

// Close ends idle connections.
func (s *Store) Close(context.Context) { s.admin.Close() }

// index is a line of _cat/indices.
type index struct {
	Name   string `json:"index"`
	Status string `json:"status"`
	Docs   string `json:"docs.count"`
	Size   string `json:"store.size"`

	Shards   string `json:"pri"`
	Segments string `json:"pri.segments.count"`
}

const indexFields = "index,status,docs.count,store.size,pri,pri.segments.count"

// Inventory lists the indices of the sink's pattern. Those of which a rule may want something are counted by organisation.
func (s *Store) Inventory(ctx context.Context, now time.Time) (plan.Inventory, error) {
	inv := plan.Inventory{Store: s.o.Name, Kind: plan.Search, Free: -1, Ahead: "on the cluster's disks, below the flood-stage watermark"}
	var found []index
	path := "/_cat/indices/" + s.admin.Wildcard() + "?format=json&bytes=b&h=" + indexFields
	if status, err := s.admin.Call(ctx, http.MethodGet, path, nil, &found); err != nil && status != http.StatusNotFound {
		return inv, fmt.Errorf("list indices: %w", err)
	}
	managed, err := s.managed(ctx, &inv)
	if err != nil {
		return inv, err
	}
	readOnly, err := s.readOnly(ctx)
	if err != nil {
		return inv, err
	}
	cut := later(s.shortest(now), s.beyond(found))
	for _, x := range found {
		from, to, ok := s.admin.Span(x.Name)
		if !ok {
			inv.Notes = append(inv.Notes, "index "+x.Name+" has no time of the pattern "+s.o.Config.Index+" in its name and is left alone")
			continue
		}
		s.unsealed(&inv, &x, from, to, readOnly[x.Name])
		it := plan.Item{Target: x.Name, From: from, To: to, Whole: true, AnyOrg: true, Records: number(x.Docs), Bytes: number(x.Size)}
		if s.o.ISM == Always && !s.ism {
			it.Pinned = "retention.search.ism is always, and Index State Management does not answer"
		}
		switch {
		case x.Status == "close":
			it.Pinned = "the index is closed, so that nobody can tell what is in it"
		case managed[x.Name] == policyID:
			it.Going = "Index State Management"
			inv.Notes = append(inv.Notes, "index "+x.Name+" is being deleted by Index State Management")
		case !to.After(cut):
			items, err := s.organisations(ctx, it)
			if err != nil {
				return inv, err
			}
			inv.Items = append(inv.Items, items...)
			continue
		}
		inv.Items = append(inv.Items, it)
	}
	inv.Free = s.free(ctx)
	return inv, nil
}

// shortest is the moment that an index must end before for any rule to want something of it.
func (s *Store) shortest(now time.Time) time.Time {
	keep := s.o.Rules.Keep[plan.Search]
	for _, o := range s.o.Rules.Organisations {
		if k, ok := o.Keep[plan.Search]; ok && k > 0 && (keep == 0 || k < keep) {
			keep = k
		}
	}
	if keep == 0 {
		return time.Time{}
	}
	return now.Add(-keep)
}

// beyond is the moment that an index must end before to be among the oldest that the bound on all sizes leaves no room for.
func (s *Store) beyond(found []index) time.Time {
	bound := s.o.Rules.MaxSize[plan.Search]
	if bound == 0 {
		return time.Time{}
	}
	type aged struct {
		to    time.Time
		bytes int64
	}
	var all []aged
	for _, x := range found {
		if _, to, ok := s.admin.Span(x.Name); ok {
			all = append(all, aged{to, number(x.Size)})
		}
	}
	slices.SortFunc(all, func(a, b aged) int { return b.to.Compare(a.to) })
	for _, x := range all {
		if bound -= x.bytes; bound < 0 {
			return x.to
		}
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil { // a red index has none
		return 0
	}
	return n
}

// maxOrgs bounds how many organisations of an index are told apart; the others' documents go with the longest rule.
const maxOrgs = 10_000

// organisations splits what is in an index by organisation. What was written last is seen only after a refresh; a service
// that has none (Serverless) shows it by itself after some seconds.
func (s *Store) organisations(ctx context.Context, it plan.Item) ([]plan.Item, error) {
	var res struct {
		Hits struct {
			Total struct {
				Value int64 `json:"value"`
			} `json:"total"`
		} `json:"hits"`
		Aggregations struct {
			Orgs struct {
				Rest    int64 `json:"sum_other_doc_count"`
				Buckets []struct {
					Key   string `json:"key"`
					Count int64  `json:"doc_count"`
				} `json:"buckets"`
			} `json:"orgs"`
		} `json:"aggregations"`
	}
	body := map[string]any{"size": 0, "track_total_hits": true, "aggs": map[string]any{
		"orgs": map[string]any{"terms": map[string]any{"field": "org_id", "size": maxOrgs, "missing": ""}}}}
	if err := s.refresh(ctx, it.Target); err != nil {
		return nil, err
	}
	if _, err := s.admin.Call(ctx, http.MethodPost, "/"+it.Target+"/_search", body, &res); err != nil {
		// without the sink's template the field may be text; who has what is not known then
		s.o.Log.Warn("organisations of an index cannot be told apart", "index", it.Target, "err", err)
		return []plan.Item{it}, nil
	}
	total := res.Hits.Total.Value
	if total == 0 {
		it.Records = 0
		return []plan.Item{it}, nil
	}
	var out []plan.Item
	share := func(n int64) int64 { return int64(float64(it.Bytes) * float64(n) / float64(total)) }
	for _, b := range res.Aggregations.Orgs.Buckets {
		o := it
		o.Org, o.AnyOrg, o.Records, o.Bytes = b.Key, false, b.Count, share(b.Count)
		out = append(out, o)
	}
	if n := res.Aggregations.Orgs.Rest; n > 0 {
		it.Records, it.Bytes = n, share(n)
		it.Pinned = fmt.Sprintf("more than %d organisations have documents in it", maxOrgs)
		out = append(out, it)
	}
	return out, nil
}

// refresh makes what was written and merged last seen. A service that has no such request does it by itself.
func (s *Store) refresh(ctx context.Context, name string) error {
	if status, err := s.admin.Call(ctx, http.MethodPost, "/"+name+"/_refresh", nil, nil); status == 0 || status >= 500 {
		return fmt.Errorf("refresh index %s: %w", name, err)
	}
	return nil
}

// flood is the share of a disk that OpenSearch keeps free, by its default watermark.
const flood = 0.05

// free is what the cluster's disks can still take, or -1 where it does not say (Serverless).
func (s *Store) free(ctx context.Context) int64 {
	var nodes []struct {
		Free  string `json:"disk.avail"`
		Total string `json:"disk.total"`
	}
	if _, err := s.admin.Call(ctx, http.MethodGet, "/_cat/allocation?format=json&bytes=b&h=disk.avail,disk.total", nil, &nodes); err != nil {
		return -1
	}
	var sum int64
	for _, n := range nodes {
		sum += max(0, number(n.Free)-int64(flood*float64(number(n.Total))))
	}
	return sum
}

// Do does an action of a plan; to do it again changes nothing.
func (s *Store) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	if _, _, ok := s.admin.Span(a.Target); !ok {
		return fmt.Errorf("%s is no index of the pattern %s", a.Target, s.o.Config.Index)
	}
	switch a.Verb {
	case plan.DeleteIndex:
		if err := s.deleteIndex(ctx, a.Target); err != nil {
			return err
		}
		done(a.Records)
		return nil
	case plan.DeleteDocuments:
		return s.deleteDocuments(ctx, a, done)
	case plan.Seal:
		return s.seal(ctx, a.Target)
	}
	return fmt.Errorf("%s is not for OpenSearch", a.Verb)
}

func (s *Store) deleteIndex(ctx context.Context, name string) error {
	if s.o.ISM == Always && !s.ism {
		return errors.New("retention.search.ism is always, and the cluster has no Index State Management")
	}
	if s.ism {
		attached, err := s.attach(ctx, name)
		if err != nil || attached {
			return err
		}
		s.o.Log.Info("an index has a policy of another's and is deleted directly", "index", name)
	}
	crash.Before("retention/index")
	status, err := s.admin.Call(ctx, http.MethodDelete, "/"+name, nil, nil)
	crash.After("retention/index")
	if status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete index %s: %w", name, err)
	}
	return nil
}

// deleteDocuments deletes what some organisations have in an index. The cluster does it in a task of its own, at a rate.
func (s *Store) deleteDocuments(ctx context.Context, a *plan.Action, done func(int64)) error {
	if len(a.Orgs) == 0 {
		return fmt.Errorf("delete documents of %s: no organisation is named", a.Target)
	}
	should := []any{map[string]any{"terms": map[string]any{"org_id": a.Orgs}}}
	for _, org := range a.Orgs {
		if org == "" {
			should = append(should, map[string]any{"bool": map[string]any{"must_not": map[string]any{"exists": map[string]any{"field": "org_id"}}}})
		}
	}
	body := map[string]any{"query": map[string]any{"bool": map[string]any{"should": should, "minimum_should_match": 1}}}
	sealed, err := s.admin.Unseal(ctx, a.Target)
	if err != nil {
		return err
	}
	var started struct {
		Task string `json:"task"`
	}
	path := fmt.Sprintf("/%s/_delete_by_query?conflicts=proceed&refresh=true&wait_for_completion=false&requests_per_second=%d", a.Target, s.o.Rate)
	crash.Before("retention/index-documents")
	status, err := s.admin.Call(ctx, http.MethodPost, path, body, &started)
	crash.After("retention/index-documents")
	if status == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete documents of %s: %w", a.Target, err)
	}
	if err := s.await(ctx, "delete documents of "+a.Target, started.Task, done); err != nil {
		return err
	}
	if sealed {
		return s.seal(ctx, a.Target)
	}
	return s.merge(ctx, a.Target, "only_expunge_deletes=true") // before that the disk has all of it
}

// await waits for a task of the cluster. When ctx ends before, the task goes on; to start it again is harmless.
func (s *Store) await(ctx context.Context, target, task string, done func(int64)) error {
	var said int64
	for {
		var t struct {
			Completed bool `json:"completed"`
			Task      struct {
				Status struct {
					Deleted int64 `json:"deleted"`
					Updated int64 `json:"updated"`
				} `json:"status"`
			} `json:"task"`
			Error    map[string]any `json:"error"`
			Response struct {
				Deleted  int64 `json:"deleted"`
				Updated  int64 `json:"updated"`
				Failures []any `json:"failures"`
			} `json:"response"`
		}
		if _, err := s.admin.Call(ctx, http.MethodGet, "/_tasks/"+task, nil, &t); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		n := max(t.Task.Status.Deleted, t.Response.Deleted, t.Task.Status.Updated, t.Response.Updated)
		done(n - said)
		said = n
		if t.Completed {
			if len(t.Error) > 0 || len(t.Response.Failures) > 0 {
				return fmt.Errorf("%s: %d failed; %v", target, len(t.Response.Failures), t.Error["reason"])
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(s.poll):
		}
	}
}
