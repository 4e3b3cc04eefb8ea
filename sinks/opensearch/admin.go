package opensearch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Admin reaches the cluster of a sink for what is not the sink's: retention. It is safe for concurrent use.
type Admin struct {
	client  *client
	pattern pattern
}

// NewAdmin connects to nothing yet. The caller closes the Admin.
func NewAdmin(ctx context.Context, c Config) (*Admin, error) {
	p, err := parsePattern(c.Index)
	if err != nil {
		return nil, fmt.Errorf("index %w", err)
	}
	cl, err := newClient(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Admin{client: cl, pattern: p}, nil
}

// Close ends idle connections.
func (a *Admin) Close() { a.client.close() }

// Call sends one request and reads the answer into into, if that is not nil and the status below 300. A status from 300 on
// is returned together with an error that has the server's reason; status 0 means that there was no answer.
func (a *Admin) Call(ctx context.Context, method, path string, body, into any) (status int, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return 0, fmt.Errorf("encode the request: %w", err)
		}
	}
	what := method + " " + path
	res, err := a.client.doJSON(ctx, method, path, b)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	if res.status >= http.StatusMultipleChoices {
		return res.status, res.err(what)
	}
	if into == nil {
		return res.status, nil
	}
	if err := json.Unmarshal(res.body, into); err != nil {
		return res.status, fmt.Errorf("%s: read the answer: %w", what, err)
	}
	return res.status, nil
}

// Wildcard matches every index of the sink's pattern, and perhaps others: Span tells them apart.
func (a *Admin) Wildcard() string { return a.pattern.wildcard() }

// Span is the time of the records in an index of the sink's pattern, [from, to); ok is false for an index that is not of
// the pattern, or whose pattern has no year.
func (a *Admin) Span(index string) (from, to time.Time, ok bool) { return a.pattern.span(index) }

// span reads what name writes.
func (p pattern) span(index string) (from, to time.Time, ok bool) {
	parts := map[string]int{"yyyy": -1, "MM": 1, "dd": 1, "HH": 0}
	finest := ""
	rest := index
	for _, x := range p {
		n := len(x.text)
		if len(rest) < n || !x.token && rest[:n] != x.text {
			return from, to, false
		}
		if x.token {
			v, good := number(rest[:n])
			if !good {
				return from, to, false
			}
			parts[x.text] = v
			finest = finer(finest, x.text)
		}
		rest = rest[n:]
	}
	from = time.Date(parts["yyyy"], time.Month(parts["MM"]), parts["dd"], parts["HH"], 0, 0, 0, time.UTC)
	if back, err := p.name(from); rest != "" || parts["yyyy"] < 0 || err != nil || back != index {
		return from, to, false
	}
	switch finest {
	case "HH":
		to = from.Add(time.Hour)
	case "dd":
		to = from.AddDate(0, 0, 1)
	case "MM":
		to = from.AddDate(0, 1, 0)
	default:
		to = from.AddDate(1, 0, 0)
	}
	// a pattern that leaves a step out (year and day) names several stretches alike
	if !p.complete(finest) {
		return from, to, false
	}
	return from, to, true
}

func number(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// finer is the finer of two tokens.
func finer(a, b string) string {
	for i := len(tokens) - 1; i >= 0; i-- {
		if tokens[i] == a || tokens[i] == b {
			return tokens[i]
		}
	}
	return b
}

// complete tells whether every token coarser than the finest is there.
func (p pattern) complete(finest string) bool {
	for _, t := range tokens {
		there := false
		for _, x := range p {
			there = there || x.token && x.text == t
		}
		if !there {
			return false
		}
		if t == finest {
			return true
		}
	}
	return false
}
