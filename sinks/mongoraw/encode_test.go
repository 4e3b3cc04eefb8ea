package mongoraw

import (
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

// TestCityNames: languages become field names, whatever bytes they have.
func TestCityNames(t *testing.T) {
	t.Parallel()
	hostile := map[string]string{"en": "a", "a\x00b": "nul", "a.b": "dot", "$set": "dollar", "": "empty", `\u00`: "escape", "\xff": "byte", "e$n": "inner"}
	s := shared(t)
	sink, _ := s.open(t, s.config(LayoutCapped))
	write(t, sink, sample(1, func(r *record.Record) { r.Geo.City.Names = hostile; r.Geo.City.GeoNameID = 4_000_000_000 }))
	doc := s.documents(t, cappedName)[0]
	got := map[string]string{}
	elements, err := doc.Lookup("geo", "city", "names").Document().Elements()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range elements {
		got[e.Key()] = e.Value().StringValue()
	}
	want := map[string]string{"en": "a", `a\u00b`: "nul", `a\u2eb`: "dot", `\u24set`: "dollar", `\u`: "empty", `\u5cu00`: "escape", "\uFFFD": "byte", "e$n": "inner"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%q = %q, want %q", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%q", got)
	}
	if id := doc.Lookup("geo", "city", "geonameid").AsInt64(); id != 4_000_000_000 {
		t.Errorf("geonameid %d", id)
	}
}

// TestExpireAt: without expiry a document is stored as the incumbent does where nothing expires, and never expires where
// something does. Times before 1970 are cut as those after: downwards.
func TestExpireAt(t *testing.T) {
	var r record.Record
	r.TimeStamp = time.Date(1969, 12, 31, 23, 59, 59, 999_900_000, time.UTC)
	doc := bson.Raw(appendRecord(nil, record.ID{}, &r, false, false))
	if got := doc.Lookup("expireAt").DateTime(); got != (time.Time{}).UnixMilli() {
		t.Errorf("capped: %d", got)
	}
	if got := doc.Lookup("timestamp").DateTime(); got != -1 {
		t.Errorf("timestamp %d, want -1", got)
	}
	doc = appendRecord(nil, record.ID{}, &r, false, true)
	if v := doc.Lookup("expireAt"); v.Type != bson.TypeNull {
		t.Errorf("with expiry: %v", v)
	}
	doc = appendUptime(nil, record.ID{}, &record.Uptime{})
	if v := doc.Lookup("expireAt"); v.Type != bson.TypeNull {
		t.Errorf("uptime: %v", v)
	}
}

func TestUptimeDocument(t *testing.T) {
	u := sinktest.Uptimes(1)[0].Uptime
	u.TCPError = true
	doc := bson.Raw(appendUptime(nil, record.ID{1}, u))
	if err := doc.Validate(); err != nil {
		t.Fatal(err)
	}
	elements, err := doc.Elements()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range elements {
		names = append(names, e.Key())
	}
	want := "_id url requesttime responsecode tcperror servererror day month year hour minute timestamp expireAt apiid orgid"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("fields %s, want %s", got, want)
	}
	if !doc.Lookup("tcperror").Boolean() || doc.Lookup("minute").Int32() != 43 || doc.Lookup("timestamp").Time().UTC() != u.TimeStamp {
		t.Errorf("%v", doc)
	}
}

// FuzzDocument: whatever bytes a record has, its document is well formed and has them.
func FuzzDocument(f *testing.F) {
	f.Add("/a\x00b", "\xff", "de", "tag", int64(-1), 1.5, true)
	f.Fuzz(func(t *testing.T, path, alias, language, tag string, n int64, x float64, cut bool) {
		r := &record.Record{Path: path, Alias: alias, Tags: []string{tag, tag}, RequestTime: n, TimeStamp: time.Unix(0, n)}
		r.Geo.City.Names = map[string]string{language: tag}
		r.Geo.Location.Latitude = x
		doc := bson.Raw(appendRecord([]byte("before"), record.ID{}, r, cut, cut)[len("before"):])
		if err := doc.Validate(); err != nil {
			t.Fatal(err)
		}
		if doc.Lookup("path").StringValue() != path || doc.Lookup("tags", "1").StringValue() != tag || doc.Lookup("listenpath").StringValue() != "" {
			t.Fatalf("%v", doc)
		}
		if names, err := doc.Lookup("geo", "city", "names").Document().Elements(); err != nil || len(names) != 1 {
			t.Fatalf("%v, %v", names, err)
		}
	})
}

func TestFieldNameIsInjective(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{"", `\u`, "a.b", `a\u2eb`, "$a", `\u24a`, "\x00", `\u00`, `\`, `\\u`, `\u5cu`} {
		name := fieldName(s)
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q both become %q", s, other, name)
		}
		seen[name] = s
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	items := sinktest.Captured(b, record.Msgpack)
	var buf []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		it := &items[i%len(items)]
		buf = appendRecord(buf[:0], it.ID, it.Record, false, false)
	}
}

func BenchmarkWrite(b *testing.B) {
	s := shared(b)
	c := s.config(LayoutCapped)
	sink, _ := s.open(b, c)
	list := sinktest.NewList("list")
	list.Add(sinktest.Captured(b, record.Msgpack))
	bt := batch(list.Claims[0].Items...)
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range bt.Items {
			n++
			bt.Items[i].ID = record.MakeID(bt.Items[i].Record.TimeStamp, n)
		}
		if _, err := sink.Write(b.Context(), bt); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(bt.Items)*b.N)/b.Elapsed().Seconds(), "records/s")
}
