package archive

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/record"
)

func TestCapturedRecordsRoundTrip(t *testing.T) {
	for _, f := range []record.Format{record.Msgpack, record.Protobuf} {
		for _, neutral := range []bool{false, true} {
			records := captured(t, f)
			enc := Encoder{Neutral: neutral}
			content := AppendHeader(nil)
			want := make([]Row, len(records))
			for i, r := range records {
				want[i] = row(r, uint32(i))
				content = enc.AppendRow(content, &want[i])
			}
			got := decodeAll(t, content)
			if len(got) != len(want) || len(want) < 2900 {
				t.Fatalf("%d rows of %d records", len(got), len(want))
			}
			for i := range want {
				if d := cmp.Diff(want[i], got[i]); d != "" {
					t.Fatalf("record %d of %s: %s", i, f, d)
				}
			}
		}
	}
}

// TestAnyCSVReaderReadsRows holds the rows against the standard library's reader and the contract's words, not against
// our own decoder.
func TestAnyCSVReaderReadsRows(t *testing.T) {
	records := captured(t, record.Msgpack)
	var enc Encoder
	content := AppendHeader(nil)
	for i, r := range records {
		rw := row(r, uint32(i))
		content = enc.AppendRow(content, &rw)
	}
	if n := bytes.Count(content, []byte("\n")); n != len(records)+1 {
		t.Fatalf("%d lines for %d records and a header", n, len(records))
	}
	if bytes.ContainsAny(content, "\r\x00") {
		t.Fatal("control bytes in the file")
	}
	cells, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, name := range cells[0] {
		col[name] = i
	}
	controls := 0
	for i, r := range records {
		line := cells[i+1]
		if got := unbackslash(line[col["path"]]); got != r.Path {
			t.Fatalf("path %q, want %q", got, r.Path)
		}
		if got := unbackslash(line[col["raw_response"]]); got != r.RawResponse {
			t.Fatalf("raw_response of record %d differs", i)
		}
		if r.Path != line[col["path"]] {
			controls++
		}
		ts, err := time.Parse(time.RFC3339Nano, line[col["timestamp"]])
		if err != nil || !ts.Equal(r.TimeStamp) || !strings.HasSuffix(line[col["timestamp"]], "Z") {
			t.Fatalf("timestamp %q, want %s", line[col["timestamp"]], r.TimeStamp)
		}
		for _, name := range []string{"tags", "geo_city_names", "graphql", "mcp"} {
			if !json.Valid([]byte(line[col[name]])) {
				t.Fatalf("%s is not JSON: %s", name, line[col[name]])
			}
		}
		var tags []string
		if err := json.Unmarshal([]byte(line[col["tags"]]), &tags); err != nil || len(tags) != len(r.Tags) {
			t.Fatalf("tags %s, want %v", line[col["tags"]], r.Tags)
		}
	}
	if controls < 100 {
		t.Fatalf("only %d paths needed an escape: the captures have 112 with NUL", controls)
	}
}

// unbackslash undoes the contract's escapes in the plainest way.
func unbackslash(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], `\\`):
			b.WriteByte('\\')
			i++
		case strings.HasPrefix(s[i:], `\x`):
			v := strings.IndexByte(hexDigits, s[i+2])<<4 | strings.IndexByte(hexDigits, s[i+3])
			b.WriteByte(byte(v))
			i += 3
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func TestColumnsAreThoseOfTheContract(t *testing.T) {
	want := `record_id, timestamp, org_id, api_id, api_name, api_version, method, host, path, raw_path, original_path, listen_path,
response_code, request_time_ms, latency_total_ms, latency_upstream_ms, latency_gateway_ms, content_length, user_agent,
ip_address, api_key, oauth_id, alias, tags, track_path, expire_at, geo_country, geo_city_id, geo_city_names,
geo_latitude, geo_longitude, geo_time_zone, open_connections, closed_connections, bytes_in, bytes_out, api_schema,
raw_request, raw_response, graphql, mcp, time_zone, day, month, year, hour, collection_name, source, list, lineage, position`
	want = strings.Join(strings.FieldsFunc(want, func(r rune) bool { return strings.ContainsRune(", \n", r) }), ",") + "\n"
	if got := string(AppendHeader(nil)); got != want {
		t.Errorf("header is\n%swant\n%s", got, want)
	}
}

// TestGoldenRow freezes the bytes of format 1: a range that an older version recorded must come out the same.
func TestGoldenRow(t *testing.T) {
	var enc Encoder
	got := AppendHeader(nil)
	for i, r := range []*record.Record{full(), oneRecord()} {
		rw := row(r, uint32(i))
		got = enc.AppendRow(got, &rw)
	}
	want, err := os.ReadFile("testdata/format1.csv")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("rows of format 1 are other ones now:\n%s\nwant\n%s", got, want)
	}
	if d := cmp.Diff(full(), decodeAll(t, want)[0].Record); d != "" {
		t.Error(d)
	}
}

