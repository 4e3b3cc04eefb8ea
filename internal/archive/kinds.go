package archive

import (
	"fmt"

	"sluice/internal/record"
)

// appendGraphQL writes the statistics under the gateway's names, {} for a request that has none.
func appendGraphQL(dst []byte, g *record.GraphQLStats) []byte {
	if !g.IsGraphQL && !g.HasErrors && g.OperationType == 0 && g.Variables == "" &&
		g.RootFields == nil && g.Types == nil && g.Errors == nil {
		return append(dst, "{}"...)
	}
	dst = append(dst, `{"IsGraphQL":`...)
	dst = appendJSONValue(dst, g.IsGraphQL)
	dst = append(dst, `,"HasErrors":`...)
	dst = appendJSONValue(dst, g.HasErrors)
	dst = append(dst, `,"OperationType":`...)
	dst = appendJSONValue(dst, int64(g.OperationType))
	dst = append(dst, `,"Variables":`...)
	dst = appendJSONString(dst, g.Variables)
	dst = append(dst, `,"RootFields":`...)
	dst = appendJSONStrings(dst, g.RootFields)
	dst = append(dst, `,"Types":`...)
	dst = appendJSONMap(dst, g.Types, appendJSONStrings)
	dst = append(dst, `,"Errors":`...)
	return append(appendGraphQLErrors(dst, g.Errors), '}')
}

func appendGraphQLErrors(dst []byte, list []record.GraphQLError) []byte {
	if list == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"message":`...)
		dst = appendJSONString(dst, list[i].Message)
		dst = append(dst, `,"path":`...)
		if list[i].Path == nil {
			dst = append(dst, "null}"...)
			continue
		}
		dst = append(appendJSONValue(dst, list[i].Path), '}')
	}
	return append(dst, ']')
}

// appendMCP writes the statistics under the gateway's names, {} for a request that has none.
func appendMCP(dst []byte, m *record.MCPStats) []byte {
	if *m == (record.MCPStats{}) {
		return append(dst, "{}"...)
	}
	dst = append(dst, `{"is_mcp":`...)
	dst = appendJSONValue(dst, m.IsMCP)
	dst = append(dst, `,"jsonrpc_method":`...)
	dst = appendJSONString(dst, m.JSONRPCMethod)
	dst = append(dst, `,"primitive_type":`...)
	dst = appendJSONString(dst, m.PrimitiveType)
	dst = append(dst, `,"primitive_name":`...)
	return append(appendJSONString(dst, m.PrimitiveName), '}')
}

// object has the fields of a decoded JSON object and the first type that did not fit.
type object struct {
	fields map[string]any
	err    error
}

func parseObject(cell string) (object, error) {
	v, err := parseJSON(cell)
	if err != nil {
		return object{}, err
	}
	m, ok := v.(map[string]any)
	if !ok && v != nil {
		return object{}, fmt.Errorf("%w object", errJSON)
	}
	return object{fields: m}, nil
}

// field is the value of a key as T; a missing or null one is T's zero value.
func field[T any](o *object, key string) (t T) {
	v, ok := o.fields[key]
	if !ok || v == nil {
		return t
	}
	t, ok = v.(T)
	if !ok && o.err == nil {
		o.err = fmt.Errorf("%s is a %T", key, v)
	}
	return t
}

// stringList reads an array of strings, nil for null.
func stringList(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%w array", errJSON)
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], ok = e.(string); !ok {
			return nil, fmt.Errorf("element %d is no string", i)
		}
	}
	return out, nil
}

func parseGraphQL(cell string) (g record.GraphQLStats, err error) {
	o, err := parseObject(cell)
	if err != nil {
		return g, err
	}
	g.IsGraphQL = field[bool](&o, "IsGraphQL")
	g.HasErrors = field[bool](&o, "HasErrors")
	operation := field[int64](&o, "OperationType")
	if g.OperationType = int32(operation); int64(g.OperationType) != operation {
		return g, fmt.Errorf("OperationType %d is out of range", operation)
	}
	g.Variables = field[string](&o, "Variables")
	if g.RootFields, err = stringList(o.fields["RootFields"]); err != nil {
		return g, err
	}
	if types := field[map[string]any](&o, "Types"); types != nil {
		g.Types = make(map[string][]string, len(types))
		for k, v := range types {
			if g.Types[k], err = stringList(v); err != nil {
				return g, err
			}
		}
	}
	if list := field[[]any](&o, "Errors"); list != nil {
		g.Errors = make([]record.GraphQLError, len(list))
		for i, v := range list {
			fields, ok := v.(map[string]any)
			if !ok {
				return g, fmt.Errorf("error %d is no object", i)
			}
			e := object{fields: fields}
			g.Errors[i].Message = field[string](&e, "message")
			g.Errors[i].Path = field[[]any](&e, "path")
			if e.err != nil {
				return g, e.err
			}
		}
	}
	return g, o.err
}

func parseMCP(cell string) (m record.MCPStats, err error) {
	o, err := parseObject(cell)
	if err != nil {
		return m, err
	}
	m.IsMCP = field[bool](&o, "is_mcp")
	m.JSONRPCMethod = field[string](&o, "jsonrpc_method")
	m.PrimitiveType = field[string](&o, "primitive_type")
	m.PrimitiveName = field[string](&o, "primitive_name")
	return m, o.err
}
