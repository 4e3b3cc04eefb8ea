package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"sluice/internal/record"
)

// debts are what was pushed: every record is owed to every store that takes it, once and intact.
type debts struct {
	all      []*debt
	byID     map[record.ID]*debt // under each ID that a record can have
	byPath   map[string]*debt    // under the path that no other record has: masked bytes show no ID
	poison   map[string]int      // payloads that no sink can ever take, and how often each was pushed
	absurd   map[string]uint64   // records of absurd times: the sum of what their letters hold, by that path
	huge     map[int]int         // payloads that are too large to be read, by size
	uptimes  map[record.ID]bool  // of uptime records
	masker   *record.Masker
	records  int
	repeated int
	poisons  int
}

// debt is one payload, pushed once or several times.
type debt struct {
	rec   *record.Record // without bodies
	times int
	push  int         // the push that had it first
	ids   []record.ID // by how many equal ones stand before it in its span; which of them it has depends on the claim

	raw, search, archive uint64 // sums of what the stores must hold
}

func newDebts() *debts {
	m, err := record.NewMasker(masks)
	if err != nil {
		panic(err) // the rules are constants
	}
	return &debts{byID: map[record.ID]*debt{}, byPath: map[string]*debt{}, absurd: map[string]uint64{}, huge: map[int]int{}, poison: map[string]int{}, uptimes: map[record.ID]bool{}, masker: m}
}

func (d *debts) add(p payload) {
	if p.uptime != nil {
		d.uptimes[record.MakeID(p.uptime.TimeStamp, record.HashPayload(p.data))] = true
		return
	}
	if len(p.data) > readable {
		d.huge[len(p.data)]++
		d.poisons++
		return
	}
	if p.rec == nil {
		d.poison[string(p.data)]++
		d.poisons++
		return
	}
	if absurdTime(p.rec) {
		d.absurd[p.rec.OriginalPath] = archiveSum(d.masked(p.rec))
		d.poisons++
		return
	}
	d.records++
	h := record.HashPayload(p.data)
	first := record.MakeID(p.rec.TimeStamp, h)
	o, ok := d.byID[first]
	if !ok {
		rec := d.masked(p.rec)
		o = &debt{raw: rawSum(rawOf(rec)), search: searchSum(searchOf(rec)), archive: archiveSum(rec), push: p.push}
		o.rec = slim(rec)
		d.byPath[p.rec.OriginalPath] = o
		d.all = append(d.all, o)
	} else {
		d.repeated++
	}
	o.times++
	// Further ones are owed one at most for each aligned span of a claim, so that more names than fit one are not needed.
	if o.times > spanRecords {
		return
	}
	var ord record.Ordinals
	id := first
	for range o.times {
		id = record.MakeID(p.rec.TimeStamp, ord.Distinguish(1, h))
	}
	o.ids = append(o.ids, id)
	d.byID[id] = o
}

// readable is the most that a pump reads of one element: what is larger is a dead letter with its beginning.
const readable = 32 << 20

// absurdTime tells of the years that no clock shows.
func absurdTime(r *record.Record) bool { return r.TimeStamp.Year() == 1 || r.TimeStamp.Year() == 9999 }

func (d *debts) masked(r *record.Record) *record.Record {
	m := *r
	m.Tags = slices.Clone(r.Tags) // a mask may change them in place
	d.masker.Apply(&m)
	return &m
}

// spanRecords is how many records of a claim tell equal ones among them apart (record.Ordinals).
const spanRecords = 1000

// forget takes one payload back: it was lost with a promise that nobody gave.
func (d *debts) forget(p payload) error {
	switch {
	case p.uptime != nil:
		delete(d.uptimes, record.MakeID(p.uptime.TimeStamp, record.HashPayload(p.data)))
		return nil
	case p.rec == nil:
		d.poison[string(p.data)]--
		d.poisons--
		return nil
	case absurdTime(p.rec):
		delete(d.absurd, p.rec.OriginalPath)
		d.poisons--
		return nil
	}
	o := d.byID[record.MakeID(p.rec.TimeStamp, record.HashPayload(p.data))]
	if o == nil || o.times == 0 {
		return errors.New("what is to be forgotten was never owed")
	}
	o.times--
	d.records--
	if o.times > 0 {
		d.repeated--
	}
	if n := len(o.ids); n > o.times && n > 0 {
		if delete(d.byID, o.ids[n-1]); n > 1 { // the first name is needed to say what is missing
			o.ids = o.ids[:n-1]
		}
	}
	return nil
}

// slim keeps what the aggregates are made of: a long soak remembers many records.
func slim(r *record.Record) *record.Record {
	s := *r
	s.RawRequest, s.RawResponse, s.APISchema, s.OriginalPath, s.UserAgent, s.RawPath = "", "", "", "", "", ""
	return &s
}

// What each store takes: the others are left out on purpose.
func inSearch(r *record.Record) bool { return r.ResponseCode != skipped }
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
	// Strings keep their bytes, also those that are not UTF-8.
	d := rawDoc{r.Method, r.Path, r.RawPath, r.OriginalPath, r.UserAgent, r.ResponseCode, r.APIKey,
		r.TimeStamp.Truncate(time.Millisecond), r.APIVersion, r.APIID, r.OrgID, r.OauthID, r.RequestTime, r.RawRequest,
		r.RawResponse, r.IPAddress, r.Alias, r.Tags}
	if len(d.RawRequest)+len(d.RawResponse) > mostBodies {
		d.RawRequest, d.RawResponse = "", tooLarge
	}
	return d
}

// tooLarge stands in for bodies that are too large, as the incumbent has it.
const tooLarge = "RG9jdW1lbnQgdG9vIGxhcmdlLCBub3Qgd3JpdGluZyByYXcgcmVxdWVzdCBhbmQgcmF3IHJlc3BvbnNlIQ=="

// mostBodies is what a document in MongoDB holds of bodies.
const mostBodies = 10<<20 - 1<<10

// text is a string as stores that take only valid UTF-8 have it: a rune conversion writes U+FFFD for each invalid byte.
func text(s string) string { return string([]rune(s)) }

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
	d := searchDoc{r.TimeStamp, text(r.Method), text(r.Path), r.ResponseCode, text(r.IPAddress), text(r.APIKey), text(r.APIID),
		text(r.OrgID), r.RequestTime, text(r.Alias), r.ContentLength, nil}
	for _, t := range r.Tags {
		d.Tags = append(d.Tags, text(t))
	}
	return d
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
