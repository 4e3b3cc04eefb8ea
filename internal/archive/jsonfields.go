package archive

import (
	"bytes"
	"fmt"
)

// jsonCell writes the JSON in e.json as a cell.
func (e *Encoder) jsonCell(dst []byte) []byte {
	if e.Neutral && bytes.IndexByte(e.json, ';') >= 0 { // it stands in strings only, and cuts cells in some countries
		e.json = bytes.ReplaceAll(e.json, []byte(";"), []byte(`\u003b`))
	}
	return appendQuoted(dst, e.json)
}

type tagsField struct{}

func (tagsField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return appendJSONStrings(dst, r.Record.Tags)
}

func (tagsField) parse(cell string, r *Row) error {
	v, err := parseJSON(cell)
	if err != nil {
		return err
	}
	r.Record.Tags, err = stringList(v)
	return err
}

type namesField struct{}

func (namesField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return appendJSONMap(dst, r.Record.Geo.City.Names, appendJSONString)
}

func (namesField) parse(cell string, r *Row) error {
	o, err := parseObject(cell)
	if err != nil || o.fields == nil {
		return err
	}
	names := make(map[string]string, len(o.fields))
	for k, v := range o.fields {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("the name in %q is no string", k)
		}
		names[k] = s
	}
	r.Record.Geo.City.Names = names
	return nil
}

type graphQLField struct{}

func (graphQLField) json(_ *Encoder, dst []byte, r *Row) []byte {
	return appendGraphQL(dst, &r.Record.GraphQL)
}

func (graphQLField) parse(cell string, r *Row) (err error) {
	r.Record.GraphQL, err = parseGraphQL(cell)
	return err
}

type mcpField struct{}

func (mcpField) json(_ *Encoder, dst []byte, r *Row) []byte { return appendMCP(dst, &r.Record.MCP) }

func (mcpField) parse(cell string, r *Row) (err error) {
	r.Record.MCP, err = parseMCP(cell)
	return err
}
