package search

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/testenv"
	"sluice/internal/units"
	"sluice/retention/plan"
	"sluice/sinks/opensearch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func open(t *testing.T, url, prefix, ism string, r plan.Rules) *Store {
	t.Helper()
	c := opensearch.Defaults()
	c.URLs, c.Index = []string{url}, prefix+"-{yyyy.MM.dd}"
	s, err := New(t.Context(), Options{Name: "search", Config: c, ISM: ism, Rules: r, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.poll = 20 * time.Millisecond
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func call(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %v %s", method, url, res.StatusCode, err, b)
	}
	return string(b)
}

func makePlan(t *testing.T, s *Store, r plan.Rules) *plan.Plan {
	t.Helper()
	inv, err := s.Inventory(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Make(plan.Input{Now: now, Rules: r, Inventories: []plan.Inventory{inv}})
}

func TestIndicesAndDocuments(t *testing.T) {
	url, prefix := testenv.OpenSearch(t), "t"+strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		call(t, "DELETE", url+"/"+prefix+"-*", "")
		call(t, "DELETE", url+"/_index_template/"+prefix, "")
	})
	call(t, "PUT", url+"/_index_template/"+prefix, fmt.Sprintf(
		`{"index_patterns":["%s-*"],"template":{"settings":{"number_of_replicas":0},"mappings":{"dynamic":false,"properties":{"org_id":{"type":"keyword"}}}}}`, prefix))
	put := func(index, org string, n int) {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "{\"index\":{}}\n{\"org_id\":%q}\n", org)
		}
		call(t, "POST", url+"/"+prefix+"-"+index+"/_bulk", b.String())
	}
	put("2026.08.01", "a", 3) // past everything
	put("2026.08.01", "b", 2)
	put("2026.08.02", "a", 4)
	put("2026.08.02", "held", 1)
	put("2026.11.10", "a", 5) // past the rule of b
	put("2026.11.10", "b", 6)
	put("2026.11.22", "a", 7)
	put("other", "a", 1)

	r := plan.Rules{Keep: map[plan.Kind]time.Duration{plan.Search: 30 * units.Day}, Floor: units.Day,
		Organisations: map[string]plan.OrgRules{"b": {Keep: map[plan.Kind]time.Duration{plan.Search: 5 * units.Day}}},
		Holds:         []plan.Hold{{Org: "held", Reason: "court"}}}
	s := open(t, url, prefix, Auto, r)
	p := makePlan(t, s, r)
	var rows []string
	for _, a := range p.Actions {
		rows = append(rows, fmt.Sprintf("%s %s %v %d %v", a.Verb, strings.TrimPrefix(a.Target, prefix), a.Orgs, a.Records, a.Held()))
	}
	slices.Sort(rows)
	want := []string{
		"delete documents -2026.08.02 [a] 4 false", "delete documents -2026.08.02 [held] 1 true",
		"delete documents -2026.11.10 [b] 6 false", "delete index -2026.08.01 [] 5 false",
	}
	if !slices.Equal(rows, want) {
		t.Fatalf("plan: %q, want %q", rows, want)
	}
	if f := p.Forecasts[0]; f.Free <= 0 || f.Bytes <= 0 {
		t.Errorf("forecast %+v", f)
	}
	for range 2 { // the second time there is nothing to do, and that is no error
		for _, a := range p.Due() {
			if err := s.Do(t.Context(), &a, func(int64) {}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if due := makePlan(t, s, r).Due(); len(due) != 0 {
		t.Errorf("still to do: %+v", due)
	}
	var left []struct{ Index, Count string }
	if err := json.Unmarshal([]byte(call(t, "GET", url+"/_cat/indices/"+prefix+"-*?format=json&h=index,docs.count&s=index", "")), &left); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range left {
		names = append(names, strings.TrimPrefix(l.Index, prefix+"-"))
	}
	if got := strings.Join(names, " "); got != "2026.08.02 2026.11.10 2026.11.22 other" {
		t.Errorf("left: %s", got)
	}
	if err := s.Do(t.Context(), &plan.Action{Verb: plan.DeleteIndex, Target: prefix + "-other"}, func(int64) {}); err == nil {
		t.Error("an index that is not of the pattern is deleted")
	}
}

// ismStub answers as the plugin's documentation says.
type ismStub struct {
	policy   bool
	changed  bool // by an operator, so that it deletes nothing
	attached map[string]bool
	foreign  string // an index with another's policy
	deleted  []string
}

func (f *ismStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	name, adds := strings.CutPrefix(r.URL.Path, "/_plugins/_ism/add/")
	switch {
	case strings.HasPrefix(r.URL.Path, "/_cat/indices"):
		say(200, []map[string]string{{"index": "x-2026.01.01", "status": "open", "docs.count": "1", "store.size": "10"},
			{"index": "x-2026.01.02", "status": "open", "docs.count": "1", "store.size": "10"}})
	case strings.HasPrefix(r.URL.Path, "/_cat/allocation"):
		say(404, map[string]any{})
	case strings.HasSuffix(r.URL.Path, "/_refresh"):
		say(200, map[string]any{})
	case strings.HasSuffix(r.URL.Path, "/_search"):
		say(200, map[string]any{"hits": map[string]any{"total": map[string]any{"value": 1}},
			"aggregations": map[string]any{"orgs": map[string]any{"buckets": []any{map[string]any{"key": "a", "doc_count": 1}}}}})
	case r.URL.Path == "/_plugins/_ism/policies/sluice-expire" && r.Method == http.MethodPut:
		var p struct {
			Policy struct {
				States []struct{ Actions []map[string]any } `json:"states"`
			} `json:"policy"`
		}
		if json.NewDecoder(r.Body).Decode(&p) != nil || len(p.Policy.States) != 1 || p.Policy.States[0].Actions[0]["delete"] == nil {
			say(400, map[string]any{"error": "bad policy"})
			return
		}
		if f.policy && r.URL.Query().Get("if_seq_no") != "7" {
			say(409, map[string]any{"error": "version conflict"})
			return
		}
		f.policy, f.changed = true, false
		say(201, map[string]any{"_id": "sluice-expire"})
	case r.URL.Path == "/_plugins/_ism/policies/sluice-expire" && f.policy:
		p := policy()["policy"].(map[string]any)
		if f.changed {
			p["states"] = []any{map[string]any{"name": "delete", "actions": []any{map[string]any{"read_only": map[string]any{}}}, "transitions": []any{}}}
		}
		say(200, map[string]any{"_id": "sluice-expire", "_seq_no": 7, "_primary_term": 1, "policy": p})
	case r.URL.Path == "/_plugins/_ism/policies/sluice-expire":
		say(404, map[string]any{"error": map[string]any{"type": "status_exception", "reason": "Policy not found"}, "status": 404})
	case strings.HasPrefix(r.URL.Path, "/_plugins/_ism/explain/"):
		out := map[string]any{"total_managed_indices": len(f.attached)}
		for n := range f.attached {
			out[n] = map[string]any{"index.plugins.index_state_management.policy_id": "sluice-expire"}
		}
		say(200, out)
	case adds && name == f.foreign:
		say(200, map[string]any{"updated_indices": 0, "failures": true, "failed_indices": []any{map[string]any{
			"index_name": name, "reason": "This index already has a policy, use the update policy API to update index policies"}}})
	case adds:
		f.attached[name] = true
		say(200, map[string]any{"updated_indices": 1, "failures": false, "failed_indices": []any{}})
	case r.Method == http.MethodDelete:
		f.deleted = append(f.deleted, strings.Trim(r.URL.Path, "/"))
		say(200, map[string]any{"acknowledged": true})
	default:
		say(500, map[string]any{"error": r.Method + " " + r.URL.Path})
	}
}

func TestManagedByThePlugin(t *testing.T) {
	f := &ismStub{attached: map[string]bool{}, foreign: "x-2026.01.02"}
	server := httptest.NewServer(f)
	defer server.Close()
	r := plan.Rules{Keep: map[plan.Kind]time.Duration{plan.Search: 30 * units.Day}}
	s := open(t, server.URL, "x", Auto, r)
	due := makePlan(t, s, r).Due()
	if len(due) != 2 {
		t.Fatalf("plan: %+v", due)
	}
	for _, a := range due {
		if err := s.Do(t.Context(), &a, func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	if !f.policy || !f.attached["x-2026.01.01"] || !slices.Equal(f.deleted, []string{"x-2026.01.02"}) {
		t.Errorf("policy %v, attached %v, deleted %v", f.policy, f.attached, f.deleted)
	}
	p := makePlan(t, s, r)
	if due := p.Due(); len(due) != 1 || due[0].Target != "x-2026.01.02" || !strings.Contains(strings.Join(p.Notes, " "), "x-2026.01.01 is being deleted") {
		t.Errorf("an index that the plugin deletes is planned again: %+v %v", due, p.Notes)
	}
}

// TestAChangedPolicyIsPutRight: one that does not delete would keep what it is attached to for ever.
func TestAChangedPolicyIsPutRight(t *testing.T) {
	f := &ismStub{attached: map[string]bool{}, policy: true, changed: true}
	server := httptest.NewServer(f)
	defer server.Close()
	s := open(t, server.URL, "x", Auto, plan.Rules{Keep: map[plan.Kind]time.Duration{plan.Search: 30 * units.Day}})
	for _, a := range makePlan(t, s, s.o.Rules).Due() {
		if err := s.Do(t.Context(), &a, func(int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	if f.changed || len(f.attached) != 2 {
		t.Errorf("changed %v, attached %v", f.changed, f.attached)
	}
}

func TestAlwaysNeedsThePlugin(t *testing.T) {
	url, prefix := testenv.OpenSearch(t), "t"+strings.ToLower(rand.Text()[:10])
	r := plan.Rules{Keep: map[plan.Kind]time.Duration{plan.Search: units.Day}}
	s := open(t, url, prefix, Always, r)
	if p := makePlan(t, s, r); len(p.Notes) != 1 {
		t.Errorf("notes %v", p.Notes)
	}
	err := s.Do(t.Context(), &plan.Action{Verb: plan.DeleteIndex, Target: prefix + "-2026.01.01"}, func(int64) {})
	if err == nil || !strings.Contains(err.Error(), "ism is always") {
		t.Errorf("deleted without the plugin: %v", err)
	}
}
