package aggregate_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/aggregate"
	"sluice/aggregate/recount"
	"sluice/internal/record"
	"sluice/internal/units"
)

func shapeOf(o recount.Options) aggregate.Shape {
	return aggregate.Shape{Bucket: units.Duration(o.Bucket), ExpireAfter: units.Duration(o.ExpireAfter),
		TrackAllPaths: o.TrackAllPaths, Ignore: o.Ignore, IgnoreTagPrefixes: o.IgnoreTags}
}

type place struct {
	org    string
	bucket int64
}

// fold is the fast path as a sink drives it.
func fold(s aggregate.Shape, rs []*record.Record) map[place]*aggregate.Delta {
	f, docs := aggregate.NewFold(s), map[place]*aggregate.Document{}
	for _, r := range rs {
		if !aggregate.Counts(r) {
			continue
		}
		p := place{aggregate.Clean(r.OrgID), s.BucketOf(r.TimeStamp)}
		if docs[p] == nil {
			docs[p] = f.Document(p.org, p.bucket)
		}
		docs[p].Add(r)
	}
	out := map[place]*aggregate.Delta{}
	for p, d := range docs {
		out[p] = d.Delta()
	}
	return out
}

func mergeAll(all ...map[place]*aggregate.Delta) map[place]*aggregate.Delta {
	out := map[place]*aggregate.Delta{}
	for _, ds := range all {
		for p, d := range ds {
			if out[p] == nil {
				out[p] = &aggregate.Delta{Org: d.Org, Bucket: d.Bucket}
			}
			out[p].Merge(d)
		}
	}
	return out
}

// trees writes deltas as the documents that they make of nothing.
func trees(ds map[place]*aggregate.Delta, top int) (out []recount.Tree) {
	var ps []place
	for p := range ds {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b place) int { return cmp.Or(cmp.Compare(a.org, b.org), cmp.Compare(a.bucket, b.bucket)) })
	for _, p := range ps {
		out = append(out, tree(ds[p], top))
	}
	return out
}

func tree(d *aggregate.Delta, top int) recount.Tree {
	at := time.Unix(d.Bucket, 0).UTC()
	doc := recount.Tree{"orgid": d.Org, "timestamp": recount.Millis(at.UnixMilli()), "expireAt": recount.Millis(d.ExpireAt),
		"timeid": recount.Tree{"year": int64(at.Year()), "month": int64(at.Month()), "day": int64(at.Day()), "hour": int64(at.Hour())},
		"total":  counterTree(&aggregate.Entry{Counter: d.Total}, false)}
	if d.Total.Hits > 0 {
		doc["lasttime"] = recount.Millis(d.LastTime)
	}
	lists := recount.Tree{}
	for i := range aggregate.NumDims {
		dim := aggregate.Dim(i)
		if !dim.Nested() {
			lists[dim.String()] = []any{}
		}
		if len(d.Dims[dim]) == 0 {
			continue
		}
		m, byOuter := recount.Tree{}, map[string]map[aggregate.Key]*aggregate.Entry{}
		for k, e := range d.Dims[dim] {
			if byOuter[k.Outer] == nil {
				byOuter[k.Outer] = map[aggregate.Key]*aggregate.Entry{}
			}
			byOuter[k.Outer][k] = e
			if !dim.Nested() {
				m[k.Name] = counterTree(e, false)
				continue
			}
			if m[k.Outer] == nil {
				m[k.Outer] = recount.Tree{}
			}
			m[k.Outer].(recount.Tree)[k.Name] = counterTree(e, false)
		}
		doc[dim.String()] = m
		ls := recount.Tree{}
		for outer, es := range byOuter {
			l := []any{}
			for _, k := range aggregate.Ranked(es, top, -1, nil) {
				l = append(l, counterTree(es[k], true))
			}
			ls[outer] = l
		}
		lists[dim.String()] = ls[""]
		if dim.Nested() {
			lists[dim.String()] = ls
		}
	}
	doc["lists"] = lists
	return doc
}

