package archive

import (
	"encoding/hex"
	"math"
	"strconv"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// AppendRow writes a row: one physical line, whatever bytes the record holds. Its cells are those of the columns, in
// their order; they are written here and not by way of the table, which costs twice the time.
func (e *Encoder) AppendRow(dst []byte, r *Row) []byte {
	rec := r.Record
	dst = append(hex.AppendEncode(dst, r.ID[:]), ',')
	dst = append(appendTime(dst, rec.TimeStamp), ',')
	dst = e.text(dst, rec.OrgID)
	dst = e.text(dst, rec.APIID)
	dst = e.text(dst, rec.APIName)
	dst = e.text(dst, rec.APIVersion)
	dst = e.text(dst, rec.Method)
	dst = e.text(dst, rec.Host)
	dst = e.text(dst, rec.Path)
	dst = e.text(dst, rec.RawPath)
	dst = e.text(dst, rec.OriginalPath)
	dst = e.text(dst, rec.ListenPath)
	dst = number(dst, int64(rec.ResponseCode))
	dst = number(dst, rec.RequestTime)
	dst = number(dst, rec.Latency.Total)
	dst = number(dst, rec.Latency.Upstream)
	dst = number(dst, rec.Latency.Gateway)
	dst = number(dst, rec.ContentLength)
	dst = e.text(dst, rec.UserAgent)
	dst = e.text(dst, rec.IPAddress)
	dst = e.text(dst, rec.APIKey)
	dst = e.text(dst, rec.OauthID)
	dst = e.text(dst, rec.Alias)
	dst = append(e.tags(dst, rec.Tags), ',')
	dst = append(strconv.AppendBool(dst, rec.TrackPath), ',')
	dst = append(appendTime(dst, rec.ExpireAt), ',')
	dst = e.geo(dst, &rec.Geo)
	dst = e.network(dst, &rec.Network)
	dst = e.text(dst, rec.APISchema)
	dst = e.text(dst, rec.RawRequest)
	dst = e.text(dst, rec.RawResponse)
	e.json = appendGraphQL(e.json[:0], &rec.GraphQL)
	dst = append(e.jsonCell(dst), ',')
	e.json = appendMCP(e.json[:0], &rec.MCP)
	dst = append(e.jsonCell(dst), ',')
	dst = e.text(dst, rec.TimeZone)
	dst = number(dst, int64(rec.Day))
	dst = number(dst, int64(rec.Month))
	dst = number(dst, int64(rec.Year))
	dst = number(dst, int64(rec.Hour))
	dst = e.text(dst, rec.CollectionName)
	dst = e.source(dst, &r.Stream)
	return append(e.position(dst, r.Position), '\n')
}

// text writes a cell and the comma behind it.
func (e *Encoder) text(dst []byte, s string) []byte {
	if !e.Neutral && plain(s) {
		dst = append(dst, s...)
	} else {
		dst = appendText(dst, s, e.Neutral)
	}
	return append(dst, ',')
}

// number writes a cell and the comma behind it.
func number(dst []byte, n int64) []byte {
	return append(strconv.AppendInt(dst, n, 10), ',')
}

// tags writes the list as JSON. One without anything to escape needs only the quotes of its strings, which a cell has
// twice.
func (e *Encoder) tags(dst []byte, tags []string) []byte {
	if len(tags) == 0 || e.Neutral {
		e.json = appendJSONStrings(e.json[:0], tags)
		return e.jsonCell(dst)
	}
	start := len(dst)
	dst = append(dst, `"[`...)
	for i, tag := range tags {
		if !plain(tag) {
			e.json = appendJSONStrings(e.json[:0], tags)
			return e.jsonCell(dst[:start])
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `""`...)
		dst = append(dst, tag...)
		dst = append(dst, `""`...)
	}
	return append(dst, `]"`...)
}

// geo writes six cells, each with its comma; most requests have no place.
func (e *Encoder) geo(dst []byte, g *record.Geo) []byte {
	if g.City.Names == nil && g.City.GeoNameID == 0 && g.Country.ISOCode == "" && g.Location.TimeZone == "" &&
		math.Float64bits(g.Location.Latitude)|math.Float64bits(g.Location.Longitude) == 0 {
		return append(dst, ",0,null,0,0,,"...)
	}
	dst = e.text(dst, g.Country.ISOCode)
	dst = append(strconv.AppendUint(dst, uint64(g.City.GeoNameID), 10), ',')
	e.json = appendJSONMap(e.json[:0], g.City.Names, appendJSONString)
	dst = append(e.jsonCell(dst), ',')
	dst = append(appendFloat(dst, g.Location.Latitude), ',')
	dst = append(appendFloat(dst, g.Location.Longitude), ',')
	return e.text(dst, g.Location.TimeZone)
}

// network writes four cells, each with its comma; only TCP reports have something to count.
func (e *Encoder) network(dst []byte, n *record.Network) []byte {
	if *n == (record.Network{}) {
		return append(dst, "0,0,0,0,"...)
	}
	dst = number(dst, n.OpenConnections)
	dst = number(dst, n.ClosedConnections)
	dst = number(dst, n.BytesIn)
	return number(dst, n.BytesOut)
}

// origin are the cells of a stream, kept for the next row, which is of the same as a rule.
type origin struct {
	source, list, lineage, cells []byte
	neutral                      bool
}

func (o *origin) of(s *pipeline.StreamID, neutral bool) bool {
	return len(o.cells) > 0 && o.neutral == neutral &&
		string(o.source) == s.Source && string(o.list) == s.List && string(o.lineage) == s.Lineage
}

// source writes three cells, each with its comma.
func (e *Encoder) source(dst []byte, s *pipeline.StreamID) []byte {
	if o := &e.origin; !o.of(s, e.Neutral) {
		o.source, o.list, o.lineage = append(o.source[:0], s.Source...), append(o.list[:0], s.List...), append(o.lineage[:0], s.Lineage...)
		o.cells = e.text(e.text(e.text(o.cells[:0], s.Source), s.List), s.Lineage)
		o.neutral = e.Neutral
	}
	return append(dst, e.origin.cells...)
}
