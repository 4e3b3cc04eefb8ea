package archive

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// fieldKind is how a column's values look as JSON, and how they are read back from a cell without its quotes. How cells
// are written is with Encoder.AppendRow.
type fieldKind interface {
	json(e *Encoder, dst []byte, r *Row) []byte
	parse(cell string, r *Row) error
}

type textField struct{ at func(*Row) *string }

func (f textField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return appendJSONString(dst, *f.at(r))
}

func (f textField) parse(cell string, r *Row) (err error) {
	*f.at(r), err = unescape(cell)
	return err
}

type int64Field struct{ at func(*record.Record) *int64 }

func (f int64Field) json(_ *Encoder, dst []byte, r *Row) []byte {
	return strconv.AppendInt(dst, *f.at(r.Record), 10)
}

func (f int64Field) parse(cell string, r *Row) (err error) {
	*f.at(r.Record), err = strconv.ParseInt(cell, 10, 64)
	return err
}

type int32Field struct{ at func(*record.Record) *int32 }

func (f int32Field) json(_ *Encoder, dst []byte, r *Row) []byte {
	return strconv.AppendInt(dst, int64(*f.at(r.Record)), 10)
}

func (f int32Field) parse(cell string, r *Row) error {
	n, err := strconv.ParseInt(cell, 10, 32)
	*f.at(r.Record) = int32(n)
	return err
}

type floatField struct {
	at func(*record.Record) *float64
}

func (f floatField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return appendJSONFloat(dst, *f.at(r.Record))
}

func (f floatField) parse(cell string, r *Row) (err error) {
	*f.at(r.Record), err = strconv.ParseFloat(cell, 64)
	return err
}

type boolField struct{ at func(*record.Record) *bool }

func (f boolField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return strconv.AppendBool(dst, *f.at(r.Record))
}

func (f boolField) parse(cell string, r *Row) (err error) {
	*f.at(r.Record), err = strconv.ParseBool(cell)
	return err
}

// timeField is a time in UTC, empty for the zero time. A year that RFC 3339 cannot hold is written as
// @<unix seconds>.<nanoseconds>, so that it still reads back.
type timeField struct {
	at func(*record.Record) *time.Time
}

func (f timeField) json(_ *Encoder, dst []byte, r *Row) []byte {
	t := *f.at(r.Record)
	if t.IsZero() {
		return append(dst, "null"...)
	}
	return append(appendTime(append(dst, '"'), t), '"')
}

func (f timeField) parse(cell string, r *Row) (err error) {
	*f.at(r.Record), err = parseTime(cell)
	return err
}

func parseTime(cell string) (time.Time, error) {
	if cell == "" {
		return time.Time{}, nil
	}
	unix, ok := strings.CutPrefix(cell, "@")
	if !ok {
		t, err := time.Parse(time.RFC3339Nano, cell)
		return t.UTC(), err
	}
	secs, nanos, _ := strings.Cut(unix, ".")
	s, err := strconv.ParseInt(secs, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseUint(nanos, 10, 32)
	if err != nil || len(nanos) != 9 {
		return time.Time{}, fmt.Errorf("%q is not a time", cell)
	}
	return time.Unix(s, int64(n)).UTC(), nil
}

type idField struct{}

func (idField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return append(hex.AppendEncode(append(dst, '"'), r.ID[:]), '"')
}

func (idField) parse(cell string, r *Row) error {
	b, err := hex.DecodeString(cell)
	if err != nil || len(b) != len(r.ID) {
		return fmt.Errorf("%q is not a record ID", cell)
	}
	copy(r.ID[:], b)
	return nil
}

type positionField struct{}

func (positionField) json(e *Encoder, dst []byte, r *Row) []byte {
	return append(e.position(append(dst, '"'), r.Position), '"')
}

func (positionField) parse(cell string, r *Row) (err error) {
	r.Position, err = parsePosition(cell)
	return err
}

// parsePosition reads a position as pipeline.ParsePosition does, without scanning by a format: archives hold many.
func parsePosition(s string) (p pipeline.Position, err error) {
	bad := len(s) != 42 || s[20] != '-' || s[31] != '-' || strings.ContainsAny(s, "ABCDEF")
	number := func(from, to, base, bits int) (n uint64) {
		if !bad {
			n, err = strconv.ParseUint(s[from:to], base, bits)
			bad = err != nil
		}
		return n
	}
	p.Claim.Epoch.Ms = number(0, 12, 16, 64)
	p.Claim.Epoch.Rand = uint32(number(12, 20, 16, 32))
	p.Claim.Number = uint32(number(21, 31, 10, 32))
	p.Index = uint32(number(32, 42, 10, 32))
	if bad {
		return pipeline.Position{}, fmt.Errorf("%q is not a position", s)
	}
	return p, nil
}

type cityField struct{}

func (cityField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return strconv.AppendUint(dst, uint64(r.Record.Geo.City.GeoNameID), 10)
}

func (cityField) parse(cell string, r *Row) error {
	n, err := strconv.ParseUint(cell, 10, 32)
	r.Record.Geo.City.GeoNameID = uint32(n)
	return err
}
