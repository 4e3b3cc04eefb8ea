package traffic

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"sluice/internal/record"
)

// hostile tells whether a path is one that no upstream knows: markup, quotes, NUL or a byte that is not UTF-8.
func hostile(path string) bool {
	return strings.ContainsAny(path, "<$'\x00") || strings.IndexByte(path, 0xff) >= 0
}

// outcome fills status and latencies.
func (g *Generator) outcome(r *record.Record, a *api, e *endpoint, phase float64) {
	r.ResponseCode = g.status(a, e, phase)
	if !r.TrackPath && r.Path != e.path && hostile(r.Path) {
		r.ResponseCode = http.StatusNotFound
	}
	upstream := g.lognormal(e.median, 0.55)
	switch {
	case r.ResponseCode == http.StatusUnauthorized, r.ResponseCode == http.StatusForbidden,
		r.ResponseCode == http.StatusTooManyRequests:
		upstream = 0 // the gateway answered itself
	case r.ResponseCode == http.StatusGatewayTimeout:
		upstream = 30000
	case a.name == "Payments":
		upstream *= 1 + 11*within(phase, slowFrom, slowTo)
	}
	own := g.lognormal(1.1, 0.6)
	r.Latency = record.Latency{Total: int64(upstream + own), Upstream: int64(upstream)}
	r.Latency.Gateway = r.Latency.Total - r.Latency.Upstream
	r.RequestTime = r.Latency.Total
}

// status draws a response code.
func (g *Generator) status(a *api, e *endpoint, phase float64) int32 {
	x := g.rnd.Float64()
	if a.name == "Orders" && x < 0.8*within(phase, burstFrom, burstTo) {
		return []int32{502, 503, 503, 500}[g.rnd.IntN(4)]
	}
	if a.name == "Payments" && x < 0.25*within(phase, slowFrom, slowTo) {
		return http.StatusGatewayTimeout
	}
	if a.kind == rest && x < 0.02*within(phase, spikeFrom, spikeTo) {
		return http.StatusTooManyRequests
	}
	if x < a.errors {
		return []int32{404, 404, 404, 400, 400, 401, 403, 429, 500, 502}[g.rnd.IntN(10)]
	}
	switch {
	case e.method == "POST" && a.kind == rest:
		return http.StatusCreated
	case e.method == "PATCH" && g.rnd.Float64() < 0.3:
		return http.StatusNoContent
	case e.method == "GET" && g.rnd.Float64() < 0.09:
		return http.StatusNotModified
	}
	return http.StatusOK
}

// special fills what GraphQL and MCP requests have beyond the others.
func (g *Generator) special(r *record.Record, a *api) {
	switch a.kind {
	case graphql:
		op := graphqlOperations[g.rnd.IntN(len(graphqlOperations))]
		r.GraphQL = record.GraphQLStats{IsGraphQL: true, OperationType: op.operation,
			Variables: `{"id":"` + strconv.Itoa(g.rnd.IntN(900)) + `"}`, RootFields: []string{op.root},
			Types: map[string][]string{op.typ: op.fields}}
		if g.rnd.Float64() < 0.05 {
			r.GraphQL.HasErrors = true
			r.GraphQL.Errors = []record.GraphQLError{{Message: "stock service did not answer"}}
		}
		r.APISchema = graphqlSchema
	case mcp:
		tool := mcpTools[g.rnd.IntN(len(mcpTools))]
		r.MCP = record.MCPStats{IsMCP: true, JSONRPCMethod: "tools/call", PrimitiveType: "tool", PrimitiveName: tool}
		r.RawPath = "/mcp-tool:" + tool
		r.Path = r.RawPath
	}
}

var graphqlSchema = base64.StdEncoding.EncodeToString([]byte(
	"type Query { product(id: ID!): Product cart: Cart me: Customer }\ntype Mutation { addToCart(id: ID!): Cart }\n"))

// filler is what bodies are made of: compressible, but not one letter.
const filler = `"sku":"TK-20417","title":"Enamel mug, 350 ml","price":{"amount":1490,"currency":"EUR"},"stock":42,` +
	`"warehouse":"ZRH-2","tags":["kitchen","gift"],"rating":4.6,"delivery":{"days":2,"carrier":"post"},`

// bodies fills request and response as the gateway records them: the wire text in base64.
func (g *Generator) bodies(r *record.Record, e *endpoint) {
	body := ""
	if e.writes {
		body = g.body(60 + g.rnd.IntN(160))
		r.ContentLength = int64(len(body))
	}
	b := &g.buf
	b.Reset()
	fmt.Fprintf(b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nX-Forwarded-For: %s\r\n", r.Method, r.RawPath, r.Host,
		r.UserAgent, r.IPAddress)
	if body != "" {
		fmt.Fprintf(b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	r.RawRequest = base64.StdEncoding.EncodeToString([]byte(b.String()))

	body = ""
	switch {
	case r.ResponseCode >= 400:
		body = `{"error":"` + http.StatusText(int(r.ResponseCode)) + `"}`
	case e.bytes > 0 && r.ResponseCode != http.StatusNoContent && r.ResponseCode != http.StatusNotModified:
		body = g.body(min(int(g.lognormal(float64(e.bytes)*responseShare, 0.5)), 8000))
	}
	b.Reset()
	fmt.Fprintf(b, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nDate: %s\r\nContent-Length: %d\r\n\r\n%s",
		r.ResponseCode, http.StatusText(int(r.ResponseCode)), r.TimeStamp.Format(http.TimeFormat), len(body), body)
	r.RawResponse = base64.StdEncoding.EncodeToString([]byte(b.String()))
}

// responseShare brings the average record to the 1.4 kB that records of real gateways have. TestAverageSize holds it.
const responseShare = 0.12

func (g *Generator) body(n int) string {
	n = max(n, 16)
	var b strings.Builder
	b.Grow(n + len(filler))
	fmt.Fprintf(&b, `{"id":%d,`, g.rnd.IntN(1e6))
	for b.Len() < n {
		b.WriteString(filler)
	}
	return b.String()[:n] + "}"
}
