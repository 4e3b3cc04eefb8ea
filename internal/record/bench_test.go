package record_test

import (
	"testing"

	"sluice/internal/record"
)

// nearest is the captured payload whose size is nearest to size: gateways in the field write some 1,441 bytes a record.
func nearest(b *testing.B, f record.Format, size int) []byte {
	b.Helper()
	var best []byte
	for _, p := range payloads(b, f) {
		if best == nil || distance(len(p), size) < distance(len(best), size) {
			best = p
		}
	}
	return best
}

func distance(a, b int) int { return max(a-b, b-a) }

func BenchmarkDecode(b *testing.B) {
	for _, f := range []record.Format{record.Msgpack, record.Protobuf} {
		b.Run(f.String(), func(b *testing.B) {
			payload := nearest(b, f, 1441)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			var d record.Decoder
			var r record.Record
			for b.Loop() {
				if err := d.Decode(f, payload, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for f, encode := range map[record.Format]func([]byte, *record.Record) []byte{
		record.Msgpack: record.AppendMsgpack, record.Protobuf: record.AppendProtobuf,
	} {
		b.Run(f.String(), func(b *testing.B) {
			payload := nearest(b, f, 1441)
			var r record.Record
			if err := record.Decode(f, payload, &r); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = encode(buf[:0], &r)
			}
		})
	}
}

func BenchmarkID(b *testing.B) {
	payload := nearest(b, record.Msgpack, 1441)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	var o record.Ordinals
	var r record.Record
	if err := record.Decode(record.Msgpack, payload, &r); err != nil {
		b.Fatal(err)
	}
	index := uint32(0)
	for b.Loop() {
		_ = record.MakeID(r.TimeStamp, o.Next(index, payload))
		index += 2 // some repeats, some span begins
	}
}

func BenchmarkMask(b *testing.B) {
	m, err := record.NewMasker([]record.MaskRule{{"ip_address", "truncate"}, {"api_key", "hash"}})
	if err != nil {
		b.Fatal(err)
	}
	var r record.Record
	if err := record.Decode(record.Msgpack, nearest(b, record.Msgpack, 1441), &r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c := r
		m.Apply(&c)
	}
}
