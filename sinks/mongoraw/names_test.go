package mongoraw

import "testing"

func TestHoldsRecords(t *testing.T) {
	for name, layout := range map[string]string{"tyk_analytics": LayoutCapped, "z_tyk_analyticz_org": LayoutPerOrg, "z_tyk_analyticz_aggregate_org": "",
		"tyk_analytics_aggregates": "", "tyk_uptime_analytics": "", "z_tyk_analytics": ""} {
		for _, l := range []string{LayoutCapped, LayoutPerOrg} {
			if HoldsRecords(l, name) != (l == layout) {
				t.Errorf("%s with layout %s: %v", name, l, l != layout)
			}
		}
	}
}
