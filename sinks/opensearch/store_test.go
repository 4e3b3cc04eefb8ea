package opensearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/units"
	"sluice/schemas"
)

// TestNoCallerMakesDeadLetters writes what callers of an API can send and finds all of it stored.
func TestNoCallerMakesDeadLetters(t *testing.T) {
	s := shared(t)
	c := s.config()
	c.Extended = true
	sink, _ := openSink(t, c)
	long := strings.Repeat("ü", 40_000) // a term of 80,000 bytes
	hostile := []string{
		"", "\x00", "\xff\xfe\xfa", "a\nb\r\nc", `"}}` + "\n" + `{"create":{}}`, "\u2028", "\xed\xa0\x80", "\U0001F4A9", long,
		`{"a":{"b":1}}`, "[1,2]", "null", "2026-13-45", "999999999999999999999999", `\u0000`, "*", "${jndi:x}", "\x7f\x1b[0m",
	}
	var items []pipeline.Item
	for i, h := range hostile {
		items = append(items, sample(i, func(r *record.Record) {
			r.Method, r.Path, r.RawPath, r.UserAgent, r.APIKey, r.Alias, r.IPAddress, r.Host = h, h, h, h, h, h, h, h
			r.Tags, r.OrgID, r.APIVersion, r.RawRequest = []string{h, h, ""}, h, h, h
			r.Geo.Country.ISOCode = h
			r.Geo.Location.Latitude = 91 + float64(i)
			r.MCP = record.MCPStats{IsMCP: true, JSONRPCMethod: h, PrimitiveType: h, PrimitiveName: h}
		}))
	}
	n := len(items)
	items = append(items,
		sample(n, func(r *record.Record) { r.RequestTime, r.ContentLength = -1<<63, 1<<63-1 }),
		sample(n+1, func(r *record.Record) { r.ResponseCode = -1 }),
		sample(n+2, func(r *record.Record) { r.ResponseCode = -1 << 31 }),
		sample(n+3, func(r *record.Record) { r.Tags = make([]string, 20_000) }),
		sample(n+4, func(r *record.Record) { r.Geo.Location = record.Location{Latitude: 48.1374, Longitude: 11.5755} }),
	)
	if result := write(t, sink, items...); len(result.Dead)+result.Filtered != 0 {
		t.Fatalf("%+v", result)
	}
	hits := s.search(t, "")
	if len(hits) != len(items) {
		t.Fatalf("%d of %d documents", len(hits), len(items))
	}
	for _, h := range hits {
		n := int(h.Source["request_time_ms"].(float64))
		if n < 0 || n >= len(hostile) {
			continue
		}
		if got, want := h.Source["request_uri"], string([]rune(hostile[n])); got != want {
			t.Errorf("%q is stored as %q", want, got)
		}
	}
	if got := len(s.search(t, `{"geo_distance":{"distance":"1km","geo":{"lat":48.137,"lon":11.575}}}`)); got != 1 {
		t.Errorf("%d documents in Munich, want 1", got)
	}
}

// TestMappings: fields can be searched as dashboards do it, also by the names with .keyword.
func TestMappings(t *testing.T) {
	s := shared(t)
	sink, _ := openSink(t, s.config())
	write(t, sink, sample(1, func(r *record.Record) { r.APIName, r.Path, r.Tags = "My API", "/users/42/orders", []string{"x-y", "z"} }),
		sample(2, nil))
	for query, want := range map[string]int{
		`{"term":{"api_name":"My API"}}`:                                  1,
		`{"term":{"api_name.keyword":"My API"}}`:                          1,
		`{"term":{"tags":"x-y"}}`:                                         1,
		`{"term":{"tags.keyword":"z"}}`:                                   1,
		`{"match":{"request_uri.text":"orders"}}`:                         1,
		`{"term":{"request_uri":"/p"}}`:                                   1,
		`{"term":{"ip_address":"192.0.2.0/24"}}`:                          2,
		`{"term":{"ip_address.keyword":"192.0.2.7"}}`:                     2,
		`{"range":{"@timestamp":{"gte":"2026-11-23T09:43:46.370Z"}}}`:     2,
		`{"range":{"@timestamp":{"gt":"2026-11-23T09:43:46.370Z"}}}`:      0,
		`{"range":{"response_code":{"gte":200,"lt":300}}}`:                2,
		`{"range":{"request_time_ms":{"gt":1}}}`:                          1,
		`{"exists":{"field":"geo"}}`:                                      0,
		`{"term":{"_id":"` + sample(1, nil).ID.String() + `"}}`:           1,
		`{"term":{"_index":"` + s.prefix + `-2026.11.23"}}`:               2,
		`{"bool":{"must":[{"term":{"host":"h"}},{"term":{"alias":""}}]}}`: 2,
	} {
		if got := len(s.search(t, query)); got != want {
			t.Errorf("%s finds %d, want %d", query, got, want)
		}
	}
}