// full is a record with a value in every field, the awkward ones among them.
func full() *record.Record {
	r := oneRecord()
	r.Method, r.Host, r.Path, r.RawPath = "GET", "h,\"quoted\"", "/a\x00b\n\r\t\\x41", "/\xff\xfe\u00e9\U0001f600\xed\xa0\x80"
	r.ContentLength, r.UserAgent = -1, "=cmd|' /C calc'!A0"
	r.Day, r.Month, r.Year, r.Hour, r.ResponseCode = -2147483648, 13, 2147483647, 24, -1
	r.APIKey, r.APIVersion, r.APIName, r.APIID, r.OrgID = " lead", "trail ", "'", "a;b", "\u2028\u0085\u007f"
	r.OauthID, r.RequestTime = `\`, 1<<63-1
	r.RawRequest, r.RawResponse, r.IPAddress = "cmVx", "cmVz", "2001:db8::1"
	r.Geo.Country.ISOCode, r.Geo.City.GeoNameID = "DE", 4294967295
	r.Geo.City.Names = map[string]string{"de": "K\u00f6ln", "en": "Cologne", "\xff": "\xfe\""}
	r.Geo.Location = record.Location{Latitude: -0.1, Longitude: 1e-300, TimeZone: "Europe/Berlin"}
	r.Network = record.Network{OpenConnections: 1, ClosedConnections: -2, BytesIn: 3, BytesOut: -1 << 63}
	r.Latency = record.Latency{Total: 1, Upstream: 2, Gateway: 3}
	r.Tags, r.Alias, r.TrackPath = []string{"a,b", "\"", "\x00\x7f\xff", ""}, "alias", true
	r.ExpireAt = time.Date(2126, 10, 30, 10, 8, 9, 1, time.UTC)
	r.APISchema, r.OriginalPath, r.ListenPath = "schema", "/o", "/l"
	r.GraphQL = record.GraphQLStats{
		IsGraphQL: true, HasErrors: true, OperationType: -1, Variables: "{\"a\":1}", RootFields: []string{"user"},
		Types: map[string][]string{"User": {"id"}, "A": {}, "B": nil},
		Errors: []record.GraphQLError{{Message: "m\n", Path: []any{
			"user", int64(-1), uint64(1<<64 - 1), 1.0, 0.5, true, nil, []any{}, map[string]any{"k": "v"},
		}}, {Message: ""}},
	}
	r.MCP = record.MCPStats{IsMCP: true, JSONRPCMethod: "tools/call", PrimitiveType: "tool", PrimitiveName: "x\xff"}
	r.CollectionName, r.TimeZone = "c", "Europe/Berlin"
	return r
}

func TestNeutralCells(t *testing.T) {
	for _, s := range []string{"=1+1", "+1", "-1", "@SUM(A1)", " =1", "\uff1d1", "\uff0b", "=", "=\"a\",b", "\t=1", "\r=1"} {
		cell := string(appendText(nil, s, true))
		if first := strings.TrimPrefix(cell, `"`); first[0] != '\\' {
			t.Errorf("%q stands as %s", s, cell)
		}
		cells, err := csv.NewReader(strings.NewReader(cell)).Read()
		if err != nil || unbackslash(cells[0]) != s {
			t.Errorf("%q reads back as %q, %v", s, cells, err)
		}
	}
	for _, s := range []string{"", " ", "a=1", "/path", "1", "''"} {
		if cell := string(appendText(nil, s, true)); cell != s {
			t.Errorf("%q stands as %q", s, cell)
		}
	}
}

