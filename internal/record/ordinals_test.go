package record_test

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/record"
)

// Hashes that collide in the places they are kept at, that are zero, and more of them than a span has, are told apart as
// by a map.
func TestOrdinalsAgreeWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o record.Ordinals
		seen := map[uint64]uint32{}
		kinds := rapid.IntRange(1, 4000).Draw(t, "kinds")
		step := rapid.SampledFrom([]uint64{1, 2048, 4096, 1 << 40}).Draw(t, "step")
		draw := rapid.Uint64().Draw(t, "seed")
		index := uint32(0)
		for range rapid.IntRange(0, 6000).Draw(t, "hashes") {
			draw = draw*6364136223846793005 + 1442695040888963407
			if draw>>40%1500 == 0 {
				index = record.Span * (index/record.Span + 1)
				clear(seen)
			}
			h := (draw >> 33) % uint64(kinds) * step
			want := h
			if n := seen[h]; n > 0 {
				want = record.HashPayload(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, h), n))
			}
			seen[h]++
			if got := o.Distinguish(index, h); got != want {
				t.Fatalf("hash %x for the time number %d: %x, want %x", h, seen[h], got, want)
			}
			if index%record.Span == 0 {
				index++ // else the span would begin again
			}
		}
	})
}
