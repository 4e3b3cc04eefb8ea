package record_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/record"
)

// These IDs are in databases, indices and archives: they may never change.
func TestIDIsFrozen(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 43, 46, 370367119, time.UTC)
	a, b := []byte("payload a"), []byte("payload b, longer than one block of the hash, which has 32 bytes")
	steps := []struct {
		index   uint32
		payload []byte
		want    string
	}{
		{0, a, "6b040ad2704acc89893a7b64"},
		{1, b, "6b040ad248e20c1c4fa86a23"},
		{2, a, "6b040ad2509a32006551c93c"},          // second of its span
		{3, a, "6b040ad2bac7dae03a252b24"},          // third
		{4, nil, "6b040ad299744cf3c0a149f6"},        // no bytes
		{999, b, "6b040ad22a6ee9b3d633af5d"},        // second, at the span's last index
		{1000, a, "6b040ad2704acc89893a7b64"},       // first of the next span: the ID of index 0 again
		{1001, a, "6b040ad2509a32006551c93c"},       // second of it: the ID of index 2 again
		{2000, b, "6b040ad248e20c1c4fa86a23"},       // first, a span later
		{4294967000, a, "6b040ad2704acc89893a7b64"}, // a claim's last span
	}
	var o record.Ordinals
	for _, s := range steps {
		if got := record.MakeID(at, o.Next(s.index, s.payload)).String(); got != s.want {
			t.Errorf("index %d: ID %s, want %s", s.index, got, s.want)
		}
	}
}

func TestIDsOfCapturedRecordsAreFrozen(t *testing.T) {
	want := map[record.Format][]string{
		record.Msgpack:  {"6b040ad2c628e2e4321d420d", "6b040ad26d5595026e051ba8"},
		record.Protobuf: {"6b0410895d38c691f41b6605", "6b04108bec1fb0700f6530d5"},
	}
	for f, ids := range want {
		all := payloads(t, f)
		for i, payload := range [][]byte{all[0], all[len(all)-1]} {
			var r record.Record
			if err := record.Decode(f, payload, &r); err != nil {
				t.Fatal(err)
			}
			if got := record.MakeID(r.TimeStamp, record.HashPayload(payload)).String(); got != ids[i] {
				t.Errorf("%s: ID %s, want %s", f, got, ids[i])
			}
		}
	}
}

// Of the seconds beyond 32 bits an ID keeps the lower ones; Go's zero time must not differ between machines.
func TestMakeIDOfStrangeTimes(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Time{}, "886e09000000000000000001"},
		{time.Unix(1<<32+5, 0), "000000050000000000000001"},
		{time.Unix(-1, 0), "ffffffff0000000000000001"},
	} {
		if got := record.MakeID(c.at, 1).String(); got != c.want {
			t.Errorf("%v: ID %s, want %s", c.at, got, c.want)
		}
	}
}

// hashes gives the payloads from index first on their hashes, as a reader does that starts there.
func hashes(payloads [][]byte, first int) []uint64 {
	var o record.Ordinals
	var list []uint64
	for i := first; i < len(payloads); i++ {
		list = append(list, o.Next(uint32(i), payloads[i]))
	}
	return list
}

// drawPayloads makes up to three and a half spans of payloads with many equal ones.
func drawPayloads(t *rapid.T) [][]byte {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	kinds := rapid.IntRange(1, 1500).Draw(t, "kinds")
	list := make([][]byte, rapid.IntRange(0, 7*record.Span/2).Draw(t, "payloads"))
	for i := range list {
		n := rng.IntN(kinds)
		list[i] = []byte{'p', byte(n), byte(n >> 8)}
	}
	return list
}

func TestIDsDoNotDependOnAlignedCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawPayloads(t)
		first := record.Span * rapid.IntRange(0, len(list)/record.Span).Draw(t, "span")
		whole, part := hashes(list, 0)[first:], hashes(list, first)
		for i := range whole {
			if whole[i] != part[i] {
				t.Fatalf("index %d: another ID when reading starts at %d", first+i, first)
			}
		}
	})
}

func TestIDsAreDistinctInASpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := map[uint64]int{}
		for i, h := range hashes(drawPayloads(t), 0) {
			if i%record.Span == 0 {
				clear(seen)
			}
			if other, ok := seen[h]; ok {
				t.Fatalf("indices %d and %d have the same ID", other, i)
			}
			seen[h] = i
		}
	})
}

func TestHasherEqualsHashPayload(t *testing.T) {
	h := record.NewHasher()
	rapid.Check(t, func(t *rapid.T) {
		h.Reset()
		var all []byte
		for _, piece := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 100)).Draw(t, "pieces") {
			all = append(all, piece...)
			h.Write(piece)
			if h.Sum64() != record.HashPayload(all) {
				t.Fatalf("another hash after %d bytes", len(all))
			}
		}
	})
}

func TestOrdinalsAllocateOnce(t *testing.T) {
	payload := []byte("payload")
	var o record.Ordinals
	o.Next(0, payload)
	index := uint32(0)
	if n := testing.AllocsPerRun(5*record.Span, func() {
		index++
		o.Next(index, payload)
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}