// TestLargeBodies: a record with 20 MB of bodies is stored without them and marked; its neighbours are complete. A body
// that fits goes through whole.
func TestLargeBodies(t *testing.T) {
	s := shared(t)
	c := s.config()
	c.Extended = true
	sink, _ := openSink(t, c)
	body := func(n int) func(*record.Record) {
		return func(r *record.Record) { r.RawRequest, r.RawResponse = "UkVR", strings.Repeat("QUJD", n/4) }
	}
	if result := write(t, sink, sample(1, nil), sample(2, body(20<<20)), sample(3, body(6<<20)), sample(4, nil)); len(result.Dead) != 0 {
		t.Fatalf("%+v", result)
	}
	hits := s.search(t, "")
	if len(hits) != 4 {
		t.Fatalf("%d documents", len(hits))
	}
	for _, h := range hits {
		n, length := h.Source["request_time_ms"].(float64), len(h.Source["raw_response"].(string))
		if cut := h.Source["truncated"] == true; cut != (n == 2) || n == 3 && length != 6<<20 || n == 2 && length != 0 {
			t.Errorf("record %v: truncated %t, response of %d bytes", n, cut, length)
		}
	}
}

// TestConflictingMapping: where an index has another mapping, what does not fit is dead with the server's reason, by
// item, and stays so in any cut.
func TestConflictingMapping(t *testing.T) {
	s := shared(t)
	sink, _ := openSink(t, s.config())
	s.must(t, "PUT", "/"+s.prefix+"-2026.11.23", `{"settings":{"index.mapping.ignore_malformed":false},"mappings":{"properties":{"alias":{"type":"integer","ignore_malformed":false}}}}`)
	items := []pipeline.Item{
		sample(0, func(r *record.Record) { r.Alias = "7" }),
		sample(1, func(r *record.Record) { r.Alias = "seven" + strings.Repeat("x", 5000) }),
		sample(2, func(r *record.Record) { r.Alias = "8" }),
	}
	for _, part := range [][]pipeline.Item{items, items[:2], items} {
		result := write(t, sink, part...)
		if len(result.Dead) != 1 || result.Dead[0].Item != 1 {
			t.Fatalf("%+v", result)
		}
		reason := result.Dead[0].Reason
		if !strings.Contains(reason, "mapper_parsing_exception") || !strings.Contains(reason, "alias") || len(reason) > maxReason {
			t.Errorf("reason %q", reason)
		}
	}
	if n := len(s.search(t, "")); n != 2 {
		t.Errorf("%d documents", n)
	}
}

// TestIndexGone: an index that was deleted under way is made again, with its template, at the next attempt.
func TestIndexGone(t *testing.T) {
	s := shared(t)
	s.must(t, "PUT", "/_cluster/settings", fmt.Sprintf(`{"transient":{"action.auto_create_index":"-%s*,*"}}`, s.prefix))
	t.Cleanup(func() {
		s.must(t, "PUT", "/_cluster/settings", `{"transient":{"action.auto_create_index":null}}`)
	})
	sink, _ := openSink(t, s.config())
	other := sample(2, func(r *record.Record) { r.TimeStamp = r.TimeStamp.AddDate(0, 0, -1) })
	write(t, sink, sample(1, nil), other)
	s.must(t, "DELETE", "/"+s.prefix+"-2026.11.23", "")
	_, err := sink.Write(t.Context(), batch(sample(3, nil), other))
	var partial *pipeline.PartialError
	if !errors.As(err, &partial) || len(partial.Retry) != 1 || partial.Retry[0] != 0 {
		t.Fatalf("%v, want the first item again", err)
	}
	write(t, sink, sample(3, nil))
	if n := len(s.search(t, `{"term":{"api_id.keyword":"api"}}`)); n != 2 {
		t.Errorf("%d documents", n)
	}
}

func TestReadOnlyIndex(t *testing.T) {
	s := shared(t)
	sink, _ := openSink(t, s.config())
	write(t, sink, sample(1, nil))
	settings := "/" + s.prefix + "-2026.11.23/_settings"
	for _, block := range []string{"read_only_allow_delete", "write"} { // a full disk, and somebody's decision
		s.must(t, "PUT", settings, `{"index.blocks.`+block+`":true}`)
		_, err := sink.Write(t.Context(), batch(sample(1, nil), sample(2, nil)))
		class, wait := pipeline.Classify(err)
		if err == nil || class != pipeline.Retryable || wait != blockedWait {
			t.Errorf("%s: %v: class %d, wait %s", block, err, class, wait)
		}
		s.must(t, "PUT", settings, `{"index.blocks.`+block+`":null}`)
	}
	write(t, sink, sample(1, nil), sample(2, nil))
	if n := len(s.search(t, "")); n != 2 {
		t.Errorf("%d documents", n)
	}
}

