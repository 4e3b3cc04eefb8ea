// Package recount works out, by the plainest code there is, what an aggregate document must hold: for every counter it
// gathers the records that belong to it and counts them afterwards. It shares nothing with package aggregate and is the
// oracle that package and the sinks are held against. It is slow.
package recount

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"sluice/internal/record"
)

// Options are what shapes a document.
type Options struct {
	Bucket        time.Duration
	ExpireAfter   time.Duration
	TrackAllPaths bool
	Ignore        []string
	IgnoreTags    []string
	Top           int
	// Incumbent counts as the incumbent does when all records come in one purge, with its mistakes: the expiry of the
	// first record, the last time of whatever came last or first, minima that begin with a failed request, lists
	// without request times.
	Incumbent bool
}

// Millis is a moment in Unix milliseconds.
type Millis int64

// Tree is a document or a part of one. Values are Tree, []any, string, int64, float64 and Millis.
type Tree = map[string]any

// group is the records of one counter.
type group struct {
	identifier string
	human      func([]*record.Record) string
	records    []*record.Record
	reports    []*record.Record // response code -1
}

// Documents counts the records, one document per organisation and bucket, sorted by both.
func Documents(records []*record.Record, o Options) []Tree {
	type place struct {
		org string
		at  int64
	}
	by := map[place][]*record.Record{}
	for _, r := range records {
		if r.OrgID != "" && !r.GraphQL.IsGraphQL && !r.MCP.IsMCP {
			p := place{text(r.OrgID), r.TimeStamp.UTC().Truncate(o.Bucket).Unix()}
			by[p] = append(by[p], r)
		}
	}
	var places []place
	for p := range by {
		places = append(places, p)
	}
	sort.Slice(places, func(i, j int) bool {
		return places[i].org < places[j].org || places[i].org == places[j].org && places[i].at < places[j].at
	})
	var out []Tree
	for _, p := range places {
		out = append(out, document(p.org, time.Unix(p.at, 0).UTC(), by[p], o))
	}
	return out
}

func document(org string, at time.Time, rs []*record.Record, o Options) Tree {
	total := &group{human: fixed("")}
	maps := map[string]map[string]*group{} // map, or map NUL outer key -> key -> group
	outer := map[string]string{}
	add := func(dim, out, key, id string, human func([]*record.Record) string, r *record.Record) {
		if slices.Contains(o.Ignore, dim) {
			return
		}
		name := dim
		if out != "" {
			name = dim + "\x00" + out
			outer[name] = out
		}
		if maps[name] == nil {
			maps[name] = map[string]*group{}
		}
		g := maps[name][key]
		if g == nil {
			g = &group{identifier: id, human: human}
			maps[name][key] = g
		}
		g.take(r)
	}
	for _, r := range rs {
		total.take(r)
		if r.APIID != "" {
			add("apiid", "", field(r.APIID), text(r.APIID), last(func(r *record.Record) string { return r.APIName }), r)
		}
		if r.ResponseCode == -1 {
			continue
		}
		if r.ResponseCode >= 400 {
			add("errors", "", strconv.Itoa(int(r.ResponseCode)), strconv.Itoa(int(r.ResponseCode)), fixed(""), r)
		}
		if v := r.APIVersion; v != "" {
			add("versions", "", b64(r.APIID+":"+v), text(v), fixed(text(v)), r)
		}
		if r.APIKey != "" {
			add("apikeys", "", field(r.APIKey), text(r.APIKey), last(func(r *record.Record) string { return r.Alias }), r)
		}
		if r.OauthID != "" {
			add("oauthids", "", field(r.OauthID), text(r.OauthID), fixed(""), r)
		}
		if c := r.Geo.Country.ISOCode; c != "" {
			add("geo", "", field(c), text(c), fixed(text(c)), r)
		}
		for _, tag := range r.Tags {
			if t, ok := tagCounts(tag, o.IgnoreTags); ok {
				add("tags", "", field(t), text(t), fixed(text(t)), r)
			}
		}
		if r.TrackPath || o.TrackAllPaths {
			p, e := text(r.Path), b64(r.APIID+":"+r.Path)
			h := hex.EncodeToString([]byte(r.APIID + ":" + r.APIVersion + ":" + r.Path))
			add("endpoints", "", field(r.Path), p, fixed(p), r)
			add("apiendpoints", "", h, h, fixed(p), r)
			if r.APIKey != "" {
				add("keyendpoints", field(r.APIKey), e, e, fixed(e), r)
			}
			if r.OauthID != "" {
				add("oauthendpoints", field(r.OauthID), e, e, fixed(e), r)
			}
		}
	}
	return assemble(org, at, rs, total, maps, outer, o)
}

