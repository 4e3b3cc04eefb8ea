package opensearch

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/internal/deepaudit"
	"sluice/internal/record"
)

// Listing reads what the sink has stored, record by record; it changes nothing. Its methods are called one at a time.
type Listing struct{ admin *Admin }

var _ deepaudit.Lister = (*Listing)(nil)

// OpenListing makes a client; nothing connects yet. The caller closes it.
func OpenListing(ctx context.Context, c Config) (*Listing, error) {
	a, err := NewAdmin(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Listing{a}, nil
}

// Close ends idle connections.
func (l *Listing) Close() { l.admin.Close() }

func (l *Listing) path(rest string) string {
	return "/" + l.admin.Wildcard() + rest + "?ignore_unavailable=true&allow_no_indices=true"
}

// hoursAtOnce is how many hours one answer names.
const hoursAtOnce = 1000

// Hours asks for the hours of which there are documents.
func (l *Listing) Hours(ctx context.Context, from, to time.Time) ([]time.Time, error) {
	var out []time.Time
	var after any
	for {
		composite := map[string]any{"size": hoursAtOnce, "sources": []any{map[string]any{"hour": map[string]any{
			"date_histogram": map[string]any{"field": "@timestamp", "fixed_interval": "1h"}}}}}
		if after != nil {
			composite["after"] = after
		}
		body := map[string]any{"size": 0, "query": between(from, to), "aggs": map[string]any{"hours": map[string]any{"composite": composite}}}
		var res struct {
			Aggregations struct {
				Hours struct {
					After   any `json:"after_key"`
					Buckets []struct {
						Key struct {
							Hour int64 `json:"hour"`
						} `json:"key"`
					} `json:"buckets"`
				} `json:"hours"`
			} `json:"aggregations"`
		}
		if _, err := l.admin.Call(ctx, http.MethodPost, l.path("/_search"), body, &res); err != nil {
			return nil, fmt.Errorf("list hours: %w", err)
		}
		for _, b := range res.Aggregations.Hours.Buckets {
			out = append(out, time.UnixMilli(b.Key.Hour).UTC())
		}
		if after = res.Aggregations.Hours.After; after == nil || len(res.Aggregations.Hours.Buckets) < hoursAtOnce {
			return out, nil
		}
	}
}

// between is the query for records of a time; zero times are no bounds.
func between(from, to time.Time) map[string]any {
	span := map[string]any{"format": "epoch_millis"}
	if !from.IsZero() {
		span["gte"] = from.UnixMilli()
	}
	if !to.IsZero() {
		span["lt"] = to.UnixMilli()
	}
	return map[string]any{"range": map[string]any{"@timestamp": span}}
}

// Sizes and times of reading many documents.
const (
	pageSize  = 2000
	keepAlive = "10m"
)

// page is a part of a long answer.
type page struct {
	Scroll string `json:"_scroll_id"`
	Hits   struct {
		Hits []struct {
			ID     string `json:"_id"`
			Index  string `json:"_index"`
			Source struct {
				Org  string  `json:"org_id"`
				API  string  `json:"api_id"`
				Code int32   `json:"response_code"`
				MCP  *string `json:"mcp_method"`
			} `json:"_source"`
		} `json:"hits"`
	} `json:"hits"`
}

// Held reads the documents of a time. What was written a moment ago is made visible first, where the service can.
func (l *Listing) Held(ctx context.Context, from, to time.Time, fields bool, do func(deepaudit.Held) error) error {
	_, _ = l.admin.Call(ctx, http.MethodPost, l.path("/_refresh"), nil, nil) // a service without it shows documents by itself
	body := map[string]any{"size": pageSize, "sort": []string{"_doc"}, "_source": false, "query": between(from, to)}
	if fields {
		body["_source"] = []string{"org_id", "api_id", "response_code", "mcp_method"}
	}
	return l.scroll(ctx, body, func(id, index string, p *page, i int) error {
		h := deepaudit.Held{Where: index}
		if !parseID(id, &h.ID) {
			h.Key = id
		}
		s := &p.Hits.Hits[i].Source
		h.Org, h.API, h.Code, h.MCP = s.Org, s.API, s.Code, s.MCP != nil
		return do(h)
	})
}

// scroll reads an answer of many pages.
func (l *Listing) scroll(ctx context.Context, body any, do func(id, index string, p *page, i int) error) error {
	var p page
	if _, err := l.admin.Call(ctx, http.MethodPost, l.path("/_search")+"&scroll="+keepAlive, body, &p); err != nil {
		return fmt.Errorf("read documents: %w", err)
	}
	defer func() {
		if p.Scroll != "" { // else the cluster frees it after its time
			_, _ = l.admin.Call(context.WithoutCancel(ctx), http.MethodDelete, "/_search/scroll", map[string]any{"scroll_id": p.Scroll}, nil)
		}
	}()
	for len(p.Hits.Hits) > 0 {
		for i := range p.Hits.Hits {
			if err := do(p.Hits.Hits[i].ID, p.Hits.Hits[i].Index, &p, i); err != nil {
				return err
			}
		}
		next := page{}
		if _, err := l.admin.Call(ctx, http.MethodPost, "/_search/scroll", map[string]any{"scroll": keepAlive, "scroll_id": p.Scroll}, &next); err != nil {
			return fmt.Errorf("read documents: %w", err)
		}
		p = next
	}
	return nil
}

func parseID(s string, id *record.ID) bool {
	if len(s) != 2*len(id) || strings.ToLower(s) != s {
		return false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return err == nil
}

// Has asks the indices of the records' times for them; what was written a moment ago is found too.
func (l *Listing) Has(ctx context.Context, sought []deepaudit.Sought) (map[record.ID]bool, error) {
	docs := make([]any, 0, len(sought))
	for _, s := range sought {
		at := time.Unix(int64(uint32(s.ID[0])<<24|uint32(s.ID[1])<<16|uint32(s.ID[2])<<8|uint32(s.ID[3])), 0)
		if name, err := l.admin.pattern.name(at); err == nil {
			docs = append(docs, map[string]any{"_index": name, "_id": s.ID.String(), "_source": false})
		}
	}
	out := map[record.ID]bool{}
	if len(docs) == 0 {
		return out, nil
	}
	var res struct {
		Docs []struct {
			ID    string `json:"_id"`
			Found bool   `json:"found"`
		} `json:"docs"`
	}
	if _, err := l.admin.Call(ctx, http.MethodPost, "/_mget", map[string]any{"docs": docs}, &res); err != nil {
		return nil, fmt.Errorf("look for records: %w", err)
	}
	for _, d := range res.Docs {
		var id record.ID
		if d.Found && parseID(d.ID, &id) {
			out[id] = true
		}
	}
	return out, nil
}

// Odd names documents without a time, which Held does not meet.
func (l *Listing) Odd(ctx context.Context, do func(where, key string)) error {
	none := map[string]any{"bool": map[string]any{"must_not": map[string]any{"exists": map[string]any{"field": "@timestamp"}}}}
	return l.scroll(ctx, map[string]any{"size": pageSize, "sort": []string{"_doc"}, "_source": false, "query": none},
		func(id, index string, _ *page, _ int) error {
			do(index, id)
			return nil
		})
}

// Floor is none: indices overwrite nothing.
func (l *Listing) Floor(context.Context) (time.Time, error) { return time.Time{}, nil }
