package archive

import (
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// FormatVersion is the version of rows and manifests that this package writes. Rows of a range that was recorded under a
// version are written under it for ever, since whoever repeats them must make the same bytes.
const FormatVersion = 1

// Row is an archived record with its identity.
type Row struct {
	ID       record.ID
	Record   *record.Record
	Stream   pipeline.StreamID
	Position pipeline.Position
}

// Encoder writes rows. It keeps scratch space: one goroutine at a time.
type Encoder struct {
	Neutral bool // write what a spreadsheet would run as a formula so that it does not; reads back the same

	json     []byte
	claim    pipeline.ClaimID
	claimKey string
	origin   origin
}

// Columns are the names of the columns, in order.
func Columns() []string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].name
	}
	return names
}

// AppendHeader writes the header row.
func AppendHeader(dst []byte) []byte {
	for i := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, columns[i].name...)
	}
	return append(dst, '\n')
}

// AppendJSON writes the row as one JSON object on one line, its names those of the columns.
func (e *Encoder) AppendJSON(dst []byte, r *Row) []byte {
	for i := range columns {
		if i == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, columns[i].name...)
		dst = append(dst, '"', ':')
		dst = columns[i].field.json(e, dst, r)
	}
	return append(dst, '}', '\n')
}

// position writes a position as pipeline.Position.String does, remembering the claim's part.
func (e *Encoder) position(dst []byte, p pipeline.Position) []byte {
	if e.claimKey == "" || e.claim != p.Claim {
		e.claim, e.claimKey = p.Claim, p.Claim.String()
	}
	dst = append(dst, e.claimKey...)
	dst = append(dst, "-0000000000"...)
	for i, n := len(dst)-1, p.Index; n > 0; i, n = i-1, n/10 {
		dst[i] = byte('0' + n%10)
	}
	return dst
}
