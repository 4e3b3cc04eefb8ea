package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

func TestMain(m *testing.M) {
	if helperMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

var hour = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// makeRecords gives n records over 90 minutes, the same ones for the same n.
func makeRecords(n int) []record.Record {
	rnd := rand.New(rand.NewPCG(7, 7))
	out := make([]record.Record, n)
	for i := range out {
		r := &out[i]
		*r = record.Record{
			TimeStamp: hour.Add(time.Duration(rnd.IntN(5400)) * time.Second), OrgID: fmt.Sprintf("org%d", rnd.IntN(3)),
			APIID: fmt.Sprintf("api%d", rnd.IntN(4)), APIName: "An API", APIKey: fmt.Sprintf("key%d", rnd.IntN(20)),
			Alias: "alias", Method: "GET", Path: fmt.Sprintf("/things/%d", rnd.IntN(1000)), RawPath: "/things/\x00\xff",
			ResponseCode: []int32{200, 201, 304, 404, 500}[rnd.IntN(5)], ContentLength: int64(rnd.IntN(1000)),
			Latency: record.Latency{Total: int64(rnd.IntN(500)), Upstream: int64(rnd.IntN(300))},
			Geo:     record.Geo{Country: record.Country{ISOCode: []string{"DE", "GB", ""}[rnd.IntN(3)]}},
		}
		if i%50 == 0 {
			r.ResponseCode = -1
			r.Network = record.Network{BytesIn: 10, BytesOut: 20, OpenConnections: 1, ClosedConnections: 2}
		}
	}
	return out
}

// lineage of the stream that the tests write to.
var stream = pipeline.StreamID{Source: "main", List: "l", Lineage: strings.Repeat("ab", 16)}

func claim(n uint32) pipeline.ClaimID {
	return pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1_770_000_000_000, Rand: 5}, Number: n}
}

// batchOf cuts [from, to) out of a claim that holds the records.
func batchOf(recs []record.Record, number, from, to uint32) *pipeline.Batch {
	b := &pipeline.Batch{Stream: stream, Claim: claim(number), ClaimTime: hour.Add(2 * time.Hour), From: from, To: to,
		Shape: pipeline.Shape{Key: "k", JSON: json.RawMessage(`{"bodies":false}`)}}
	for i := from; i < to; i++ {
		b.Items = append(b.Items, pipeline.Item{Index: i, ID: record.MakeID(recs[i].TimeStamp, uint64(i)), Record: &recs[i]})
	}
	return b
}

