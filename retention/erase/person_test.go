package erase

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/record"
	"sluice/retention/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestPerson(t *testing.T) {
	for _, bad := range []Person{{}, {APIs: []string{"a"}}, {Keys: []string{""}}, {Keys: []string{Nobody}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v is somebody", bad)
		}
	}
	p, err := New(Person{Keys: []string{"k"}, Org: "o", From: noon, To: noon.Add(time.Hour),
		Holds: []plan.Hold{{Org: "o", From: noon.Add(time.Minute), Reason: "court"}}})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := record.NewMasker([]record.MaskRule{{Field: "api_key", Action: record.MaskHash}})
	if err != nil {
		t.Fatal(err)
	}
	r := func(key, org string, at time.Time) *record.Record {
		return &record.Record{APIKey: key, OrgID: org, TimeStamp: at}
	}
	hashed := r("k", "o", noon)
	hash.Apply(hashed)
	for _, c := range []struct {
		r    *record.Record
		want bool
	}{
		{r("k", "o", noon), true}, {hashed, true}, {r("K", "o", noon), false}, {r("k", "p", noon), false},
		{r("k", "o", noon.Add(-time.Nanosecond)), false}, {r("k", "o", noon.Add(time.Hour)), false}, {r(Nobody, "o", noon), false},
	} {
		if p.Takes(c.r) != c.want {
			t.Errorf("%+v: %v", c.r, !c.want)
		}
	}
	if p.Held("o", noon) != nil || p.Held("o", noon.Add(time.Minute)) == nil || p.Held("p", noon.Add(time.Minute)) != nil {
		t.Error("the hold is taken for another")
	}
}

func TestAnonymise(t *testing.T) {
	r := &record.Record{APIKey: "k", OauthID: "o", Alias: "a", IPAddress: "203.0.113.9", UserAgent: "u", RawRequest: "q", RawResponse: "r",
		Tags: []string{"key-k", "t"}, Path: "/p", OrgID: "org"}
	r.Geo.Country.ISOCode, r.Geo.Location.Latitude = "CH", 47.4
	tags := r.Tags
	Anonymise(r)
	if r.APIKey != Nobody || r.OauthID+r.Alias+r.IPAddress+r.UserAgent+r.RawRequest+r.RawResponse != "" || len(r.Tags) != 1 || r.Tags[0] != "t" ||
		r.Geo.Country.ISOCode != "CH" || r.Geo.Location.Latitude != 0 || r.Path != "/p" || r.OrgID != "org" {
		t.Errorf("%+v", r)
	}
	if tags[0] != "key-k" {
		t.Error("another's tags were changed")
	}
}
