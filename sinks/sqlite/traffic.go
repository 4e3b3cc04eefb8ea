package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sluice/internal/pipeline"
)

// What a question may ask for at most.
const (
	maxPoints = 2000
	topNames  = 10
)

// Traffic implements pipeline.TrafficReader. The step is rounded to whole buckets: 10 seconds, from an hour on hours;
// from and to are rounded down and up to the step.
func (s *Sink) Traffic(ctx context.Context, from, to time.Time, step time.Duration) (pipeline.Traffic, error) {
	s.readers.RLock()
	defer s.readers.RUnlock()
	if s.reader == nil {
		return pipeline.Traffic{}, errors.New("the file is not open")
	}
	width := fineWidth
	if step >= hourWidth {
		width = hourWidth
	}
	step = max(step/width, 1) * width
	sec := int64(step / time.Second)
	first, end := floor(from.Unix(), sec), floor(to.Unix()+sec-1, sec)
	if end <= first || (end-first)/sec > maxPoints {
		return pipeline.Traffic{}, fmt.Errorf("from %v to %v by %v is not between 1 and %d steps", from, to, step, maxPoints)
	}
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // all answers from one snapshot
	if err != nil {
		return pipeline.Traffic{}, fmt.Errorf("read traffic: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing to undo
	t := pipeline.Traffic{From: time.Unix(first, 0).UTC(), To: time.Unix(end, 0).UTC(), Step: step.Seconds()}
	if t.Points, err = points(ctx, tx, int64(width/time.Second), first, end, sec); err != nil {
		return pipeline.Traffic{}, fmt.Errorf("read traffic: %w", err)
	}
	width = max(width, minuteWidth) // the dimensions have no finer buckets
	for dim, to := range map[int]*[]pipeline.TrafficTop{
		dimAPI: &t.APIs, dimKey: &t.Keys, dimEndpoint: &t.Endpoints, dimCountry: &t.Countries, dimCode: &t.Codes,
	} {
		if *to, err = top(ctx, tx, int64(width/time.Second), dim, first, end); err != nil {
			return pipeline.Traffic{}, fmt.Errorf("read traffic: %w", err)
		}
	}
	return t, nil
}

// points reads the totals of [first, end), one point a step, also where there was nothing.
func points(ctx context.Context, tx *sql.Tx, width, first, end, step int64) ([]pipeline.TrafficPoint, error) {
	out := make([]pipeline.TrafficPoint, (end-first)/step)
	for i := range out {
		out[i].Time = time.Unix(first+int64(i)*step, 0).UTC()
	}
	rows, err := tx.QueryContext(ctx, `SELECT (bucket - ?) / ?, sum(hits), sum(errors), sum(latency_sum), max(latency_max),
		sum(upstream_sum) FROM counters WHERE width = ? AND dimension = ? AND bucket >= ? AND bucket < ? GROUP BY 1`,
		first, step, width, dimTotal, first, end)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		var i int64
		var p pipeline.TrafficPoint
		var latency, upstream float64
		if err := rows.Scan(&i, &p.Hits, &p.Errors, &latency, &p.LatencyMax, &upstream); err != nil {
			return nil, err
		}
		p.Time = out[i].Time
		if p.Hits > 0 {
			p.LatencyAvg, p.Upstream = latency/float64(p.Hits), upstream/float64(p.Hits)
		}
		out[i] = p
	}
	return out, rows.Err()
}

// top reads the values of a dimension with the most requests in [first, end).
func top(ctx context.Context, tx *sql.Tx, width int64, dim int, first, end int64) ([]pipeline.TrafficTop, error) {
	limit := topNames
	if dim == dimCode {
		limit = 100
	}
	first = floor(first, width)
	rows, err := tx.QueryContext(ctx, `SELECT c.name, coalesce(max(l.label), ''), sum(c.hits) AS n, sum(c.errors),
		sum(c.latency_sum) FROM counters c LEFT JOIN labels l USING (dimension, org, name)
		WHERE c.width = ? AND c.dimension = ? AND c.bucket >= ? AND c.bucket < ? GROUP BY c.name HAVING n > 0
		ORDER BY n DESC, c.name LIMIT ?`, width, dim, first, end, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells
	out := []pipeline.TrafficTop{}
	for rows.Next() {
		var t pipeline.TrafficTop
		var latency float64
		if err := rows.Scan(&t.Name, &t.Label, &t.Hits, &t.Errors, &latency); err != nil {
			return nil, err
		}
		t.Latency = latency / float64(t.Hits)
		out = append(out, t)
	}
	return out, rows.Err()
}