func counterTree(e *aggregate.Entry, inList bool) recount.Tree {
	rt, lat, up := e.Averages()
	c := recount.Tree{"identifier": e.Identifier, "humanidentifier": e.Human, "hits": e.Hits, "success": e.Success,
		"errortotal": e.Errors, "totalrequesttime": float64(e.RequestTime), "totallatency": e.Latency,
		"totalupstreamlatency": e.Upstream, "requesttime": rt, "latency": lat, "upstreamlatency": up,
		"openconnections": e.OpenConnections, "closedconnections": e.ClosedConnections, "bytesin": e.BytesIn, "bytesout": e.BytesOut}
	if e.Hits > 0 || inList {
		c["maxlatency"], c["maxupstreamlatency"], c["lasttime"] = e.MaxLatency, e.MaxUpstream, recount.Millis(e.LastTime)
	}
	if e.Hits == 0 && inList {
		c["lasttime"] = recount.Millis(time.Time{}.UnixMilli())
	}
	if e.Served() || inList {
		c["minlatency"], c["minupstreamlatency"] = e.MinLatency, e.MinUpstream
	}
	el, em := []any{}, recount.Tree{}
	for _, k := range e.ErrorList() {
		el = append(el, recount.Tree{"code": k.String(), "count": k.Count})
		em[k.String()] = k.Count
	}
	c["errorlist"] = el
	if len(em) > 0 || inList {
		c["errormap"] = em
	}
	return c
}

func TestFoldAgreesWithTheRecountOnTheCaptures(t *testing.T) {
	each(t, func(t *testing.T, f record.Format, track bool) {
		rs, o := captured(t, f), options(track)
		want, got := recount.Documents(rs, o), trees(fold(shapeOf(o), rs), 0)
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("recount (-) against the fold (+):\n%.4000s", d)
		}
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(rs), func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
		s := shapeOf(o)
		got = trees(mergeAll(fold(s, rs[:500]), fold(s, rs[500:501]), fold(s, rs[501:])), 0)
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("recount (-) against shuffled and merged parts (+):\n%.4000s", d)
		}
	})
}

// strange are values that have harmed aggregates before, or could.
var strange = []string{"", "a", "b", "a.b", "ab", "$", "$a", "a$", "a\x00b", "\x00", "\\", `\u2e`, `\u`, "a:b", "b:c", "é", "\xff",
	"a\xff", "a\xfe", ".", "..", "hits", "a.hits", "$[]", " a ", "other", "0", "key-1", " key-y", "tier.gold", "x-1"}

func genRecord() *rapid.Generator[*record.Record] {
	str := rapid.SampledFrom(strange)
	return rapid.Custom(func(t *rapid.T) *record.Record {
		n := func(name string) int64 { return int64(rapid.IntRange(0, 50).Draw(t, name)) }
		r := &record.Record{
			OrgID: rapid.SampledFrom([]string{"", "o1", "o2", "o\xff"}).Draw(t, "org"), APIID: str.Draw(t, "api"),
			APIName: str.Draw(t, "name"), APIVersion: str.Draw(t, "version"), APIKey: str.Draw(t, "key"),
			Alias: str.Draw(t, "alias"), OauthID: str.Draw(t, "oauth"), Path: str.Draw(t, "path"),
			Tags: rapid.SliceOfN(str, 0, 4).Draw(t, "tags"), TrackPath: rapid.Bool().Draw(t, "track"),
			ResponseCode: rapid.SampledFrom([]int32{-1, 0, 100, 200, 204, 299, 300, 302, 399, 400, 404, 500, 600}).Draw(t, "code"),
			RequestTime:  n("rt"), Latency: record.Latency{Total: n("lat"), Upstream: n("up")},
			Network: record.Network{OpenConnections: n("oc"), ClosedConnections: n("cc"), BytesIn: n("in"), BytesOut: n("out")},
			TimeStamp: time.Date(2026, 11, 23, 9, rapid.IntRange(0, 119).Draw(t, "minute"), 0,
				rapid.IntRange(0, 3).Draw(t, "ms")*1_000_000, time.UTC),
		}
		r.Geo.Country.ISOCode = str.Draw(t, "country")
		r.GraphQL.IsGraphQL = rapid.IntRange(0, 9).Draw(t, "graphql") == 0
		r.MCP.IsMCP = rapid.IntRange(0, 9).Draw(t, "mcp") == 0
		if rapid.Bool().Draw(t, "expires") {
			r.ExpireAt = r.TimeStamp.Add(time.Duration(n("expire")) * time.Hour)
		}
		return r
	})
}

func TestFoldAndMergeAgreeWithTheRecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := recount.Options{Bucket: rapid.SampledFrom([]time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute,
			30 * time.Minute, time.Hour}).Draw(t, "bucket"), ExpireAfter: 24 * time.Hour,
			TrackAllPaths: rapid.Bool().Draw(t, "track all"), Top: rapid.IntRange(0, 3).Draw(t, "top")}
		if rapid.Bool().Draw(t, "ignore") {
			o.Ignore, o.IgnoreTags = []string{"keyendpoints", "geo"}, []string{"x-"}
		}
		rs := rapid.SliceOfN(genRecord(), 0, 40).Draw(t, "records")
		s := shapeOf(o)
		want := recount.Documents(rs, o)
		whole := fold(s, rs)
		if d := gocmp.Diff(want, trees(whole, o.Top)); d != "" {
			t.Fatalf("recount (-) against the fold (+):\n%s", d)
		}
		cut := rapid.IntRange(0, len(rs)).Draw(t, "cut")
		a, b := fold(s, rs[:cut]), fold(s, rs[cut:])
		if d := gocmp.Diff(want, trees(mergeAll(a, b), o.Top)); d != "" {
			t.Fatalf("recount (-) against merged parts (+):\n%s", d)
		}
		if d := gocmp.Diff(trees(mergeAll(a, b), 0), trees(mergeAll(b, a), 0)); d != "" {
			t.Fatalf("the order of merging matters:\n%s", d)
		}
		if d := gocmp.Diff(trees(whole, 0), trees(mergeAll(a, mergeAll(b)), 0)); d != "" {
			t.Fatalf("merging changes what is merged:\n%s", d)
		}
	})
}

func TestEscapedKeysAreDistinctAndSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := rapid.StringOf(rapid.SampledFrom([]rune{'.', '$', 0, '\\', 'u', '2', 'e', '0', '5', 'c', 'a', 'é'}))
		a, b := g.Draw(t, "a"), g.Draw(t, "b")
		ea, eb := aggregate.EscapeKey(a), aggregate.EscapeKey(b)
		if (a == b) != (ea == eb) {
			t.Fatalf("%q and %q are written %q and %q", a, b, ea, eb)
		}
		if ea == "" || ea[0] == '$' || slices.Contains([]byte(ea), '.') || slices.Contains([]byte(ea), 0) {
			t.Fatalf("%q is written %q", a, ea)
		}
	})
	for in, want := range map[string]string{"/a.b": `/a\u2eb`, "/$dollar/.hidden": `/$dollar/\u2ehidden`, "$x": `\u24x`,
		"a\x00": `a\u00`, `\u`: `\u5cu`, `\x`: `\x`, "": `\u`, "a\xff\xfeb": "a\uFFFD\uFFFDb"} {
		if got := aggregate.EscapeKey(in); got != want {
			t.Errorf("EscapeKey(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLongKeysAreCutAndStayApart(t *testing.T) {
	long := func(end string) string { return string(make([]byte, 1<<20)) + end }
	for _, make := range []func(string) string{aggregate.EscapeKey, aggregate.Clean} {
		a, b := make(long("a")), make(long("b"))
		if a == b || len(a) > 4*aggregate.MaxKey+24 {
			t.Errorf("%d bytes, equal: %v", len(a), a == b)
		}
	}
	if s := aggregate.Clean(string(slices.Repeat([]byte("é"), 5000))); len(s) > aggregate.MaxKey || s != aggregate.Clean(s) {
		t.Errorf("cut within a character: %d bytes", len(s))
	}
}
