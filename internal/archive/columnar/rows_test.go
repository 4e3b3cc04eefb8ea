package columnar

import (
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"sluice/internal/archive"
	"sluice/internal/record"
)

// full has a value in every column that a record fills.
func full(s string, at time.Time) *record.Record {
	return &record.Record{TimeStamp: at, OrgID: s, APIID: s + "1", APIName: s, APIVersion: s, Method: s, Host: s, Path: s, RawPath: "/" + s, OriginalPath: s, ListenPath: s,
		ResponseCode: -1, RequestTime: math.MaxInt64, Latency: record.Latency{Total: -3, Upstream: math.MinInt64, Gateway: 7}, ContentLength: -1, UserAgent: s + s,
		IPAddress: s, APIKey: s, OauthID: s, Alias: s, Tags: []string{s, "x"}, TrackPath: true, ExpireAt: at.AddDate(9000, 0, 0),
		Geo: record.Geo{Country: record.Country{ISOCode: s}, City: record.City{GeoNameID: math.MaxUint32, Names: map[string]string{s: s}},
			Location: record.Location{Latitude: 1.0 / 3, Longitude: math.NaN(), TimeZone: s}},
		Network: record.Network{OpenConnections: 1, ClosedConnections: 2, BytesIn: 3, BytesOut: math.MaxInt64}, APISchema: s, RawRequest: s, RawResponse: s,
		GraphQL: record.GraphQLStats{IsGraphQL: true, Variables: s}, MCP: record.MCPStats{PrimitiveName: s}, TimeZone: s, Day: 1, Month: 2, Year: math.MaxInt32, Hour: math.MinInt32, CollectionName: s}
}

// cells reads a Parquet file back into cells as the CSV archive has them, by the library's row reader.
func cells(t *testing.T, name string) (out [][]string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := parquet.NewReader(f)
	defer r.Close()
	columns := archive.Columns()
	rows := make([]parquet.Row, 64)
	for {
		n, err := r.ReadRows(rows)
		for _, row := range rows[:n] {
			line := make([]string, len(columns))
			for i, c := range columns {
				leaf, ok := r.Schema().Lookup(Name(c))
				if !ok {
					t.Fatalf("no column %s", c)
				}
				line[i] = asCell(c, row[leaf.ColumnIndex])
				if c == "timestamp" && !row[leaf.ColumnIndex].IsNull() {
					rest, _ := r.Schema().Lookup(nanos)
					line[i] = time.UnixMicro(row[leaf.ColumnIndex].Int64()).Add(time.Duration(row[rest.ColumnIndex].Int32())).UTC().Format("2006-01-02T15:04:05.000000000Z")
				}
			}
			out = append(out, line)
		}
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func asCell(column string, v parquet.Value) string {
	switch {
	case v.IsNull():
		return ""
	case v.Kind() == parquet.Double:
		return strconv.FormatFloat(v.Double(), 'g', -1, 64)
	case v.Kind() == parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case v.Kind() == parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case v.Kind() == parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	}
	return strings.Clone(string(v.ByteArray()))
}

// want cuts rows into the cells that the CSV archive's own reader finds.
func want(t *testing.T, lines []string) (out [][]string) {
	t.Helper()
	h, err := archive.ParseHeader(strings.TrimSuffix(string(archive.AppendHeader(nil)), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		c, err := h.Cells(line)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(c))
		for i := range c {
			row[i] = strings.Clone(c[i])
		}
		out = append(out, row)
	}
	return out
}

// TestRowsAreThoseOfTheArchive: every cell of every row, whatever a caller sent, over several row groups and a fallen back
// dictionary.
func TestRowsAreThoseOfTheArchive(t *testing.T) {
	l := newLake(t)
	var first, second []*record.Record
	for i, s := range nasty {
		first = append(first, full(s, noon.Add(time.Duration(i)*time.Millisecond+123)))
	}
	first = append(first, &record.Record{TimeStamp: noon})
	second = made(700)
	for i, r := range second {
		r.RawRequest = strings.Repeat(strconv.Itoa(i), 20_000) // no two are equal: more than a dictionary holds
	}
	lines := append(l.put(1, first...), l.put(2, second...)...)
	if n := l.write(); n != int64(len(lines)) {
		t.Errorf("%d records", n)
	}
	if diff := cmp.Diff(want(t, lines), cells(t, l.path())); diff != "" {
		t.Error(diff)
	}
	f, err := os.Open(l.path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.RowGroups()); n < 2 {
		t.Errorf("%d row groups", n)
	}
	if from, _ := p.Lookup("sluice.sources"); strings.Count(from, `"sha256"`) != 2 {
		t.Errorf("made from %s", from)
	}
}
