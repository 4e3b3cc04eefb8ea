package record_test

import (
	"slices"
	"strings"
	"testing"

	"sluice/internal/record"
)

func maskable() record.Record {
	return record.Record{
		Method: "GET", Host: "api.example.org", Path: "/users/7", RawPath: "/users/7", OriginalPath: "/v1/users/7",
		UserAgent: "curl/8", APIKey: "k3y", OauthID: "client", Alias: "jane", IPAddress: "203.0.113.77",
		RawRequest: "UmVx", RawResponse: "UmVz", Tags: []string{"edge-eu", "key-k3y", "org-o", "", "key-other"},
		Geo: record.Geo{Country: record.Country{ISOCode: "DE"}, City: record.City{Names: map[string]string{"en": "Berlin"}}},
	}
}

func mask(t *testing.T, rules ...record.MaskRule) (masked, before record.Record) {
	t.Helper()
	m, err := record.NewMasker(rules)
	if err != nil {
		t.Fatal(err)
	}
	before = maskable()
	masked = before
	m.Apply(&masked)
	return masked, before
}

const (
	sha16Key    = "a49b1287870c10a7" // printf k3y | sha256sum | cut -c1-16
	sha16Other  = "d9298a10d1b07358"
	sha16Client = "948fe603f61dc036"
)

func TestMask(t *testing.T) {
	cases := []struct {
		field, action string
		want          func(*record.Record)
	}{
		{"ip_address", "drop", func(r *record.Record) { r.IPAddress = "" }},
		{"ip_address", "truncate", func(r *record.Record) { r.IPAddress = "203.0.113.0" }},
		{"api_key", "drop", func(r *record.Record) { r.APIKey, r.Tags = "", []string{"edge-eu", "org-o", ""} }},
		{"api_key", "hash", func(r *record.Record) {
			r.APIKey, r.Tags = sha16Key, []string{"edge-eu", "key-" + sha16Key, "org-o", "", "key-" + sha16Other}
		}},
		{"oauth_id", "drop", func(r *record.Record) { r.OauthID = "" }},
		{"oauth_id", "hash", func(r *record.Record) { r.OauthID = sha16Client }},
		{"alias", "drop", func(r *record.Record) { r.Alias = "" }},
		{"user_agent", "drop", func(r *record.Record) { r.UserAgent = "" }},
		{"raw_request", "drop", func(r *record.Record) { r.RawRequest = "" }},
		{"raw_response", "drop", func(r *record.Record) { r.RawResponse = "" }},
		{"path", "drop", func(r *record.Record) { r.Path = "" }},
		{"raw_path", "drop", func(r *record.Record) { r.RawPath = "" }},
		{"original_path", "drop", func(r *record.Record) { r.OriginalPath = "" }},
		{"host", "drop", func(r *record.Record) { r.Host = "" }},
		{"tags", "drop", func(r *record.Record) { r.Tags = []string{""} }},
		{"geo", "drop", func(r *record.Record) { r.Geo = record.Geo{} }},
	}
	for _, c := range cases {
		t.Run(c.field+" "+c.action, func(t *testing.T) {
			got, want := mask(t, record.MaskRule{Field: c.field, Action: c.action})
			c.want(&want)
			if diff := equal(got, want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMaskTruncate(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.77":           "203.0.113.0",
		"::ffff:203.0.113.77":    "203.0.113.0",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1::",
		"fe80::1%eth0":           "fe80::",
		"":                       "",
		"unknown":                "",
		"203.0.113.77, 10.0.0.1": "",
	} {
		m, err := record.NewMasker([]record.MaskRule{{Field: "ip_address", Action: "truncate"}})
		if err != nil {
			t.Fatal(err)
		}
		r := record.Record{IPAddress: in}
		if m.Apply(&r); r.IPAddress != want {
			t.Errorf("%q becomes %q, want %q", in, r.IPAddress, want)
		}
	}
}

// A key that is masked must not be left in a tag, whatever the order of the rules.
func TestMaskOfKeyReachesTags(t *testing.T) {
	key, tags := record.MaskRule{Field: "api_key", Action: "drop"}, record.MaskRule{Field: "tags", Action: "hash"}
	one, _ := mask(t, key, tags)
	other, _ := mask(t, tags, key)
	if diff := equal(one, other); diff != "" {
		t.Error(diff)
	}
	if len(one.Tags) != 3 {
		t.Errorf("tags are %q: those of keys are to be gone", one.Tags)
	}
	hashed, before := mask(t, record.MaskRule{Field: "api_key", Action: "hash"})
	if slices.ContainsFunc(hashed.Tags, func(tag string) bool { return strings.Contains(tag, before.APIKey) }) {
		t.Errorf("the key is still in %q", hashed.Tags)
	}
	if diff := equal(before, maskable()); diff != "" {
		t.Errorf("another copy of the record was changed:\n%s", diff)
	}
}

func TestMaskLeavesEmptyEmpty(t *testing.T) {
	m, err := record.NewMasker([]record.MaskRule{{"oauth_id", "hash"}, {"api_key", "hash"}, {"tags", "hash"}})
	if err != nil {
		t.Fatal(err)
	}
	var r record.Record
	m.Apply(&r)
	if diff := equal(r, record.Record{}); diff != "" {
		t.Error(diff)
	}
	var none *record.Masker
	none.Apply(&r)
}

func TestMaskErrors(t *testing.T) {
	const fields = "ip_address, api_key, oauth_id, alias, user_agent, host, path, raw_path, original_path, raw_request, " +
		"raw_response, tags, geo"
	cases := []struct {
		rules []record.MaskRule
		want  string
	}{
		{[]record.MaskRule{{"ip", "drop"}}, `mask of "ip": no such field; a mask can hide ` + fields},
		{[]record.MaskRule{{"ip_address", "hide"}}, `mask of "ip_address": no action "hide"; this field takes drop, truncate, hash`},
		{[]record.MaskRule{{"api_key", "truncate"}}, `mask of "api_key": no action "truncate"; this field takes drop, hash`},
		{[]record.MaskRule{{"geo", "hash"}}, `mask of "geo": no action "hash"; this field takes drop`},
		{[]record.MaskRule{{"alias", ""}}, `mask of "alias": no action ""; this field takes drop, hash`},
		{[]record.MaskRule{{"tags", "drop"}, {"tags", "hash"}}, `mask of "tags" is given twice`},
	}
	for _, c := range cases {
		m, err := record.NewMasker(c.rules)
		if err == nil || err.Error() != c.want || m != nil {
			t.Errorf("%v: error %v, want %s", c.rules, err, c.want)
		}
	}
	for field := range strings.SplitSeq(fields, ", ") {
		if _, err := record.NewMasker([]record.MaskRule{{field, "drop"}}); err != nil {
			t.Errorf("%s is named as a field: %v", field, err)
		}
	}
}

func TestDropBodies(t *testing.T) {
	r, want := maskable(), maskable()
	record.DropBodies(&r)
	want.RawRequest, want.RawResponse = "", ""
	if diff := equal(r, want); diff != "" {
		t.Error(diff)
	}
}
