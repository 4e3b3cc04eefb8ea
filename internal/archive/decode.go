package archive

import (
	"errors"
	"fmt"
	"strings"

	"sluice/internal/record"
)

// Header is the columns of an object as its header row names them. Columns that this version does not know are left
// out, those that the object lacks keep their zero value.
type Header struct {
	line   string
	fields []fieldKind // nil: not known
	names  []string
	cells  []string // scratch
}

// identity are the columns without which a row is nothing.
var identity = [...]string{"record_id", "timestamp", "lineage", "position"}

// ParseHeader reads a header row, without its line feed.
func ParseHeader(line string) (*Header, error) {
	names, err := splitLine(nil, line)
	if err != nil {
		return nil, fmt.Errorf("read the header row: %w", err)
	}
	known := make(map[string]fieldKind, len(columns))
	for i := range columns {
		known[columns[i].name] = columns[i].field
	}
	h := &Header{line: line, names: names, fields: make([]fieldKind, len(names)), cells: make([]string, 0, len(names))}
	for i, name := range names {
		h.fields[i] = known[name]
		delete(known, name)
	}
	for _, name := range identity {
		if _, missing := known[name]; missing {
			return nil, fmt.Errorf("the header row has no column %s", name)
		}
	}
	return h, nil
}

// Row reads a row, without its line feed. The record is new; its strings may alias line. A Header reads for one
// goroutine at a time.
func (h *Header) Row(line string) (Row, error) {
	if _, err := h.Cells(line); err != nil {
		return Row{}, err
	}
	r := Row{Record: new(record.Record)}
	for i, f := range h.fields {
		if f == nil {
			continue
		}
		if err := f.parse(h.cells[i], &r); err != nil {
			return Row{}, fmt.Errorf("column %s: %w", h.names[i], err)
		}
	}
	return r, nil
}

// Names are the columns of the object, in its order. They are not to be changed.
func (h *Header) Names() []string { return h.names }

// Cells cuts a row, without its line feed, into as many cells as there are columns: the texts that the file has, without
// the quotes of CSV and with the escapes of the format. They are valid until the next call.
func (h *Header) Cells(line string) ([]string, error) {
	var err error
	if h.cells, err = splitLine(h.cells[:0], line); err != nil {
		return nil, err
	}
	if len(h.cells) != len(h.fields) {
		return nil, fmt.Errorf("%d cells under %d columns", len(h.cells), len(h.fields))
	}
	return h.cells, nil
}

// place reads of a row's line only what orders rows: its lineage and position.
func (h *Header) place(line string) (place, error) {
	if _, err := h.Cells(line); err != nil {
		return place{}, err
	}
	var p place
	for i, name := range h.names {
		switch name {
		case "lineage":
			p.lineage = h.cells[i]
		case "position":
			p.position = h.cells[i]
		}
	}
	return p, nil
}

var errQuotes = errors.New("quotes are not as RFC 4180 has them")

// splitLine cuts a line into its cells and takes off their quotes.
func splitLine(cells []string, line string) ([]string, error) {
	for {
		if !strings.HasPrefix(line, `"`) {
			cell, rest, more := strings.Cut(line, ",")
			if strings.IndexByte(cell, '"') >= 0 {
				return cells, errQuotes
			}
			cells = append(cells, cell)
			if !more {
				return cells, nil
			}
			line = rest
			continue
		}
		cell, rest, err := quotedCell(line[1:])
		if err != nil {
			return cells, err
		}
		cells = append(cells, cell)
		if rest == "" {
			return cells, nil
		}
		if rest[0] != ',' {
			return cells, errQuotes
		}
		line = rest[1:]
	}
}

// quotedCell reads a cell behind its opening quote, and returns what follows the closing one.
func quotedCell(s string) (cell, rest string, err error) {
	var b []byte
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return "", "", errQuotes
		}
		if i+1 == len(s) || s[i+1] != '"' {
			if b == nil {
				return s[:i], s[i+1:], nil
			}
			return string(append(b, s[:i]...)), s[i+1:], nil
		}
		b = append(b, s[:i+1]...)
		s = s[i+2:]
	}
}
