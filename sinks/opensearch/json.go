package opensearch

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"sluice/internal/record"
)

// maxBodies is how much of raw request and response together a document holds: with the rest it stays below the 10 MiB
// that OpenSearch Serverless and small AWS instances take, so that a large body cannot make a dead letter.
const maxBodies = 8 << 20

// appendDocument appends a record's document, one line without its end. The first names are the incumbent's, and it
// writes all of them always; those that most records do not have are left out when empty.
func appendDocument(b []byte, r *record.Record, extended bool) []byte {
	b = append(b, `{"@timestamp":"`...)
	b = r.TimeStamp.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = appendField(b, "http_method", r.Method)
	b = appendField(b, "request_uri", r.Path)
	b = appendField(b, "request_uri_full", r.RawPath)
	b = appendNumber(b, "response_code", int64(r.ResponseCode))
	b = appendField(b, "ip_address", r.IPAddress)
	b = appendField(b, "api_key", r.APIKey)
	b = appendField(b, "api_version", r.APIVersion)
	b = appendField(b, "api_name", r.APIName)
	b = appendField(b, "api_id", r.APIID)
	b = appendField(b, "org_id", r.OrgID)
	b = appendField(b, "oauth_id", r.OauthID)
	b = appendNumber(b, "request_time_ms", r.RequestTime)
	b = appendField(b, "alias", r.Alias)
	b = appendNumber(b, "content_length", r.ContentLength)
	b = appendTags(b, r.Tags)
	b = appendField(b, "host", r.Host)
	b = appendField(b, "listen_path", r.ListenPath)
	b = appendNumber(b, "latency_upstream_ms", r.Latency.Upstream)
	b = appendNumber(b, "latency_gateway_ms", r.Latency.Gateway)
	b = appendGeo(b, &r.Geo)
	if r.MCP.IsMCP {
		b = appendField(b, "mcp_method", r.MCP.JSONRPCMethod)
		b = appendField(b, "mcp_primitive_type", r.MCP.PrimitiveType)
		b = appendField(b, "mcp_primitive_name", r.MCP.PrimitiveName)
	}
	if extended {
		b = appendExtended(b, r)
	}
	return append(b, '}')
}

// appendExtended appends bodies in base64, as the gateway wrote them, and the user agent.
func appendExtended(b []byte, r *record.Record) []byte {
	b = appendField(b, "user_agent", r.UserAgent)
	if len(r.RawRequest)+len(r.RawResponse) > maxBodies {
		return append(b, `,"raw_request":"","raw_response":"","truncated":true`...)
	}
	b = appendField(b, "raw_request", r.RawRequest)
	return appendField(b, "raw_response", r.RawResponse)
}

func appendGeo(b []byte, g *record.Geo) []byte {
	if g.Country.ISOCode != "" {
		b = appendField(b, "geo_country", g.Country.ISOCode)
	}
	lat, lon := g.Location.Latitude, g.Location.Longitude
	// Not a number fails these comparisons too. Zero is what a gateway without a GeoIP database writes.
	if !(math.Abs(lat) <= 90 && math.Abs(lon) <= 180) || lat == 0 && lon == 0 {
		return b
	}
	b = append(b, `,"geo":{"lat":`...)
	b = strconv.AppendFloat(b, lat, 'f', -1, 64)
	b = append(b, `,"lon":`...)
	b = strconv.AppendFloat(b, lon, 'f', -1, 64)
	return append(b, '}')
}

func appendTags(b []byte, tags []string) []byte {
	b = append(b, `,"tags":[`...)
	for i, tag := range tags {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, tag)
	}
	return append(b, ']')
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendString(b, value)
}

func appendNumber(b []byte, name string, n int64) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return strconv.AppendInt(b, n, 10)
}

const hexDigits = "0123456789abcdef"

// plain are the bytes that stand for themselves: bodies in base64, most of what is written, have no others.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends a JSON string of any bytes: those that are not UTF-8 become U+FFFD each. It never holds a line
// end, which would cut the document in two.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, "\uFFFD"...)
			start = i + 1
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
