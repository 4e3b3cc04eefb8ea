// Package benchmarks holds what measures sluice: each stage by itself here, from end to end in e2e, and floor, the least
// that any pump must do.
package benchmarks

import (
	"testing"
	"time"

	"sluice/aggregate"
	"sluice/benchmarks/sample"
	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/units"
)

// requests are captured requests of about sample.Size bytes, decoded.
func requests(b *testing.B) ([][]byte, []record.Record) {
	b.Helper()
	payloads, err := sample.Nearest(record.Msgpack, 200)
	if err != nil {
		b.Fatal(err)
	}
	records := make([]record.Record, len(payloads))
	for i, p := range payloads {
		if err := record.Decode(record.Msgpack, p, &records[i]); err != nil {
			b.Fatal(err)
		}
	}
	return payloads, records
}

func BenchmarkDecode(b *testing.B) {
	for _, f := range []record.Format{record.Msgpack, record.Protobuf} {
		b.Run(f.String(), func(b *testing.B) {
			payloads, err := sample.Nearest(f, 1)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(payloads[0])))
			b.ReportAllocs()
			var d record.Decoder
			var r record.Record
			for b.Loop() {
				if err := d.Decode(f, payloads[0], &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHash(b *testing.B) {
	payloads, _ := requests(b)
	b.SetBytes(int64(len(payloads[0])))
	b.ReportAllocs()
	for b.Loop() {
		_ = record.HashPayload(payloads[0])
	}
}

func BenchmarkID(b *testing.B) {
	payloads, records := requests(b)
	b.SetBytes(int64(len(payloads[0])))
	b.ReportAllocs()
	for b.Loop() {
		_ = record.MakeID(records[0].TimeStamp, record.HashPayload(payloads[0]))
	}
}

func BenchmarkFold(b *testing.B) {
	_, records := requests(b)
	shape := aggregate.Shape{TrackAllPaths: true, Bucket: units.Duration(time.Hour)}
	b.ReportAllocs()
	f := aggregate.NewFold(shape)
	d := f.Document("org", 1_790_000_000)
	for i := 0; b.Loop(); i++ {
		d.Add(&records[i%len(records)])
	}
}

func BenchmarkArchiveRow(b *testing.B) {
	_, records := requests(b)
	var e archive.Encoder
	var buf []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		row := archive.Row{Record: &records[i%len(records)], Position: pipeline.Position{Index: uint32(i)}}
		buf = e.AppendRow(buf[:0], &row)
	}
	b.SetBytes(int64(len(buf)))
}
