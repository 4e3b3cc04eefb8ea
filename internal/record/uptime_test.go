package record_test

import (
	"testing"
	"time"

	"sluice/internal/record"
)

func uptimes() []record.Uptime {
	at := time.Date(2026, 11, 23, 9, 43, 46, 370367119, time.UTC)
	return []record.Uptime{
		{TimeStamp: at},
		{URL: "http://upstream.example.org/health", RequestTime: 12, ResponseCode: 503, TCPError: true, ServerError: true, Day: 23,
			Month: 11, Year: 2026, Hour: 9, Minute: 43, TimeStamp: at, ExpireAt: at.AddDate(100, 0, 0), APIID: "api", OrgID: "org"},
		{URL: "tcp://upstream:5432", ResponseCode: -1, RequestTime: -70000, TimeStamp: at, ExpireAt: at},
	}
}

func TestUptimeRoundTrip(t *testing.T) {
	for _, want := range uptimes() {
		var got record.Uptime
		if err := record.DecodeUptime(record.AppendUptime(nil, &want), &got); err != nil {
			t.Fatal(err)
		}
		if diff := equal(got, want); diff != "" {
			t.Error(diff)
		}
	}
}

// The wire form is that of records: Go names, times as arrays, in any order.
func TestUptimeForms(t *testing.T) {
	payload := "\x86\xa5OrgID\xa1o\xa3new\x91\x01\xacResponseCode\xcd\x01\xf7\xa9TimeStamp\x92\xce\x65\x53\xf1\x00\x05" +
		"\xa8TCPError\xc3\xa3URL\xc4\x01u"
	want := record.Uptime{OrgID: "o", ResponseCode: 503, TimeStamp: time.Unix(1700000000, 5).UTC(), TCPError: true, URL: "u"}
	var got record.Uptime
	if err := record.DecodeUptime([]byte(payload), &got); err != nil {
		t.Fatal(err)
	}
	if diff := equal(got, want); diff != "" {
		t.Error(diff)
	}
}

func TestUptimeFailures(t *testing.T) {
	for payload, want := range map[string]string{
		"":                          "payload at byte 0 is empty",
		"\xc0":                      "payload at byte 0 has no field of a record",
		"\x81\xa3url\xa1u":          "payload at byte 0 has no field of a record",
		"\x81\xa3URL\xa1u\xc0":      "payload at byte 7 goes on behind the record",
		"\x81\xa3URL\x01":           "URL at byte 5 is not a string",
		"\x81\xa9TimeStamp\x92\x01": "TimeStamp at byte 13 ends too early",
	} {
		u := record.Uptime{URL: "left over"}
		err := record.DecodeUptime([]byte(payload), &u)
		if err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", payload, err, want)
		}
		if diff := equal(u, record.Uptime{}); diff != "" {
			t.Errorf("something is left:\n%s", diff)
		}
	}
}
