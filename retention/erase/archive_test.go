package erase

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/retention/plan"
)

// put stores an object of noon's hour with a row of each organisation, all with the key k.
func put(t *testing.T, s archive.Store, number uint32, orgs ...string) {
	t.Helper()
	position := func(i int) pipeline.Position {
		return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: number}, Index: uint32(i)}
	}
	var enc archive.Encoder
	rows := archive.AppendHeader(nil)
	for i, org := range orgs {
		rows = enc.AppendRow(rows, &archive.Row{ID: record.ID{byte(number), byte(i)}, Record: &record.Record{APIKey: "k", OrgID: org, TimeStamp: noon},
			Stream: pipeline.StreamID{Source: "s", List: "l", Lineage: "0a"}, Position: position(i)})
	}
	sum := sha256.Sum256(rows)
	m := &archive.Manifest{Version: archive.FormatVersion, Object: archive.Name("0a", position(0), position(len(orgs))) + ".csv", Records: int64(len(orgs)),
		Bytes: int64(len(rows)), SHA256: hex.EncodeToString(sum[:]), First: noon, Last: noon, Compression: archive.None, Columns: archive.Columns(),
		Positions: []archive.Range{{Lineage: "0a", From: position(0).String(), To: position(len(orgs)).String()}}, Region: "eu"}
	m.Key = archive.Partition("", "eu", noon) + m.Object
	line, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for key, body := range map[string]string{m.Key: string(rows), m.ManifestKey(): string(line)} {
		if _, _, err := s.PutIfAbsent(t.Context(), key, strings.NewReader(body), int64(len(body)), m.SHA256); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHoldOfWhatCameLate: records on hold that come between plan and deed stay; the others go.
func TestHoldOfWhatCameLate(t *testing.T) {
	s, err := dirstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Person{Keys: []string{"k"}, Holds: []plan.Hold{{Org: "held", Reason: "court"}}})
	if err != nil {
		t.Fatal(err)
	}
	a := &Archive{Name: "files", Store: s, Dir: t.TempDir(), Person: p}
	put(t, s, 1, "free", "free")
	actions, err := a.Plan(t.Context())
	if err != nil || len(actions) != 1 || actions[0].Held() || actions[0].Records != 2 {
		t.Fatalf("%+v, %v", actions, err)
	}
	put(t, s, 2, "held", "free")
	done := int64(0)
	err = a.Do(t.Context(), &actions[0], func(n int64) { done += n })
	if held := new(HeldError); !errors.As(err, &held) || !strings.Contains(err.Error(), "court") || done != 3 {
		t.Errorf("%d rows, %v", done, err)
	}
	var left []string
	for m, err := range archive.List(t.Context(), s, "", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := archive.Open(t.Context(), s, m)
		if err != nil {
			t.Fatal(err)
		}
		for row, err := range r.All() {
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, row.Record.OrgID)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(left) != "[held]" {
		t.Errorf("left: %v", left)
	}
}
