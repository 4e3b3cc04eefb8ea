package search

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// cluster is indices of one test by day, in the shared cluster.
type cluster struct {
	t           *testing.T
	url, prefix string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t, testenv.OpenSearch(t), "t" + strings.ToLower(rand.Text()[:10])}
	t.Cleanup(func() {
		call(t, "DELETE", c.url+"/"+c.prefix+"-*", "")
		call(t, "DELETE", c.url+"/_index_template/"+c.prefix, "")
	})
	call(t, "PUT", c.url+"/_index_template/"+c.prefix, fmt.Sprintf(`{"index_patterns":["%s-*"],"template":{"settings":
		{"number_of_replicas":0,"refresh_interval":"-1"},"mappings":{"dynamic":false,"properties":{"org_id":{"type":"keyword"}}}}}`, c.prefix))
	return c
}

// put writes documents of an organisation, each call into a segment of its own.
func (c *cluster) put(day, org string, n int) {
	c.t.Helper()
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "{\"index\":{}}\n{\"org_id\":%q,\"text\":%q}\n", org, rand.Text()+rand.Text()+rand.Text())
	}
	call(c.t, "POST", c.url+"/"+c.prefix+"-"+day+"/_bulk?refresh=true", b.String())
}

// left are the indices with their documents, segments and sizes, by day.
func (c *cluster) left() (out []string, bytes map[string]int64) {
	c.t.Helper()
	call(c.t, "POST", c.url+"/"+c.prefix+"-*/_flush", "")
	bytes = map[string]int64{}
	var found []index
	if err := json.Unmarshal([]byte(call(c.t, "GET", c.url+"/_cat/indices/"+c.prefix+"-*?format=json&bytes=b&s=index&h="+indexFields, "")), &found); err != nil {
		c.t.Fatal(err)
	}
	for _, x := range found {
		day := strings.TrimPrefix(x.Name, c.prefix+"-")
		out = append(out, day+" "+x.Docs+"/"+x.Segments)
		bytes[day] = number(x.Size)
	}
	return out, bytes
}

func rows(p *plan.Plan, prefix string) (out []string) {
	for _, a := range p.Actions {
		s := fmt.Sprintf("%s %s %v", a.Verb, strings.TrimPrefix(a.Target, prefix+"-"), a.Orgs)
		if a.Held() {
			s += " held by " + a.HeldBy[0]
		}
		out = append(out, s)
	}
	return out
}