func assemble(org string, at time.Time, rs []*record.Record, total *group, maps map[string]map[string]*group, outer map[string]string, o Options) Tree {
	expire := Millis(0)
	for _, r := range rs {
		e := Millis(at.Add(o.ExpireAfter).UnixMilli())
		if r.ExpireAt.Unix() > 0 {
			e = Millis(r.ExpireAt.UnixMilli())
		}
		expire = max(expire, e)
	}
	doc := Tree{
		"orgid": org, "timestamp": Millis(at.UnixMilli()), "expireAt": expire, "total": total.counter(),
		"timeid": Tree{"year": int64(at.Year()), "month": int64(at.Month()), "day": int64(at.Day()), "hour": int64(at.Hour())},
	}
	if l := total.counter()["lasttime"]; l != nil {
		doc["lasttime"] = l
	}
	if o.Incumbent {
		doc["expireAt"] = Millis(rs[0].ExpireAt.UnixMilli())
		mistakes(doc["total"].(Tree), total.records, true)
		doc["lasttime"] = doc["total"].(Tree)["lasttime"]
	}
	lists := Tree{}
	for _, d := range []string{"apiid", "errors", "versions", "apikeys", "oauthids", "geo", "tags", "endpoints", "apiendpoints"} {
		lists[d] = []any{}
	}
	for name, groups := range maps {
		dim, _, nested := strings.Cut(name, "\x00")
		m := Tree{}
		for k, g := range groups {
			m[k] = g.counter()
			if o.Incumbent {
				mistakes(m[k].(Tree), g.records, false)
			}
		}
		if !nested {
			doc[dim], lists[dim] = m, list(groups, o)
			continue
		}
		if doc[dim] == nil {
			doc[dim], lists[dim] = Tree{}, Tree{}
		}
		doc[dim].(Tree)[outer[name]] = m
		lists[dim].(Tree)[outer[name]] = list(groups, o)
	}
	doc["lists"] = lists
	return doc
}

func list(groups map[string]*group, o Options) []any {
	var keys []string
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, y := groups[a], groups[b]
		return cmp.Or(cmp.Compare(len(y.records), len(x.records)), cmp.Compare(x.identifier, y.identifier), cmp.Compare(a, b))
	})
	if o.Top > 0 && len(keys) > o.Top {
		keys = keys[:o.Top]
	}
	out := []any{}
	for _, k := range keys {
		c := groups[k].counter()
		if o.Incumbent {
			mistakes(c, groups[k].records, false)
			c["requesttime"] = 0.0
		}
		for _, f := range []string{"minlatency", "minupstreamlatency", "maxlatency", "maxupstreamlatency"} {
			if c[f] == nil {
				c[f] = int64(0)
			}
		}
		if c["errormap"] == nil {
			c["errormap"] = Tree{}
		}
		if c["lasttime"] == nil {
			c["lasttime"] = Millis(time.Time{}.UnixMilli())
		}
		out = append(out, c)
	}
	return out
}

func (g *group) take(r *record.Record) {
	if r.ResponseCode == -1 {
		g.reports = append(g.reports, r)
	} else {
		g.records = append(g.records, r)
	}
}

