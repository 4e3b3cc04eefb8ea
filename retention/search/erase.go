package search

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"sluice/internal/crash"
	"sluice/retention/erase"
	"sluice/retention/plan"
)

// Eraser takes somebody's documents out of the indices of one sink. It is for one goroutine.
type Eraser struct {
	*Store
	Person *erase.Person
}

// whose is the query for the person's documents, and perhaps more conditions.
func (e *Eraser) whose(more ...any) map[string]any {
	p := e.Person
	filter := more
	not := []any{map[string]any{"term": map[string]any{"api_key": erase.Nobody}}}
	for field, values := range map[string][]string{"api_key": p.Keys, "api_id": p.APIs} {
		if len(values) > 0 {
			filter = append(filter, map[string]any{"terms": map[string]any{field: values}})
		}
	}
	if p.Org != "" {
		filter = append(filter, map[string]any{"term": map[string]any{"org_id": p.Org}})
	}
	filter = append(filter, between(p.From, p.To)...)
	return map[string]any{"bool": map[string]any{"filter": filter, "must_not": not}}
}

func between(from, to time.Time) []any {
	at := map[string]any{}
	if !from.IsZero() {
		at["gte"] = from.UTC().Format(time.RFC3339Nano)
	}
	if !to.IsZero() {
		at["lt"] = to.UTC().Format(time.RFC3339Nano)
	}
	if len(at) == 0 {
		return nil
	}
	return []any{map[string]any{"range": map[string]any{"@timestamp": at}}}
}

// Plan counts the person's documents in the indices of the sink's pattern.
func (e *Eraser) Plan(ctx context.Context) (out []plan.Action, err error) {
	var found []index
	path := "/_cat/indices/" + e.admin.Wildcard() + "?format=json&h=index,status"
	if status, err := e.admin.Call(ctx, http.MethodGet, path, nil, &found); err != nil && status != http.StatusNotFound {
		return nil, fmt.Errorf("list indices: %w", err)
	}
	for _, x := range found {
		if _, _, ok := e.admin.Span(x.Name); !ok {
			continue
		}
		a := plan.Action{Verb: e.Person.Verb(), Store: e.o.Name, Kind: plan.Search, Target: x.Name, Reason: e.Person.String()}
		if x.Status == "close" {
			a.HeldBy = []string{"the index is closed, so that nobody can tell what is in it"}
			out = append(out, a)
			continue
		}
		if err := e.refresh(ctx, x.Name); err != nil {
			return nil, err
		}
		if a.Records, err = e.count(ctx, x.Name, e.whose()); err != nil {
			return nil, err
		}
		if a.Records == 0 {
			continue
		}
		if a.HeldBy, err = e.held(ctx, x.Name); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// under are the conditions of what a hold covers.
func under(h *plan.Hold) []any {
	out := between(h.From, h.To)
	if h.Org != "*" {
		out = append(out, map[string]any{"term": map[string]any{"org_id": h.Org}})
	}
	return out
}

// held tells which holds cover some of the person's documents of an index.
func (e *Eraser) held(ctx context.Context, name string) (out []string, err error) {
	for i := range e.Person.Holds {
		h := &e.Person.Holds[i]
		n, err := e.count(ctx, name, e.whose(under(h)...))
		if err != nil {
			return nil, err
		}
		if n > 0 {
			out = append(out, h.String())
		}
	}
	return out, nil
}

// free is the query for the person's documents that are on no hold.
func (e *Eraser) free() map[string]any {
	var held []any
	for i := range e.Person.Holds {
		held = append(held, map[string]any{"bool": map[string]any{"filter": under(&e.Person.Holds[i])}})
	}
	return map[string]any{"bool": map[string]any{"filter": []any{e.whose()}, "must_not": held}}
}

func (e *Eraser) count(ctx context.Context, name string, query map[string]any) (int64, error) {
	var res struct {
		Count int64 `json:"count"`
	}
	if _, err := e.admin.Call(ctx, http.MethodPost, "/"+name+"/_count", map[string]any{"query": query}, &res); err != nil {
		return 0, fmt.Errorf("count documents of %s: %w", name, err)
	}
	return res.Count, nil
}

// anonymise is done to each document, in Painless.
const anonymise = `ctx._source.api_key = params.nobody;
for (f in ['alias', 'oauth_id', 'ip_address', 'user_agent', 'raw_request', 'raw_response', 'geo']) { ctx._source.remove(f); }
if (ctx._source.tags instanceof List) { ctx._source.tags.removeIf(t -> t.toString().startsWith('key-')); }`

// Do does an action of a plan; to do it again changes nothing. What is on hold stays, also if it came after the plan.
func (e *Eraser) Do(ctx context.Context, a *plan.Action, done func(int64)) error {
	if err := e.do(ctx, a, done); err != nil {
		return err
	}
	held, err := e.held(ctx, a.Target)
	if err != nil {
		return err
	}
	return erase.NewHeldError(held)
}

// do lets the cluster do it, in a task of its own and at a rate.
func (e *Eraser) do(ctx context.Context, a *plan.Action, done func(int64)) error {
	if _, _, ok := e.admin.Span(a.Target); !ok {
		return fmt.Errorf("%s is no index of the pattern %s", a.Target, e.o.Config.Index)
	}
	body := map[string]any{"query": e.free()}
	verb := "_delete_by_query"
	if a.Verb == plan.Anonymise {
		verb = "_update_by_query"
		body["script"] = map[string]any{"lang": "painless", "source": anonymise, "params": map[string]any{"nobody": erase.Nobody}}
	}
	var started struct {
		Task string `json:"task"`
	}
	if _, err := e.admin.Unseal(ctx, a.Target); err != nil { // the next retain seals it again
		return err
	}
	path := fmt.Sprintf("/%s/%s?conflicts=proceed&refresh=true&wait_for_completion=false&requests_per_second=%d", a.Target, verb, e.o.Rate)
	crash.Before("erase/index-documents")
	_, err := e.admin.Call(ctx, http.MethodPost, path, body, &started)
	crash.After("erase/index-documents")
	if err != nil {
		return fmt.Errorf("%s documents of %s: %w", a.Verb, a.Target, err)
	}
	return e.await(ctx, string(a.Verb)+" documents of "+a.Target, started.Task, done)
}
