package record_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/internal/record"
	"sluice/internal/record/reference"
)

// Numbers of captured records, so that a test over all of them cannot pass over none.
var captured = map[record.Format]int{record.Msgpack: 2948, record.Protobuf: 3028}

func vector(name string) string { return filepath.Join("testdata", "vectors", name) }

func payloads(t testing.TB, f record.Format) [][]byte {
	t.Helper()
	frames, err := reference.ReadFrames(vector("gateway-" + f.String() + ".bin"))
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) != captured[f] {
		t.Fatalf("%d captured %s records, want %d", len(frames), f, captured[f])
	}
	return frames
}

// equal compares records; a NaN equals itself.
func equal(got, want any) string { return cmp.Diff(want, got, cmpopts.EquateNaNs()) }

// The library shows what the JSON twins cannot: the bytes of strings that are not UTF-8, zones, collection names.
func TestCapturedRecordsEqualReference(t *testing.T) {
	for f := range captured {
		t.Run(f.String(), func(t *testing.T) {
			var d record.Decoder
			for i, payload := range payloads(t, f) {
				want, err := reference.Decode(f, payload)
				if err != nil {
					t.Fatalf("record %d: reference: %v", i, err)
				}
				var got record.Record
				if err := d.Decode(f, payload, &got); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
				if diff := equal(got, want); diff != "" {
					t.Fatalf("record %d (-reference +decoded):\n%s", i, diff)
				}
			}
		})
	}
}

func TestCapturedMsgpackEncodesToTheSameBytes(t *testing.T) {
	var d record.Decoder
	var buf []byte
	for i, payload := range payloads(t, record.Msgpack) {
		var r record.Record
		if err := d.Decode(record.Msgpack, payload, &r); err != nil {
			t.Fatal(err)
		}
		if buf = record.AppendMsgpack(buf[:0], &r); !bytes.Equal(buf, payload) {
			t.Fatalf("record %d: bytes differ from byte %d on", i, commonPrefix(buf, payload))
		}
	}
}

func TestCapturedProtobufEncodesToTheSameBytes(t *testing.T) {
	var d record.Decoder
	var buf []byte
	for i, payload := range payloads(t, record.Protobuf) {
		var r record.Record
		if err := d.Decode(record.Protobuf, payload, &r); err != nil {
			t.Fatal(err)
		}
		if buf = record.AppendProtobuf(buf[:0], &r); !bytes.Equal(buf, payload) {
			t.Fatalf("record %d: bytes differ from byte %d on", i, commonPrefix(buf, payload))
		}
	}
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func TestZeroRecord(t *testing.T) {
	payload, err := os.ReadFile(vector("zero-record.msgpack"))
	if err != nil {
		t.Fatal(err)
	}
	var r record.Record
	if err := record.Decode(record.Msgpack, payload, &r); err != nil {
		t.Fatal(err)
	}
	if got := r.TimeStamp.UnixNano(); got != 1700000000123456789 {
		t.Errorf("TimeStamp is %d", got)
	}
	want := record.Record{TimeStamp: r.TimeStamp}
	if diff := equal(r, want); diff != "" { // ExpireAt is Go's zero time among others
		t.Error(diff)
	}
	if got := record.AppendMsgpack(nil, &r); !bytes.Equal(got, payload) {
		t.Errorf("bytes differ from byte %d on", commonPrefix(got, payload))
	}
}

// Records of one Decoder share blocks, but never a place in one.
func TestRecordsOfOneDecoderAreApart(t *testing.T) {
	for f := range captured {
		var d record.Decoder
		all := payloads(t, f)[:600]
		records := make([]record.Record, len(all))
		for i, payload := range all {
			if err := d.Decode(f, payload, &records[i]); err != nil {
				t.Fatal(err)
			}
			records[i].Tags = append(records[i].Tags, "one more")
		}
		for i, payload := range all {
			want, err := reference.Decode(f, payload)
			if err != nil {
				t.Fatal(err)
			}
			want.Tags = append(want.Tags, "one more")
			if diff := equal(records[i], want); diff != "" {
				t.Fatalf("%s record %d was changed by a later one:\n%s", f, i, diff)
			}
		}
	}
}

func TestDecoderAllocatesLittle(t *testing.T) {
	for f := range captured {
		payload := payloads(t, f)[0]
		var d record.Decoder
		var r record.Record
		if n := testing.AllocsPerRun(1000, func() {
			if err := d.Decode(f, payload, &r); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations a record, want less than one", f, n)
		}
	}
}