// TestKeep: what was too old when it was claimed is left out, whenever it is delivered.
func TestKeep(t *testing.T) {
	s := shared(t)
	c := s.config()
	c.Keep = units.Duration(48 * time.Hour)
	sink, _ := openSink(t, c)
	at := func(n int, age time.Duration) pipeline.Item {
		return sample(n, func(r *record.Record) { r.TimeStamp = claimTime.Add(-age) })
	}
	result := write(t, sink, at(1, time.Hour), at(2, 48*time.Hour), at(3, 48*time.Hour+1), at(4, 1000*time.Hour))
	if result.Filtered != 2 || len(s.search(t, "")) != 2 {
		t.Errorf("%+v", result)
	}
	if status, _ := s.call(t, "GET", "/"+s.prefix+"-2026.10.12", ""); status != 404 {
		t.Errorf("the index of a filtered record was made: %d", status)
	}
	// A claim keeps the settings it was made under.
	b := batch(at(5, 1000*time.Hour))
	shape := s.config()
	shape.Index = s.prefix + "-other"
	old, err := New("x", shape, sink.log)
	if err != nil {
		t.Fatal(err)
	}
	b.Shape.JSON = old.Shape()
	if _, err := sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if n := len(s.search(t, `{"term":{"_index":"`+s.prefix+`-other"}}`)); n != 1 {
		t.Errorf("%d documents in the index of the claim", n)
	}
}

func TestAbsurdTimeIsDead(t *testing.T) {
	s := shared(t)
	sink, _ := openSink(t, s.config())
	result := write(t, sink, sample(1, nil), sample(2, func(r *record.Record) { r.TimeStamp = time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC) }))
	if len(result.Dead) != 1 || result.Dead[0].Item != 1 {
		t.Errorf("%+v", result)
	}
}

// TestAliasInPlaceOfTheIndex: an operator may put an alias where a plain index name is configured.
func TestAliasInPlaceOfTheIndex(t *testing.T) {
	s := shared(t)
	c := s.config()
	c.Index = s.prefix + "-alias"
	s.must(t, "PUT", "/"+s.prefix+"-real", `{"aliases":{"`+s.prefix+`-alias":{"is_write_index":true}}}`)
	sink, _ := openSink(t, c)
	write(t, sink, sample(1, nil))
	if hits := s.search(t, ""); len(hits) != 1 || hits[0].Index != s.prefix+"-real" {
		t.Errorf("%+v", hits)
	}
}

func (s *store) template(t *testing.T, name string) indexTemplate {
	t.Helper()
	b, err := json.Marshal(s.must(t, "GET", "/_index_template/"+name, "")["index_templates"].([]any)[0])
	if err != nil {
		t.Fatal(err)
	}
	var tpl indexTemplate
	if err := json.Unmarshal(b, &tpl); err != nil {
		t.Fatal(err)
	}
	return tpl
}

// TestTemplate: it is installed, replaced only when it is older and ours, and a foreign one in its way is named.
func TestTemplate(t *testing.T) {
	s := shared(t)
	name, wildcard := "sluice-"+s.prefix, s.prefix+"-*"
	openSink(t, s.config())
	tpl := s.template(t, name)
	if tpl.Template.Meta.Version != schemas.OpenSearchTemplateVersion || len(tpl.Template.Patterns) != 1 || tpl.Template.Patterns[0] != wildcard {
		t.Fatalf("%+v", tpl)
	}
	put := func(meta string) {
		s.must(t, "PUT", "/_index_template/"+name, fmt.Sprintf(`{"index_patterns":[%q],"priority":200,"_meta":%s}`, wildcard, meta))
	}
	for meta, want := range map[string]int{
		`{"managed_by":"sluice","version":0}`:   schemas.OpenSearchTemplateVersion,
		`{"managed_by":"sluice","version":999}`: 999,
		`{"managed_by":"someone","version":0}`:  0,
	} {
		put(meta)
		_, log := openSink(t, s.config())
		if got := s.template(t, name).Template.Meta.Version; got != want {
			t.Errorf("%s: version %d, want %d", meta, got, want)
		}
		if strings.Contains(log.String(), "not ours") != strings.Contains(meta, "someone") {
			t.Errorf("%s: log %s", meta, log)
		}
	}
	s.must(t, "DELETE", "/_index_template/"+name, "")

	foreign := "foreign-" + s.prefix
	s.must(t, "PUT", "/_index_template/"+foreign, fmt.Sprintf(`{"index_patterns":[%q],"priority":200}`, s.prefix+"*"))
	sink, _ := newSink(t, s.config())
	err := sink.Open(t.Context())
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), foreign) {
		t.Errorf("Open = %v, want a fatal error that names %s", err, foreign)
	}
	s.must(t, "PUT", "/_index_template/"+foreign, fmt.Sprintf(`{"index_patterns":[%q],"priority":300}`, s.prefix+"*"))
	if _, log := openSink(t, s.config()); !strings.Contains(log.String(), foreign) {
		t.Errorf("the template that wins is not named: %s", log)
	}
}

func TestWithoutTemplate(t *testing.T) {
	s := shared(t)
	c := s.config()
	c.Template, c.Gzip = false, false
	sink, _ := openSink(t, c)
	write(t, sink, sample(1, nil))
	if status, _ := s.call(t, "GET", "/_index_template/sluice-"+s.prefix, ""); status != 404 {
		t.Errorf("a template was installed: %d", status)
	}
	if len(s.search(t, "")) != 1 {
		t.Error("the document is not there")
	}
}
