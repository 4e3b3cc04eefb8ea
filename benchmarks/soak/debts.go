package main

import (
	"fmt"
	"hash/fnv"
	"time"

	"sluice/internal/record"
)

// debts are what was pushed: every record is owed to every store that takes it, once and intact.
type debts struct {
	all      []*debt
	byID     map[record.ID]*debt // under each ID that a record can have
	poison   map[string]int      // payloads that cannot be decoded, and how often each was pushed
	records  int
	repeated int
	poisons  int
}

// debt is one payload, pushed once or several times.
type debt struct {
	rec   *record.Record // without bodies
	times int
	ids   []record.ID // by how many equal ones stand before it in its span; which of them it has depends on the claim

	raw, search, archive uint64 // sums of what the stores must hold
}

func newDebts() *debts {
	return &debts{byID: map[record.ID]*debt{}, poison: map[string]int{}}
}

func (d *debts) add(p payload) {
	if p.rec == nil {
		d.poison[string(p.data)]++
		d.poisons++
		return
	}
	d.records++
	h := record.HashPayload(p.data)
	first := record.MakeID(p.rec.TimeStamp, h)
	o, ok := d.byID[first]
	if !ok {
		o = &debt{raw: rawSum(rawOf(p.rec)), search: searchSum(searchOf(p.rec)), archive: archiveSum(p.rec)}
		o.rec = slim(p.rec)
		d.all = append(d.all, o)
	} else {
		d.repeated++
	}
	o.times++
	o.ids = nil
	var ord record.Ordinals
	for range o.times {
		id := record.MakeID(p.rec.TimeStamp, ord.Distinguish(1, h))
		o.ids = append(o.ids, id)
		d.byID[id] = o
	}
}

// slim keeps what the aggregates are made of: a long soak remembers many records.
func slim(r *record.Record) *record.Record {
	s := *r
	s.RawRequest, s.RawResponse, s.APISchema, s.OriginalPath, s.UserAgent, s.RawPath = "", "", "", "", "", ""
	return &s
}

// What each store takes: the others are left out on purpose.
func inRaw(r *record.Record) bool    { return !r.MCP.IsMCP && r.ResponseCode != -1 }
func everywhere(*record.Record) bool { return true }
func inAggregates(r *record.Record) bool {
	return r.OrgID != "" && !r.GraphQL.IsGraphQL && !r.MCP.IsMCP
}

// count is how many records a store takes, repetitions included.
func (d *debts) count(takes func(*record.Record) bool) (n uint64) {
	for _, o := range d.all {
		if takes(o.rec) {
			n += uint64(o.times)
		}
	}
	return n
}

// rawDoc is what the judge compares of a document in MongoDB.
type rawDoc struct {
	Method       string    `bson:"method"`
	Path         string    `bson:"path"`
	RawPath      string    `bson:"rawpath"`
	OriginalPath string    `bson:"originalpath"`
	UserAgent    string    `bson:"useragent"`
	ResponseCode int32     `bson:"responsecode"`
	APIKey       string    `bson:"apikey"`
	TimeStamp    time.Time `bson:"timestamp"`
	APIVersion   string    `bson:"apiversion"`
	APIID        string    `bson:"apiid"`
	OrgID        string    `bson:"orgid"`
	OauthID      string    `bson:"oauthid"`
	RequestTime  int64     `bson:"requesttime"`
	RawRequest   string    `bson:"rawrequest"`
	RawResponse  string    `bson:"rawresponse"`
	IPAddress    string    `bson:"ipaddress"`
	Alias        string    `bson:"alias"`
	Tags         []string  `bson:"tags"`
}

func rawOf(r *record.Record) rawDoc {
	return rawDoc{r.Method, r.Path, r.RawPath, r.OriginalPath, r.UserAgent, r.ResponseCode, r.APIKey,
		r.TimeStamp.Truncate(time.Millisecond), r.APIVersion, r.APIID, r.OrgID, r.OauthID, r.RequestTime, r.RawRequest,
		r.RawResponse, r.IPAddress, r.Alias, r.Tags}
}

func rawSum(d rawDoc) uint64 {
	d.TimeStamp = d.TimeStamp.UTC()
	return sum("%+v", d)
}

// searchDoc is what the judge compares of a document in OpenSearch.
type searchDoc struct {
	Time        time.Time `json:"@timestamp"`
	Method      string    `json:"http_method"`
	URI         string    `json:"request_uri"`
	Code        int32     `json:"response_code"`
	IP          string    `json:"ip_address"`
	Key         string    `json:"api_key"`
	API         string    `json:"api_id"`
	Org         string    `json:"org_id"`
	RequestTime int64     `json:"request_time_ms"`
	Alias       string    `json:"alias"`
	Length      int64     `json:"content_length"`
	Tags        []string  `json:"tags"`
}

func searchOf(r *record.Record) searchDoc {
	// A rune conversion writes U+FFFD for each invalid byte, as the sink is to.
	return searchDoc{r.TimeStamp, r.Method, string([]rune(r.Path)), r.ResponseCode, r.IPAddress, r.APIKey, r.APIID, r.OrgID,
		r.RequestTime, r.Alias, r.ContentLength, r.Tags}
}

func searchSum(d searchDoc) uint64 {
	d.Time = d.Time.UTC()
	return sum("%+v", d)
}

// archiveSum covers a whole record; what a gateway's encoder may write as nil or as empty is the same.
func archiveSum(r *record.Record) uint64 {
	n := *r
	if len(n.Tags) == 0 {
		n.Tags = nil
	}
	if len(n.Geo.City.Names) == 0 {
		n.Geo.City.Names = nil
	}
	if len(n.GraphQL.Types) == 0 {
		n.GraphQL.Types = nil
	}
	if len(n.GraphQL.RootFields) == 0 {
		n.GraphQL.RootFields = nil
	}
	if len(n.GraphQL.Errors) == 0 {
		n.GraphQL.Errors = nil
	}
	return sum("%s", record.AppendMsgpack(nil, &n))
}

func sum(format string, v any) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, format, v) // a hash takes everything
	return h.Sum64()
}
