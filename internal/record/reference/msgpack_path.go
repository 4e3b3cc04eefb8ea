package reference

import (
	"errors"
	"math"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"sluice/internal/record"
)

func graphQLErrors(p *[]record.GraphQLError) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		*p = nil
		n, err := d.DecodeArrayLen()
		if err != nil || n < 0 {
			return err
		}
		list := []record.GraphQLError{}
		for ; n > 0 && err == nil; n-- {
			var e record.GraphQLError
			_, err = fields{"Message": str(&e.Message), "Path": path(&e.Path)}.decode(d)
			list = append(list, e)
		}
		*p = list
		return err
	}
}

func path(p *[]any) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		n, err := d.DecodeArrayLen()
		if err != nil {
			return err
		}
		*p, err = list(d, n)
		return err
	}
}

// list reads n values; nil when n is negative. The library would make a slice of n at once, whatever n.
func list(d *msgpack.Decoder, n int) ([]any, error) {
	if n < 0 {
		return nil, nil
	}
	values := []any{}
	for ; n > 0; n-- {
		v, err := value(d)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// value reads what may stand in a path.
func value(d *msgpack.Decoder) (any, error) {
	c, err := d.PeekCode()
	switch {
	case err != nil:
		return nil, err
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32:
		n, err := d.DecodeArrayLen()
		if err != nil {
			return nil, err
		}
		return list(d, n)
	case msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		return object(d)
	case msgpcode.IsExt(c):
		return nil, errors.New("an extension is no value of JSON")
	}
	v, err := d.DecodeInterfaceLoose()
	if n, ok := v.(uint64); ok && n <= math.MaxInt64 {
		return int64(n), err
	}
	return v, err
}

func object(d *msgpack.Decoder) (any, error) {
	n, err := d.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	m := map[string]any{}
	for ; n > 0; n-- {
		key, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		if m[key], err = value(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}
