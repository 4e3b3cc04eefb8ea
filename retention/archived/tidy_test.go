package archived

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/units"
	"sluice/retention/plan"
)

// rows stores an object of real rows with its manifest, both of an age.
func rows(t *testing.T, root string, s archive.Store, at time.Time, from, n uint32, age time.Duration) {
	t.Helper()
	stream := pipeline.StreamID{Source: "main", List: "l", Lineage: strings.Repeat("ab", 16)}
	where := func(i uint32) pipeline.Position {
		return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: 1}, Index: i}
	}
	body := archive.AppendHeader(nil)
	var enc archive.Encoder
	for i := from; i < from+n; i++ {
		rec := &record.Record{TimeStamp: at.Add(time.Duration(i) * time.Millisecond), OrgID: "o", Path: "/p"}
		body = enc.AppendRow(body, &archive.Row{ID: record.MakeID(rec.TimeStamp, uint64(i)), Record: rec, Stream: stream, Position: where(i)})
	}
	sum := sha256.Sum256(body)
	sha := hex.EncodeToString(sum[:])
	name := archive.Name(stream.Lineage, where(from), where(from+n))
	m := archive.Manifest{Version: archive.FormatVersion, Object: name + ".csv", Records: int64(n), Bytes: int64(len(body)), SHA256: sha,
		First: at, Last: at.Add(time.Second), Compression: archive.None, Region: "eu", Lineage: stream.Lineage, Columns: archive.Columns(),
		Positions: []archive.Range{{Lineage: stream.Lineage, From: where(from).String(), To: where(from + n).String()}}}
	line, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for key, b := range map[string][]byte{name + ".csv": body, name + ".manifest.json": line} {
		key = archive.Partition(prefix, "eu", at) + key
		if _, _, err := s.PutIfAbsent(t.Context(), key, bytes.NewReader(b), int64(len(b)), sha); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(root, key), old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// tidier is an archive in a directory, with the rules that it is tidied by.
type tidier struct {
	t     *testing.T
	root  string
	files archive.Store
	s     *Store
	rules plan.Rules
}

func newTidier(t *testing.T) *tidier {
	root := t.TempDir()
	files, err := dirstore.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	s := New("archive", prefix, files, false, func() int64 { return -1 })
	s.rate = 10_000
	s.Joining(t.TempDir(), 1<<20)
	return &tidier{t, root, files, s, plan.Rules{Keep: map[plan.Kind]time.Duration{plan.Archive: 400 * units.Day},
		CompactAfter: 2 * time.Hour, TargetObject: 1 << 20, Grace: archive.Grace}}
}

func (d *tidier) due(claims plan.Claims) []plan.Action {
	d.t.Helper()
	now := time.Now()
	inv, err := d.s.Inventory(d.t.Context(), now)
	if err != nil {
		d.t.Fatal(err)
	}
	return plan.Make(plan.Input{Now: now, Rules: d.rules, Inventories: []plan.Inventory{inv}, Claims: claims}).Actions
}

func (d *tidier) do(a plan.Action) {
	d.t.Helper()
	if err := d.s.Do(d.t.Context(), &a, func(int64) {}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *tidier) records() (n int64, objects int) {
	d.t.Helper()
	for m, err := range archive.List(d.t.Context(), d.files, prefix, time.Time{}, time.Time{}) {
		if err != nil {
			d.t.Fatal(err)
		}
		if err := archive.Verify(d.t.Context(), d.files, m); err != nil {
			d.t.Fatal(err)
		}
		n += m.Records
		objects++
	}
	return n, objects
}

// age makes all files look older.
func (d *tidier) age(by time.Duration) {
	d.t.Helper()
	for i, err := range d.files.List(d.t.Context(), "") {
		if err != nil {
			d.t.Fatal(err)
		}
		old := i.Modified.Add(-by)
		if err := os.Chtimes(filepath.Join(d.root, i.Key), old, old); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestHoursAreTidied: joined when they are over, what was joined deleted an hour later, and then there is nothing to do.
func TestHoursAreTidied(t *testing.T) {
	d := newTidier(t)
	day := time.Now().UTC().Truncate(units.Day).AddDate(0, 0, -3)
	for i := range uint32(6) {
		rows(t, d.root, d.files, day.Add(time.Duration(i%2)*time.Hour), i*10, 10, 50*time.Hour)
	}
	now := time.Now().UTC().Truncate(time.Hour)
	rows(t, d.root, d.files, now, 100, 10, time.Minute)
	rows(t, d.root, d.files, now, 110, 10, time.Minute)

	if as := d.due(plan.Claims{Oldest: day.Add(time.Hour)}); len(as) != 1 || !as[0].Held() || as[0].Objects != 6 {
		t.Errorf("beside an old claim: %+v", as)
	}
	as := d.due(plan.Claims{Oldest: time.Now()})
	if len(as) != 1 || as[0].Held() || as[0].Verb != plan.Compact || as[0].Objects != 6 || as[0].Records != 60 || as[0].To.Sub(as[0].From) != 2*time.Hour {
		t.Fatalf("plan: %+v", as)
	}
	for range 2 {
		d.do(as[0])
		if n, objects := d.records(); n != 80 || objects != 4 {
			t.Errorf("%d records in %d objects", n, objects)
		}
	}
	if as := d.due(plan.Claims{}); len(as) != 0 {
		t.Errorf("at once there is to do: %+v", as)
	}
	d.age(59 * time.Minute)
	if as := d.due(plan.Claims{}); len(as) != 0 {
		t.Errorf("before the grace has passed: %+v", as)
	}
	d.age(2 * time.Minute)
	as = d.due(plan.Claims{})
	if len(as) != 1 || as[0].Verb != plan.DeleteReplaced || as[0].Objects != 12 || as[0].Bytes == 0 {
		t.Fatalf("plan: %+v", as)
	}
	for range 2 {
		d.do(as[0])
	}
	if n, objects := d.records(); n != 80 || objects != 4 {
		t.Errorf("swept: %d records in %d objects", n, objects)
	}
	if as := d.due(plan.Claims{}); len(as) != 0 {
		t.Errorf("there is still to do: %+v", as)
	}
}

// TestNothingIsSweptThatIsNotSafe: not while what stands for it is damaged or gone.
func TestNothingIsSweptThatIsNotSafe(t *testing.T) {
	d := newTidier(t)
	day := time.Now().UTC().Truncate(units.Day).AddDate(0, 0, -3)
	for i := range uint32(3) {
		rows(t, d.root, d.files, day, i*10, 10, 50*time.Hour)
	}
	d.do(d.due(plan.Claims{})[0])
	d.age(2 * time.Hour)
	sweep := d.due(plan.Claims{})[0]
	key := archive.Partition(prefix, "eu", day) + "merged-00000001.csv"
	whole, err := os.ReadFile(filepath.Join(d.root, key))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range [][]byte{whole[:len(whole)-3], nil} {
		if err := os.WriteFile(filepath.Join(d.root, key), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if broken == nil {
			if err := os.Remove(filepath.Join(d.root, key)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.s.Do(t.Context(), &sweep, func(int64) {}); err == nil || !strings.Contains(err.Error(), "nothing that it replaced is deleted") {
			t.Errorf("error %v", err)
		}
	}
	h, err := archive.ReadHour(t.Context(), d.files, prefix, "eu", day)
	if err != nil || len(h.Replaced) != 3 || len(h.Objects) != 3 {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestWhatCameAgainWaitsForItsGrace: a pump that was frozen sends an object that was joined long ago, after the sweep was planned.
func TestWhatCameAgainWaitsForItsGrace(t *testing.T) {
	d := newTidier(t)
	day := time.Now().UTC().Truncate(units.Day).AddDate(0, 0, -3)
	for i := range uint32(3) {
		rows(t, d.root, d.files, day, i*10, 10, 50*time.Hour)
	}
	d.do(d.due(plan.Claims{})[0])
	d.age(2 * time.Hour)
	sweep := d.due(plan.Claims{})[0]
	h, err := archive.ReadHour(t.Context(), d.files, prefix, "eu", day)
	if err != nil {
		t.Fatal(err)
	}
	again := h.Leftovers()[5].Key
	now := time.Now()
	if err := os.Chtimes(filepath.Join(d.root, again), now, now); err != nil {
		t.Fatal(err)
	}
	d.do(sweep)
	h, err = archive.ReadHour(t.Context(), d.files, prefix, "eu", day)
	if err != nil {
		t.Fatal(err)
	}
	if left := h.Leftovers(); len(left) != 1 || left[0].Key != again {
		t.Errorf("left: %+v", left)
	}
}

// TestDaysAreIndexed: once they are over and joined; what is planned for deletion never rests on an index.
func TestDaysAreIndexed(t *testing.T) {
	d := newTidier(t)
	d.rules.CompactAfter = 2 * time.Hour
	day := time.Now().UTC().Truncate(units.Day).AddDate(0, 0, -3)
	for i := range uint32(10) {
		rows(t, d.root, d.files, day.Add(time.Duration(i)*time.Hour), i*10, 10, 50*time.Hour)
	}
	as := d.due(plan.Claims{})
	if len(as) != 1 || as[0].Verb != plan.Index || as[0].Target != "region=eu/dt="+day.Format(time.DateOnly) {
		t.Fatalf("plan: %+v", as)
	}
	d.do(as[0])
	for _, applies := range []bool{false, true} {
		if d.s.applies = applies; len(d.due(plan.Claims{})) != 0 {
			t.Errorf("again: %+v", d.due(plan.Claims{}))
		}
	}
	rows(t, d.root, d.files, day.Add(time.Hour), 1000, 10, 50*time.Hour)
	as = d.due(plan.Claims{})
	if len(as) != 1 || as[0].Verb != plan.Compact {
		t.Errorf("what comes late is joined first: %+v", as)
	}
	d.rules.Keep[plan.Archive] = units.Day
	as = d.due(plan.Claims{})
	if len(as) != 1 || as[0].Verb != plan.DeletePartition || as[0].Records != 110 {
		t.Fatalf("plan: %+v", as)
	}
	d.do(as[0])
	for i, err := range d.files.List(t.Context(), "") {
		t.Errorf("left: %s %v", i.Key, err)
	}
}