func (c *cluster) apply(s *Store, p *plan.Plan) {
	c.t.Helper()
	for _, a := range p.Due() {
		if err := s.Do(c.t.Context(), &a, func(int64) {}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestOldestGoWhenAllAreTooLarge: whole indices, oldest first, but for what is on hold and what the floor keeps.
func TestOldestGoWhenAllAreTooLarge(t *testing.T) {
	c := newCluster(t)
	days := []string{"2026.11.17", "2026.11.18", "2026.11.19", "2026.11.20", "2026.11.21", "2026.11.22"}
	for _, d := range days {
		c.put(d, "a", 300)
	}
	c.put("2026.11.17", "held", 50)
	_, bytes := c.left()
	r := plan.Rules{Floor: 2 * units.Day, MaxSize: map[plan.Kind]int64{plan.Search: bytes["2026.11.20"] * 9 / 2},
		Holds: []plan.Hold{{Org: "held", Reason: "court"}}}
	s := open(t, c.url, c.prefix, Never, r)
	p := makePlan(t, s, r)
	want := "delete documents 2026.11.17 [a]; delete documents 2026.11.17 [held] held by hold of organisation held: court; delete index 2026.11.18 []"
	if got := strings.Join(rows(p, c.prefix), "; "); got != want {
		t.Fatalf("plan: %s\nwant: %s", got, want)
	}
	if !strings.Contains(p.Due()[0].Reason, "retention.search.max_size") {
		t.Errorf("reason %s", p.Due()[0].Reason)
	}
	c.apply(s, p)
	if got, _ := c.left(); len(got) != 5 || !strings.HasPrefix(got[0], "2026.11.17 50/") || !strings.HasPrefix(got[1], "2026.11.19") {
		t.Errorf("left: %q", got)
	}
	if again := makePlan(t, s, r); len(again.Due()) != 0 {
		t.Errorf("again: %q", rows(again, c.prefix))
	}
	r.MaxSize[plan.Search] = 1
	s.o.Rules = r
	for _, a := range makePlan(t, s, r).Due() {
		if a.To.After(now.Add(-r.Floor)) {
			t.Errorf("the floor is crossed: %+v", a)
		}
	}
}

// TestClosedDaysAreSealed: merged and read-only, once; documents of an organisation still go from them, and what comes
// late opens them until the next plan.
func TestClosedDaysAreSealed(t *testing.T) {
	c := newCluster(t)
	for range 3 {
		c.put("2026.11.18", "a", 5)
		c.put("2026.11.18", "b", 5)
		c.put("2026.11.22", "a", 5)
	}
	r := plan.Rules{SealAfter: 2 * units.Day, Floor: units.Day}
	s := open(t, c.url, c.prefix, Never, r)
	p := makePlan(t, s, r)
	if got := rows(p, c.prefix); len(got) != 1 || got[0] != "merge and make read-only 2026.11.18 []" || p.Actions[0].Records != 30 {
		t.Fatalf("plan: %q", got)
	}
	for range 2 {
		c.apply(s, p)
	}
	if got, _ := c.left(); got[0] != "2026.11.18 30/1" || got[1] == "2026.11.22 15/1" {
		t.Errorf("left: %q", got)
	}
	if again := makePlan(t, s, r); len(again.Actions) != 0 {
		t.Errorf("again: %q", rows(again, c.prefix))
	}
	r.Organisations = map[string]plan.OrgRules{"b": {Keep: map[plan.Kind]time.Duration{plan.Search: 2 * units.Day}}}
	s.o.Rules = r
	p = makePlan(t, s, r)
	if got := rows(p, c.prefix); len(got) != 1 || got[0] != "delete documents 2026.11.18 [b]" {
		t.Fatalf("plan: %q", got)
	}
	c.apply(s, p)
	if got, _ := c.left(); got[0] != "2026.11.18 15/1" {
		t.Errorf("left: %q", got)
	}
	if again := makePlan(t, s, r); len(again.Actions) != 0 {
		t.Errorf("what was deleted in leaves it open: %q", rows(again, c.prefix))
	}
	if _, err := s.admin.Unseal(t.Context(), c.prefix+"-2026.11.18"); err != nil { // as a late record does
		t.Fatal(err)
	}
	c.put("2026.11.18", "a", 1)
	p = makePlan(t, s, r)
	if got := rows(p, c.prefix); len(got) != 1 || !strings.Contains(p.Actions[0].Reason, "2 segments in 1 shards, open for writing") {
		t.Errorf("after a late record: %q", got)
	}
	p = plan.Make(plan.Input{Now: now, Rules: r, Claims: plan.Claims{Oldest: now.Add(-4 * units.Day)},
		Inventories: []plan.Inventory{{Kind: plan.Search, Unsealed: []plan.Unsealed{{Target: "x", To: now.Add(-3 * units.Day)}}}}})
	if len(p.Actions) != 1 || !p.Actions[0].Held() {
		t.Errorf("a day that records are still owed to: %+v", p.Actions)
	}
}

// TestMergeOfAnOldCluster: before OpenSearch 2.7 a merge is no task, and the parameter that asks for one is refused.
func TestMergeOfAnOldCluster(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery)
		if r.URL.Query().Has("wait_for_completion") {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	s := open(t, server.URL, "x", Never, plan.Rules{})
	if err := s.merge(t.Context(), "x-2026.11.18", "max_num_segments=1"); err != nil {
		t.Fatal(err)
	}
	want := "POST /x-2026.11.18/_forcemerge?wait_for_completion=false&max_num_segments=1, POST /x-2026.11.18/_forcemerge?max_num_segments=1, POST /x-2026.11.18/_refresh?"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("asked: %s", got)
	}
}
