package search

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/retention/erase"
	"sluice/retention/plan"
)

// TestHoldOfWhatCameLate: documents on hold that come between plan and deed stay; the others go.
func TestHoldOfWhatCameLate(t *testing.T) {
	url, prefix := testenv.OpenSearch(t), "t"+strings.ToLower(rand.Text()[:10])
	index := prefix + "-2026.11.23"
	t.Cleanup(func() { call(t, "DELETE", url+"/"+prefix+"-*", "") })
	call(t, "PUT", url+"/"+index, `{"settings":{"number_of_replicas":0},"mappings":{"properties":{"org_id":{"type":"keyword"},"api_key":{"type":"keyword"},"@timestamp":{"type":"date"}}}}`)
	put := func(org string) {
		call(t, "POST", url+"/"+index+"/_doc?refresh=true", fmt.Sprintf(`{"api_key":"k","org_id":%q,"@timestamp":"2026-11-23T08:00:00Z"}`, org))
	}
	put("free")
	p, err := erase.New(erase.Person{Keys: []string{"k"}, Holds: []plan.Hold{{Org: "held", To: now.Add(time.Hour), Reason: "court"}}})
	if err != nil {
		t.Fatal(err)
	}
	e := &Eraser{Store: open(t, url, prefix, "off", plan.Rules{}), Person: p}
	actions, err := e.Plan(t.Context())
	if err != nil || len(actions) != 1 || actions[0].Held() {
		t.Fatalf("%+v, %v", actions, err)
	}
	put("held")
	put("free")
	err = e.Do(t.Context(), &actions[0], func(int64) {})
	if held := new(erase.HeldError); !errors.As(err, &held) {
		t.Errorf("%v", err)
	}
	if got := call(t, "GET", url+"/"+index+"/_count", ""); !strings.Contains(got, `"count":1,`) {
		t.Error(got)
	}
	p.Holds = nil
	if err := e.Do(t.Context(), &actions[0], func(int64) {}); err != nil {
		t.Error(err)
	}
	if got := call(t, "GET", url+"/"+index+"/_count", ""); !strings.Contains(got, `"count":0,`) {
		t.Error(got)
	}
}