func (g *group) counter() Tree {
	c := Tree{"identifier": g.identifier, "humanidentifier": g.human(append(slices.Clone(g.records), g.reports...))}
	var success, errors, rt, lat, up, oc, cc, in, out int64
	codes := map[int32]int64{}
	for _, r := range g.records {
		rt, lat, up = rt+r.RequestTime, lat+r.Latency.Total, up+r.Latency.Upstream
		if r.ResponseCode/100 == 2 {
			success++
		}
		if r.ResponseCode >= 400 {
			errors++
			codes[r.ResponseCode]++
		} else {
			least(c, "minlatency", r.Latency.Total)
			least(c, "minupstreamlatency", r.Latency.Upstream)
		}
		most(c, "maxlatency", r.Latency.Total)
		most(c, "maxupstreamlatency", r.Latency.Upstream)
		if t := Millis(r.TimeStamp.UnixMilli()); c["lasttime"] == nil || c["lasttime"].(Millis) < t {
			c["lasttime"] = t
		}
	}
	for _, r := range g.reports {
		oc, cc = oc+r.Network.OpenConnections, cc+r.Network.ClosedConnections
		in, out = in+r.Network.BytesIn, out+r.Network.BytesOut
	}
	n := int64(len(g.records))
	for k, v := range map[string]int64{"hits": n, "success": success, "errortotal": errors, "totallatency": lat,
		"totalupstreamlatency": up, "openconnections": oc, "closedconnections": cc, "bytesin": in, "bytesout": out} {
		c[k] = v
	}
	c["totalrequesttime"] = float64(rt)
	c["requesttime"], c["latency"], c["upstreamlatency"] = 0.0, 0.0, 0.0
	if n > 0 {
		c["requesttime"], c["latency"], c["upstreamlatency"] = float64(rt)/float64(n), float64(lat)/float64(n), float64(up)/float64(n)
	}
	errorLists(c, codes)
	return c
}

// mistakes puts the incumbent's values where it gets them wrong.
func mistakes(c Tree, rs []*record.Record, total bool) {
	named := rs[0]
	if total {
		named = rs[len(rs)-1]
	}
	c["lasttime"] = Millis(named.TimeStamp.UnixMilli())
	if c["minlatency"] == nil {
		return
	}
	lat, up := rs[0].Latency.Total, rs[0].Latency.Upstream
	for _, r := range rs {
		if r.ResponseCode < 400 && (!total || r.ResponseCode/100 == 2) {
			lat, up = min(lat, r.Latency.Total), min(up, r.Latency.Upstream)
		}
	}
	c["minlatency"], c["minupstreamlatency"] = lat, up
}

func errorLists(c Tree, codes map[int32]int64) {
	el, em := []any{}, Tree{}
	var names []string
	for code, n := range codes {
		em[strconv.Itoa(int(code))] = n
		names = append(names, strconv.Itoa(int(code)))
	}
	sort.Strings(names)
	for _, s := range names {
		el = append(el, Tree{"code": s, "count": em[s]})
	}
	c["errorlist"] = el
	if len(em) > 0 {
		c["errormap"] = em
	}
}

func least(c Tree, k string, v int64) {
	if c[k] == nil || c[k].(int64) > v {
		c[k] = v
	}
}

func most(c Tree, k string, v int64) {
	if c[k] == nil || c[k].(int64) < v {
		c[k] = v
	}
}

func fixed(s string) func([]*record.Record) string { return func([]*record.Record) string { return s } }

// last is the name on the latest record; of several at one millisecond the greatest.
func last(name func(*record.Record) string) func([]*record.Record) string {
	return func(rs []*record.Record) string {
		best := slices.MaxFunc(rs, func(a, b *record.Record) int {
			return cmp.Or(cmp.Compare(a.TimeStamp.UnixMilli(), b.TimeStamp.UnixMilli()), cmp.Compare(name(a), name(b)))
		})
		return text(name(best))
	}
}

func b64(s string) string {
	return strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s)), "=")
}

// text puts U+FFFD for each byte that is no UTF-8.
func text(s string) string {
	out := ""
	for _, r := range s {
		out += string(r)
	}
	return out
}

// field is the name of a map's field for a key.
func field(s string) string {
	if s == "" {
		return `\u`
	}
	s = strings.ReplaceAll(text(s), `\u`, `\u5cu`)
	s = strings.ReplaceAll(s, ".", `\u2e`)
	s = strings.ReplaceAll(s, "\x00", `\u00`)
	if strings.HasPrefix(s, "$") {
		s = `\u24` + s[1:]
	}
	return s
}

func tagCounts(tag string, ignore []string) (string, bool) {
	for _, p := range append([]string{"key-"}, ignore...) {
		if strings.HasPrefix(tag, p) {
			return "", false
		}
	}
	t := strings.ReplaceAll(strings.TrimSpace(tag), ".", "")
	return t, t != ""
}
