package sqlite

import (
	"database/sql"
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/pipeline"
	"sluice/sinks/sinktest"
)

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		c := testConfig(t)
		return sinktest.Harness{
			Open: func(t testing.TB) pipeline.Sink {
				s, err := New("local", c, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Effects: func(t testing.TB) map[string]int { return recentPositions(t, c.Path) },
			Key:     sinktest.PositionKey,
			Check: func(t testing.TB, delivered []sinktest.Delivered) {
				if diff := cmp.Diff(hitsOf(delivered), storedHits(t, c.Path)); diff != "" {
					t.Errorf("counters: %s", diff)
				}
			},
		}
	})
}

// read runs a query on the file, and scan for each row.
func read(t testing.TB, path, query string, scan func(*sql.Rows) error) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "mode=ro"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // only read from
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		if err := scan(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func recentPositions(t testing.TB, path string) map[string]int {
	out := map[string]int{}
	read(t, path, "SELECT lineage || ' ' || position FROM recent", func(r *sql.Rows) error {
		var key string
		err := r.Scan(&key)
		out[key]++
		return err
	})
	return out
}

// hitsOf counts requests, errors and latencies by hour, organisation, API, key and code.
func hitsOf(delivered []sinktest.Delivered) map[string][3]int64 {
	out := map[string][3]int64{}
	for _, d := range delivered {
		r := d.Item.Record
		if r == nil || r.ResponseCode == -1 {
			continue
		}
		for dim, name := range map[int]string{dimOrg: "", dimAPI: r.APIID, dimKey: r.APIKey, dimCode: fmt.Sprint(r.ResponseCode)} {
			k := fmt.Sprint(r.TimeStamp.Unix()/3600, " ", dim, " ", r.OrgID, " ", name)
			c := out[k]
			c[0]++
			if r.ResponseCode >= 400 {
				c[1]++
			}
			c[2] += r.Latency.Total
			out[k] = c
		}
	}
	return out
}

func storedHits(t testing.TB, path string) map[string][3]int64 {
	out := map[string][3]int64{}
	read(t, path, `SELECT bucket / 3600, dimension, org, name, hits, errors, latency_sum FROM counters
		WHERE width = 3600 AND dimension IN (1, 2, 3, 6)`, func(r *sql.Rows) error {
		var hour, dim int64
		var org, name string
		var c [3]int64
		err := r.Scan(&hour, &dim, &org, &name, &c[0], &c[1], &c[2])
		out[fmt.Sprint(hour, " ", dim, " ", org, " ", name)] = c
		return err
	})
	return out
}