// TestNoCellIsAFormula puts what spreadsheets run into every field that holds text, and opens the row as they do: cut at
// commas, at semicolons as where a comma is the decimal point, and at tabs; with quotes and without a mind for them.
func TestNoCellIsAFormula(t *testing.T) {
	runs := func(cell string) bool { // what a spreadsheet takes for a formula, once it has cut and trimmed
		cell = strings.TrimLeft(cell, " \"'")
		if cell == "" {
			return false
		}
		first, _ := utf8.DecodeRuneInString(cell)
		_, number := strconv.ParseFloat(cell, 64)
		return strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) && number != nil
	}
	for _, p := range []string{"=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", "\t=1+1",
		"\r=1+1", "\n=1+1", "  =1+1", "＝1+1", "＋1", "－1+1", "＠SUM(A1)", "x;=1+1;y", "x; +1+1", "\";=1+1", "x\",=1+1", "x\t=1+1", "x\r\n=1+1", "x\n@A1"} {
		r := oneRecord()
		fill(reflect.ValueOf(r).Elem(), p)
		rw := row(r, 1)
		rw.Stream.Source, rw.Stream.List = p, p
		enc := Encoder{Neutral: true}
		line := strings.TrimSuffix(string(enc.AppendRow(nil, &rw)), "\n")
		whole, err := csv.NewReader(strings.NewReader(line)).Read()
		if err != nil || len(whole) != len(columns) {
			t.Fatalf("%q: %d cells, %v", p, len(whole), err)
		}
		cells := append(strings.Split(line, ";")[1:], strings.Split(line, "\t")[1:]...)
		for i, c := range whole {
			if runs(c) {
				t.Errorf("column %s runs %q", columns[i].name, c)
			}
		}
		for _, c := range cells {
			if runs(c) {
				t.Errorf("a spreadsheet that cuts elsewhere runs %q", c)
			}
		}
		h, err := ParseHeader(strings.TrimSuffix(string(AppendHeader(nil)), "\n"))
		if err != nil {
			t.Fatal(err)
		}
		back, err := h.Row(line)
		if err != nil || !reflect.DeepEqual(back.Record, r) {
			t.Errorf("%q does not read back: %v\n%+v\n%+v", p, err, back.Record, r)
		}
	}
}

// fill puts a text into every field that holds one.
func fill(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), s)
		}
	case reflect.Map:
		if v.Type() == reflect.TypeFor[map[string]string]() {
			v.Set(reflect.ValueOf(map[string]string{s: s}))
		} else if v.Type() == reflect.TypeFor[map[string][]string]() {
			v.Set(reflect.ValueOf(map[string][]string{s: {s}}))
		}
	case reflect.Slice:
		switch v.Type() {
		case reflect.TypeFor[[]string]():
			v.Set(reflect.ValueOf([]string{s, s}))
		case reflect.TypeFor[[]record.GraphQLError]():
			v.Set(reflect.ValueOf([]record.GraphQLError{{Message: s, Path: []any{s}}}))
		}
	}
}

func TestJSONLine(t *testing.T) {
	var enc Encoder
	rw := row(full(), 5)
	line := enc.AppendJSON(nil, &rw)
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	for _, name := range Columns() {
		if _, ok := m[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if m["response_code"] != -1.0 || m["track_path"] != true || m["host"] != "h,\"quoted\"" || bytes.Count(line, []byte("\n")) != 1 {
		t.Errorf("%s", line)
	}
}

func TestOlderAndNewerHeaders(t *testing.T) {
	var enc Encoder
	rw := row(oneRecord(), 1)
	line := strings.TrimSuffix(string(enc.AppendRow(nil, &rw)), "\n")
	head := strings.TrimSuffix(string(AppendHeader(nil)), "\n")

	h, err := ParseHeader(head + ",added_later")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Row(line + ",\"x,\"\"y\""); err != nil || cmp.Diff(rw, got) != "" {
		t.Errorf("with a column more: %v %s", err, cmp.Diff(rw, got))
	}
	if _, err := h.Row(line); err == nil {
		t.Error("a cell too few is read")
	}
	if _, err := ParseHeader("timestamp,position"); err == nil {
		t.Error("a header without identity is read")
	}
	h, err = ParseHeader("position,lineage,record_id,timestamp")
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Row(rw.Position.String() + "," + rw.Stream.Lineage + "," + rw.ID.String() + ",2026-11-23T09:59:59.999999999Z")
	if err != nil || got.Position != rw.Position || !got.Record.TimeStamp.Equal(rw.Record.TimeStamp) {
		t.Errorf("with four columns: %v %+v", err, got)
	}
}

func BenchmarkAppendRow(b *testing.B) {
	records := captured(b, record.Msgpack)
	var enc Encoder
	var buf []byte
	var bytes int64
	for i := 0; b.Loop(); i++ {
		rw := row(records[i%len(records)], uint32(i))
		buf = enc.AppendRow(buf[:0], &rw)
		bytes += int64(len(buf))
	}
	b.SetBytes(bytes / int64(b.N))
	b.ReportAllocs()
}

func BenchmarkDecodeRow(b *testing.B) {
	records := captured(b, record.Msgpack)
	var enc Encoder
	lines := make([]string, len(records))
	for i, r := range records {
		rw := row(r, uint32(i))
		lines[i] = strings.TrimSuffix(string(enc.AppendRow(nil, &rw)), "\n")
	}
	h, err := ParseHeader(strings.TrimSuffix(string(AppendHeader(nil)), "\n"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := h.Row(lines[i%len(lines)]); err != nil {
			b.Fatal(err)
		}
	}
}
