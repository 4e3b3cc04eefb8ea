package columnar

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"

	"sluice/internal/archive"
)

// schemaVersion is part of every digest, so that files of another schema are made anew.
const schemaVersion = 1

// nanos holds what of a timestamp's nanoseconds the microseconds of its column leave out.
const nanos = "timestamp_nanos"

// renamed are columns that Athena's table cannot have under their names, since hour is one of its partitions.
var renamed = map[string]string{"day": "record_day", "month": "record_month", "year": "record_year", "hour": "record_hour"}

// kinds are the columns that are no texts. Texts are cells as the CSV archive has them, with its escapes, so that they are UTF-8 without
// control characters whatever a caller sent, and read the same from both.
var kinds = map[string]cellKind{
	"timestamp":     moment,
	"response_code": integer32, "day": integer32, "month": integer32, "year": integer32, "hour": integer32,
	"request_time_ms": integer64, "latency_total_ms": integer64, "latency_upstream_ms": integer64, "latency_gateway_ms": integer64,
	"content_length": integer64, "geo_city_id": integer64, "open_connections": integer64, "closed_connections": integer64,
	"bytes_in": integer64, "bytes_out": integer64,
	"geo_latitude": double, "geo_longitude": double, "track_path": boolean,
}

type cellKind int

const (
	text cellKind = iota
	integer32
	integer64
	double
	boolean
	moment // microseconds since 1970 in UTC; the nanoseconds beyond are in a column of their own
)

func (k cellKind) node() parquet.Node {
	switch k {
	case integer32:
		return parquet.Encoded(parquet.Leaf(parquet.Int32Type), &parquet.RLEDictionary)
	case integer64:
		return parquet.Encoded(parquet.Leaf(parquet.Int64Type), &parquet.RLEDictionary)
	case double:
		return parquet.Encoded(parquet.Leaf(parquet.DoubleType), &parquet.RLEDictionary)
	case boolean:
		return parquet.Leaf(parquet.BooleanType)
	case moment:
		return parquet.Encoded(parquet.Timestamp(parquet.Microsecond), &parquet.Plain)
	}
	return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
}

// Name is what a column of the CSV archive is called in a Parquet file.
func Name(column string) string {
	if n := renamed[column]; n != "" {
		return n
	}
	return column
}

// schema is that of every file; each column may lack a value, since an old object may lack the column.
func schema() *parquet.Schema {
	g := parquet.Group{nanos: parquet.Optional(integer32.node())}
	for _, c := range archive.Columns() {
		g[Name(c)] = parquet.Optional(kinds[c].node())
	}
	return parquet.NewSchema("record", g)
}

// cell is where a column's cells go.
type cell struct {
	name  string
	kind  cellKind
	index int // in a row of the file
}

// layout maps the cells of objects with these columns to rows of the file. Columns that this version does not know are left
// out.
func layout(s *parquet.Schema, names []string) (cells []cell, err error) {
	known := archive.Columns()
	for _, n := range names {
		if !slices.Contains(known, n) {
			cells = append(cells, cell{name: n, index: -1})
			continue
		}
		leaf, ok := s.Lookup(Name(n))
		if !ok {
			return nil, fmt.Errorf("the schema has no column %s", n)
		}
		cells = append(cells, cell{n, kinds[n], leaf.ColumnIndex})
	}
	return cells, nil
}

// value reads a cell. One without a time is null.
func (c *cell) value(s string) (v parquet.Value, rest int32, err error) {
	switch c.kind {
	case integer32:
		n, err := strconv.ParseInt(s, 10, 32)
		return parquet.Int32Value(int32(n)), 0, err
	case integer64:
		n, err := strconv.ParseInt(s, 10, 64)
		return parquet.Int64Value(n), 0, err
	case double:
		f, err := strconv.ParseFloat(s, 64)
		return parquet.DoubleValue(f), 0, err
	case boolean:
		b, err := strconv.ParseBool(s)
		return parquet.BooleanValue(b), 0, err
	case moment:
		if s == "" || s[0] == '@' { // none, or of a year that no accepted record has
			return parquet.NullValue(), 0, nil
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		return parquet.Int64Value(t.UnixMicro()), int32(t.Nanosecond() % 1000), err
	}
	return parquet.ByteArrayValue([]byte(s)), 0, nil
}
