package archive

import (
	"unique"

	"sluice/internal/record"
)

// Distinct tells copies of a record from records: of each ID as many rows count as the history with most of them has.
// So a record that was claimed again counts once, and two that are equal to the byte still count twice. It remembers
// the rows of one slice, some 150 bytes each. The zero value is ready; it is for one goroutine.
type Distinct struct {
	slice int
	rows  map[distinctRow]int // by history
	most  map[distinctID]int
}

type distinctID struct {
	region       int
	source, list string
	id           record.ID
}

type distinctRow struct {
	distinctID
	history History
}

// First tells whether a row counts, and false for a copy of one that did.
func (d *Distinct) First(r *Row, c Copies) bool {
	if c.Region == 0 {
		return true
	}
	if d.rows == nil || d.slice != c.Slice {
		d.slice, d.rows, d.most = c.Slice, map[distinctRow]int{}, map[distinctID]int{}
	}
	id := distinctID{c.Region, own(r.Stream.Source), own(r.Stream.List), r.ID}
	row := distinctRow{id, r.History()}
	row.history.Lineage = own(row.history.Lineage)
	d.rows[row]++
	if n := d.rows[row]; n > d.most[id] {
		d.most[id] = n
		return true
	}
	return false
}

// own is a string that does not keep the row alive which it is part of.
func own(s string) string { return unique.Make(s).Value() }
