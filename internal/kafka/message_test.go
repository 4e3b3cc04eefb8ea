package kafka

import (
	"testing"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/pipeline"
)

func at(n uint32) pipeline.Position {
	return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: 1}, Index: n}
}

func TestRule(t *testing.T) {
	var none pipeline.Position
	for _, c := range []struct {
		name                          string
		passed, predecessor, position pipeline.Position
		want                          Verdict
	}{
		{"the first", none, none, at(5), Take},
		{"the next", at(5), at(5), at(9), Take},
		{"cut against an older predecessor", at(5), at(2), at(9), Take},
		{"again", at(5), none, at(5), Repeat},
		{"long passed", at(5), at(1), at(2), Repeat},
		{"one is missing", at(5), at(6), at(9), Gap},
		{"the beginning is missing", none, at(6), at(9), Gap},
	} {
		if got := (Passed{Position: c.passed}).Judge(&Header{Predecessor: c.predecessor, Position: c.position}); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

const lineage = "0123456789abcdef0123456789abcdef"

func FuzzHeader(f *testing.F) {
	f.Add(lineage, at(9).String(), at(5).String(), "7", "0123456789abcdef01234567")
	f.Add(lineage, at(9).String(), "", "0", "")
	f.Fuzz(func(t *testing.T, lineage, position, predecessor, number, id string) {
		h, err := ParseHeader([]kgo.Header{{Key: "other", Value: nil}, {Key: headerLineage, Value: []byte(lineage)},
			{Key: headerPosition, Value: []byte(position)}, {Key: headerPredecessor, Value: []byte(predecessor)},
			{Key: headerNumber, Value: []byte(number)}, {Key: headerID, Value: []byte(id)}, {Key: headerFormat}, {Key: headerRegion}})
		if err != nil {
			return
		}
		if again, err := ParseHeader(h.Headers()); err != nil || again != h {
			t.Fatalf("%+v comes back as %+v, %v", h, again, err)
		}
	})
}

func TestForeignMessagesAreNoneOfOurs(t *testing.T) {
	if _, err := ParseHeader(nil); err == nil {
		t.Error("a message without headers passes for one of an edge")
	}
	h := Header{Lineage: lineage, Position: at(1), Predecessor: at(1)}
	if _, err := ParseHeader(h.Headers()); err == nil {
		t.Error("a message is its own predecessor")
	}
}
