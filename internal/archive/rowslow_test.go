package archive

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// slowRow writes a row column by column in the plainest way: what AppendRow must come to.
func slowRow(e *Encoder, r *Row) []byte {
	cells := make([]string, len(columns))
	for i := range columns {
		switch f := columns[i].field.(type) {
		case textField:
			cells[i] = slowText(*f.at(r), e.Neutral)
		case int64Field:
			cells[i] = strconv.FormatInt(*f.at(r.Record), 10)
		case int32Field:
			cells[i] = strconv.FormatInt(int64(*f.at(r.Record)), 10)
		case floatField:
			cells[i] = string(appendFloat(nil, *f.at(r.Record)))
		case boolField:
			cells[i] = strconv.FormatBool(*f.at(r.Record))
		case timeField:
			cells[i] = slowTime(*f.at(r.Record))
		case idField:
			cells[i] = hex.EncodeToString(r.ID[:])
		case positionField:
			cells[i] = r.Position.String()
		case cityField:
			cells[i] = strconv.FormatUint(uint64(r.Record.Geo.City.GeoNameID), 10)
		default:
			cells[i] = slowQuotes(string(f.json(e, nil, r)), e.Neutral)
		}
	}
	return []byte(strings.Join(cells, ",") + "\n")
}

func slowTime(t time.Time) string {
	switch t = t.UTC(); {
	case t.IsZero():
		return ""
	case t.Year() < 0 || t.Year() > 9999:
		return fmt.Sprintf("@%d.%09d", t.Unix(), t.Nanosecond())
	}
	return t.Format(timeLayout)
}

func slowText(s string, neutral bool) string {
	var b strings.Builder
	first := 0
	if neutral {
		first = formula(s)
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case i < first, r < ' ', r == 0x7f, r == utf8.RuneError && n == 1, neutral && r == ';' && formula(s[i+1:]) > 0:
			fmt.Fprintf(&b, "\\x%02x", s[i])
			n = 1
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return csvQuotes(b.String())
}

func slowQuotes(json string, neutral bool) string {
	if neutral {
		json = strings.ReplaceAll(json, ";", `\u003b`)
	}
	return csvQuotes(json)
}

func csvQuotes(s string) string {
	if strings.ContainsAny(s, `",`) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

func TestRowsEqualThePlainestEncoder(t *testing.T) {
	for _, f := range []record.Format{record.Msgpack, record.Protobuf} {
		var enc Encoder
		for i, r := range captured(t, f) {
			enc.Neutral = i%3 == 0
			rw := row(r, uint32(i))
			rw.Stream.Source = "=source"
			if i%5 == 0 {
				rw.Stream.List = "another,list"
			}
			if got, want := enc.AppendRow(nil, &rw), slowRow(&enc, &rw); !bytes.Equal(got, want) {
				t.Fatalf("record %d of %s:\n%s\nwant\n%s", i, f, got, want)
			}
		}
	}
}

func TestAnyRowEqualsThePlainestEncoder(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "-", "=1;=2", "\xff", ";", `\`, `"`, "a b", ";\uff1d", " @"}), rapid.String())
	var enc Encoder
	rapid.Check(t, func(rt *rapid.T) {
		draw := func() string { return text.Draw(rt, "text") }
		number := func() int64 {
			return rapid.SampledFrom([]int64{0, 0, 1, -1, math.MinInt64, math.MaxInt64}).Draw(rt, "number")
		}
		r := record.Record{
			OrgID: draw(), Path: draw(), UserAgent: draw(), RawResponse: draw(), RequestTime: number(), Tags: rapid.SliceOf(text).Draw(rt, "tags"),
			TimeStamp: time.Unix(rapid.Int64Range(minTime, maxTime).Draw(rt, "s"), rapid.Int64Range(0, 999999999).Draw(rt, "ns")),
			ExpireAt:  time.Unix(rapid.SampledFrom([]int64{minTime, -1, 0, maxTime, maxTime + 1, -1 << 40, 1 << 40}).Draw(rt, "expire"), 0),
			TrackPath: rapid.Bool().Draw(rt, "track"),
			Geo: record.Geo{Country: record.Country{ISOCode: draw()}, City: record.City{GeoNameID: uint32(number())},
				Location: record.Location{Latitude: rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1.5, math.NaN()}).Draw(rt, "latitude"), TimeZone: draw()}},
			Network: record.Network{BytesOut: number()},
			GraphQL: record.GraphQLStats{Variables: draw()}, MCP: record.MCPStats{PrimitiveName: draw()},
		}
		if rapid.Bool().Draw(rt, "names") {
			r.Geo.City.Names = map[string]string{draw(): draw()}
		}
		if rapid.Bool().Draw(rt, "no place") {
			r.Geo = record.Geo{Location: record.Location{Longitude: r.Geo.Location.Latitude}}
		}
		enc.Neutral = rapid.Bool().Draw(rt, "neutral")
		rw := Row{Record: &r, Position: pipeline.Position{Index: uint32(number())}, Stream: pipeline.StreamID{List: draw(), Lineage: draw()}}
		if got, want := enc.AppendRow(nil, &rw), slowRow(&enc, &rw); !bytes.Equal(got, want) {
			rt.Fatalf("%s\nwant\n%s", got, want)
		}
	})
}

const minTime, maxTime = firstTime, slowTimes - 1

func TestTimesOfEveryDay(t *testing.T) {
	for day := int64(-400 * 366); day < slowTimes/86400; day++ {
		at := time.Unix(day*86400+(day*7919)%86400, (day*104729)%1e9)
		if got, want := string(appendTime(nil, at)), slowTime(at); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}