func openSink(t *testing.T, c Config) *Sink {
	t.Helper()
	s, err := New("local", c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func testConfig(t *testing.T) Config {
	c := Defaults()
	c.Path = filepath.Join(t.TempDir(), "sluice #1?.db")
	return c
}

func mustWrite(t *testing.T, s *Sink, b *pipeline.Batch) {
	t.Helper()
	res, err := s.Write(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pipeline.Result{}, res); diff != "" {
		t.Fatalf("result: %s", diff)
	}
}

// recount is what the hour's rows must add up to, counted by itself: dimension, org and name to hits, errors, success,
// latency, largest latency, upstream, request bytes, bytes in.
func recount(recs []record.Record) map[string][8]int64 {
	out := map[string][8]int64{}
	for _, r := range recs {
		hit := r.ResponseCode != -1
		add := func(dim int, org, name string) {
			k := fmt.Sprint(r.TimeStamp.Truncate(time.Hour).Unix(), dim, org, name)
			c := out[k]
			c[7] += r.Network.BytesIn
			if hit {
				c[0]++
				if r.ResponseCode >= 400 {
					c[1]++
				} else if r.ResponseCode/100 == 2 {
					c[2]++
				}
				c[3] += r.Latency.Total
				c[4] = max(c[4], r.Latency.Total)
				c[5] += r.Latency.Upstream
				c[6] += r.ContentLength
			}
			out[k] = c
		}
		add(dimTotal, "", "")
		add(dimOrg, r.OrgID, "")
		add(dimAPI, r.OrgID, r.APIID)
		if hit {
			add(dimKey, r.OrgID, r.APIKey)
			add(dimEndpoint, r.OrgID, "GET /things/{id}")
			add(dimCountry, r.OrgID, r.Geo.Country.ISOCode)
			add(dimCode, r.OrgID, fmt.Sprint(r.ResponseCode))
		}
	}
	return out
}

// counted reads all rows of a width, their buckets brought to hours.
func counted(t *testing.T, path string, width int) map[string][8]int64 {
	t.Helper()
	out := map[string][8]int64{}
	read(t, path, fmt.Sprintf(`SELECT bucket - bucket %% 3600, dimension, org, name, sum(hits), sum(errors), sum(success),
		sum(latency_sum), max(latency_max), sum(upstream_sum), sum(request_bytes), sum(bytes_in) FROM counters
		WHERE width = %d GROUP BY 1, 2, 3, 4`, width), func(r *sql.Rows) error {
		var bucket int64
		var dim int
		var org, name string
		var c [8]int64
		err := r.Scan(&bucket, &dim, &org, &name, &c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &c[6], &c[7])
		out[fmt.Sprint(bucket, dim, org, name)] = c
		return err
	})
	return out
}

func TestTotalsEqualARecount(t *testing.T) {
	c := testConfig(t)
	s := openSink(t, c)
	recs := makeRecords(3000)
	mustWrite(t, s, batchOf(recs, 1, 0, 1700))
	mustWrite(t, s, batchOf(recs, 1, 1700, 3000))
	for _, width := range []int{60, 3600} {
		if diff := cmp.Diff(recount(recs), counted(t, c.Path, width)); diff != "" {
			t.Errorf("width %d: %s", width, diff)
		}
	}
}

func TestRedeliveryInOtherCutsChangesNothing(t *testing.T) {
	c := testConfig(t)
	recs := makeRecords(2500)
	rnd := rand.New(rand.NewPCG(1, 2))
	s := openSink(t, c)
	for done := uint32(0); done < 2500; {
		from := done - min(done, rnd.Uint32N(400)) // begins among what was written before
		to := min(from+1+rnd.Uint32N(900), 2500)
		mustWrite(t, s, batchOf(recs, 1, from, to))
		done = max(done, to)
	}
	mustWrite(t, s, batchOf(recs, 1, 0, 2500))
	if diff := cmp.Diff(recount(recs), counted(t, c.Path, 3600)); diff != "" {
		t.Error(diff)
	}
	var recent, distinct int
	if err := s.db.QueryRow("SELECT count(*), count(DISTINCT position) FROM recent").Scan(&recent, &distinct); err != nil {
		t.Fatal(err)
	}
	if recent != 2500 || distinct != 2500 {
		t.Errorf("%d recent records of %d positions, want 2500 of 2500", recent, distinct)
	}
}

func TestPositionsAreKeptByLineageAndClaim(t *testing.T) {
	c := testConfig(t)
	s := openSink(t, c)
	recs := makeRecords(100)
	mustWrite(t, s, batchOf(recs, 2, 0, 100))
	mustWrite(t, s, batchOf(recs, 1, 0, 100)) // an older claim of the same list: it took effect
	other := batchOf(recs, 1, 0, 100)
	other.Stream.Lineage = strings.Repeat("cd", 16)
	mustWrite(t, s, other)
	if diff := cmp.Diff(recount(append(recs, recs...)), counted(t, c.Path, 3600)); diff != "" {
		t.Error(diff)
	}
}

func TestBatchWithoutItemsAdvances(t *testing.T) {
	s := openSink(t, testConfig(t))
	b := batchOf(nil, 1, 0, 0)
	b.To = 40
	mustWrite(t, s, b)
	mustWrite(t, s, batchOf(makeRecords(40), 1, 0, 40))
	var n int
	if err := s.db.QueryRow("SELECT count(*) FROM recent").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d records, error %v: those below the position must be skipped", n, err)
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	c := testConfig(t)
	s := openSink(t, c)
	recs := makeRecords(500)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Write(ctx, batchOf(recs, 1, 0, 500)); err == nil {
		t.Fatal("no error though the context is done")
	}
	if got := counted(t, c.Path, 3600); len(got) != 0 {
		t.Errorf("%d rows after a failed write", len(got))
	}
	mustWrite(t, s, batchOf(recs, 1, 0, 500))
	if diff := cmp.Diff(recount(recs), counted(t, c.Path, 3600)); diff != "" {
		t.Error(diff)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		statement string
		want      string
	}{
		"newer":   {"PRAGMA user_version = 99", "schema 99"},
		"foreign": {"CREATE TABLE recipes (name TEXT)", "something else"},
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			db, err := sql.Open("sqlite", dsn(c.Path, ""))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(tc.statement); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := New("local", c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			wantFatal(t, s.Open(t.Context()), tc.want)
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSecondSinkOnTheFileIsRefused(t *testing.T) {
	c := testConfig(t)
	s := openSink(t, c)
	second, err := New("second", c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	wantFatal(t, second.Open(t.Context()), "in use by another process")
	if err := s.Open(t.Context()); err != nil {
		t.Errorf("opening an open sink again: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Open(t.Context()); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func wantFatal(t *testing.T, err error, want string) {
	t.Helper()
	if class, _ := pipeline.Classify(err); err == nil || class != pipeline.FatalError || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v of class %d, want a fatal one with %q", err, class, want)
	}
}

func TestRecentIsBounded(t *testing.T) {
	c := testConfig(t)
	c.Recent = 300
	s := openSink(t, c)
	recs := makeRecords(1000)
	for i := uint32(0); i < 1000; i += 200 {
		mustWrite(t, s, batchOf(recs, 1, i, i+200))
	}
	var n int
	var first string
	if err := s.db.QueryRow("SELECT count(*), min(position) FROM recent").Scan(&n, &first); err != nil {
		t.Fatal(err)
	}
	if want := (pipeline.Position{Claim: claim(1), Index: 700}).String(); n != 300 || first != want {
		t.Errorf("%d records from %s, want the last 300 from %s", n, first, want)
	}
}

func TestShapeOfTheClaimDecides(t *testing.T) {
	s := openSink(t, testConfig(t))
	recs := makeRecords(2)
	recs[0].RawRequest, recs[1].RawRequest = "Ym9keQ==", "Ym9keQ=="
	b := batchOf(recs, 1, 0, 1)
	b.Shape.JSON = json.RawMessage(`{"bodies":true}`)
	mustWrite(t, s, b)
	mustWrite(t, s, batchOf(recs, 1, 1, 2))
	var bodies string
	if err := s.db.QueryRow("SELECT group_concat(raw_request, '|') FROM recent").Scan(&bodies); err != nil {
		t.Fatal(err)
	}
	if bodies != "Ym9keQ==|" {
		t.Errorf("bodies %q", bodies)
	}
}

func TestNamesBeyondTheLimitCountAsOther(t *testing.T) {
	c := testConfig(t)
	c.Names = 5
	s := openSink(t, c)
	recs := makeRecords(400)
	for i := range recs {
		recs[i].TimeStamp, recs[i].ResponseCode, recs[i].Path = hour, 200, fmt.Sprintf("/scan-%c%c", 'a'+i%20, 'a'+i/20)
	}
	mustWrite(t, s, batchOf(recs, 1, 0, 200))
	s.names.drop() // as after a restart
	mustWrite(t, s, batchOf(recs, 1, 200, 400))
	var names, hits, other int
	if err := s.db.QueryRow(`SELECT count(*), sum(hits), sum(CASE WHEN name = 'other' THEN hits ELSE 0 END) FROM counters
		WHERE width = 3600 AND dimension = ?`, dimEndpoint).Scan(&names, &hits, &other); err != nil {
		t.Fatal(err)
	}
	if names != 6 || hits != 400 || other < 300 {
		t.Errorf("%d names with %d hits, %d of them under other", names, hits, other)
	}
}

func TestMinutesAreDeletedHoursStay(t *testing.T) {
	c := testConfig(t)
	s := openSink(t, c)
	recs := makeRecords(100)
	mustWrite(t, s, batchOf(recs, 1, 0, 50))
	late := batchOf(recs, 2, 50, 100)
	late.ClaimTime = hour.Add(10 * 24 * time.Hour)
	late.Items = nil
	mustWrite(t, s, late)
	if n := len(counted(t, c.Path, 60)); n != 0 {
		t.Errorf("%d minute rows are left", n)
	}
	if diff := cmp.Diff(recount(recs[:50]), counted(t, c.Path, 3600)); diff != "" {
		t.Error(diff)
	}
}

func TestWriteNeedsOpen(t *testing.T) {
	s, err := New("local", testConfig(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), batchOf(nil, 1, 0, 0)); err == nil {
		t.Error("a write before Open succeeded")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	bad := Config{Recent: -1}
	var keys []string
	for _, p := range bad.Validate() {
		keys = append(keys, p.Key)
		if p.What == "" || p.Cure == "" {
			t.Errorf("problem without words: %+v", p)
		}
	}
	if diff := cmp.Diff([]string{"path", "recent", "keep_minutes", "names"}, keys); diff != "" {
		t.Error(diff)
	}
	if _, err := New("x", bad, nil); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("New took a bad configuration: %v", err)
	}
}
