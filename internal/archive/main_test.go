package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const vectors = "../record/testdata/vectors/"

// captured decodes the records of a gateway.
func captured(t testing.TB, f record.Format) []*record.Record {
	t.Helper()
	b, err := os.ReadFile(vectors + "gateway-" + f.String() + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	var list []*record.Record
	for len(b) > 0 {
		n := binary.BigEndian.Uint32(b)
		r := new(record.Record)
		if err := record.Decode(f, b[4:4+n], r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
		b = b[4+n:]
	}
	return list
}

var testStream = pipeline.StreamID{
	Source: "main", List: "analytics-tyk-system-analytics_0", Lineage: "00112233445566778899aabbccddeeff",
}

func claimID(n uint32) pipeline.ClaimID {
	return pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1700000000000, Rand: 7}, Number: n}
}

func position(claim, index uint32) pipeline.Position {
	return pipeline.Position{Claim: claimID(claim), Index: index}
}

// row gives a record an identity.
func row(r *record.Record, index uint32) Row {
	id := record.MakeID(r.TimeStamp, uint64(index)*0x9e3779b97f4a7c15)
	return Row{ID: id, Record: r, Stream: testStream, Position: position(3, index)}
}

func oneRecord() *record.Record {
	return &record.Record{TimeStamp: time.Date(2026, 11, 23, 9, 59, 59, 999999999, time.UTC)}
}

// decodeAll reads rows behind a header.
func decodeAll(t testing.TB, content []byte) []Row {
	t.Helper()
	lines := bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))
	h, err := ParseHeader(string(lines[0]))
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for i, line := range lines[1:] {
		r, err := h.Row(string(line))
		if err != nil {
			t.Fatal(fmt.Errorf("line %d: %w", i, err))
		}
		rows = append(rows, r)
	}
	return rows
}
