package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"sluice/internal/record"
)

func TestArenaPiecesDoNotOverlap(t *testing.T) {
	var a Arena
	for round := range 3 {
		var pieces [][]byte
		for i := range 2000 {
			b := a.Cut(1 + i%3000)
			for j := range b {
				b[j] = byte(i)
			}
			if cap(b) != len(b) {
				t.Fatal("an append to a piece would reach the next")
			}
			pieces = append(pieces, b)
		}
		for i, b := range pieces {
			if want := bytes.Repeat([]byte{byte(i)}, 1+i%3000); !bytes.Equal(b, want) {
				t.Fatalf("round %d: piece %d was overwritten", round, i)
			}
		}
		a.Reset()
	}
}

func TestArenaGivesItsBlocksBack(t *testing.T) {
	var told []int64
	b := &blocks{resident: func(n int64) { told = append(told, n) }}
	a := Arena{from: b}
	for range 2 {
		for range 200 {
			a.Cut(arenaBlock)[arenaBlock-1] = 1
		}
		if a.used != 200*arenaBlock || b.mapped != a.used {
			t.Fatalf("%d bytes are used, %d have pages", a.used, b.mapped)
		}
		if n := len(b.warm) + len(b.cold); n >= region/arenaBlock {
			t.Fatalf("%d blocks are free", n)
		}
		a.Reset()
		if b.mapped != keptWarm*arenaBlock || a.used != 0 || len(a.blocks) != 0 {
			t.Fatalf("%d bytes keep their pages, %d are used", b.mapped, a.used)
		}
		if free := len(b.warm) + len(b.cold); free != 208 { // of whole regions
			t.Fatalf("%d blocks are free", free)
		}
	}
	if len(told) < 10 || told[len(told)-1] > keptWarm*arenaBlock+region {
		t.Fatalf("told %v", told)
	}
}

// arenaStream reads into the arena and counts how often it was given one.
type arenaStream struct {
	*fakeStream
	into int
}

func (s *arenaStream) ReadInto(ctx context.Context, id ClaimID, index, n uint32, limit int64, a *Arena) ([]Element, error) {
	list, err := s.Read(ctx, id, index, n, limit)
	s.into++
	out := a.List(len(list))
	for _, e := range list {
		e.Payload = append(a.Cut(len(e.Payload))[:0], e.Payload...)
		out = append(out, e)
	}
	return out, err
}

// Chunks whose memory is used again hold what was read for them, also while others are dropped and read.
func TestRoomsAreUsedAgainOnlyWhenFree(t *testing.T) {
	reg := newRegistry()
	var payloads [][]byte
	for i := range 6000 {
		payloads = append(payloads, record.AppendMsgpack(nil, &record.Record{OrgID: fmt.Sprint("org", i), TimeStamp: testEpoch}))
	}
	owed := Owed{Sinks: []string{"a"}, JSON: []byte(`{"record":{"region":"x","accept":{"past":1000000000000000000,"future":86400000000000}},"sinks":{}}`)}
	id := reg.claim(owed, payloads...)
	st := &arenaStream{fakeStream: reg.lease()}
	store := newStore(64 << 20)
	c := store.cache(st, record.Span, &shapes{})
	claim := Claim{ID: id, Len: 6000, Time: testEpoch, Shape: owed.JSON}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var held []*chunk
	for round := range 4 {
		for i := uint32(0); i < claim.Len; i += 1000 {
			ch, err := c.get(ctx, claim, i, 8<<20, patient)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, ch)
			if len(held) > 2 {
				checkChunk(t, held[0])
				c.release(held[0])
				c.drop(held[0])
				held = held[1:]
			}
		}
		if st.into == 0 {
			t.Fatal("round", round, "read into no arena")
		}
	}
	for _, ch := range held {
		checkChunk(t, ch)
		c.release(ch)
	}
}

func checkChunk(t *testing.T, ch *chunk) {
	t.Helper()
	if len(ch.items)+len(ch.dead) != int(ch.to-ch.from) {
		t.Fatalf("%d items and %d dead in [%d, %d)", len(ch.items), len(ch.dead), ch.from, ch.to)
	}
	for i := range ch.items {
		it := &ch.items[i]
		if want := fmt.Sprint("org", it.Index); it.Record.OrgID != want || !bytes.Contains(it.Raw, []byte(want)) {
			t.Fatalf("item %d has organisation %q", it.Index, it.Record.OrgID)
		}
	}
}
