package reference

import (
	"bytes"
	"errors"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"sluice/internal/record"
)

// fields maps the keys of a struct to what reads their value.
type fields map[string]func(*msgpack.Decoder) error

// Msgpack decodes an analytics record with the msgpack library.
func Msgpack(payload []byte) (r record.Record, err error) {
	err = root(payload, recordFields(&r))
	if err != nil {
		return record.Record{}, err
	}
	return r, nil
}

// Uptime decodes an uptime record with the msgpack library.
func Uptime(payload []byte) (u record.Uptime, err error) {
	err = root(payload, fields{
		"URL": str(&u.URL), "RequestTime": integer(&u.RequestTime), "ResponseCode": integer(&u.ResponseCode),
		"TCPError": boolean(&u.TCPError), "ServerError": boolean(&u.ServerError), "Day": integer(&u.Day),
		"Month": integer(&u.Month), "Year": integer(&u.Year), "Hour": integer(&u.Hour), "Minute": integer(&u.Minute),
		"TimeStamp": moment(&u.TimeStamp), "ExpireAt": moment(&u.ExpireAt), "APIID": str(&u.APIID), "OrgID": str(&u.OrgID),
	})
	if err != nil {
		return record.Uptime{}, err
	}
	return u, nil
}

func root(payload []byte, f fields) error {
	in := bytes.NewReader(payload)
	d := msgpack.NewDecoder(in)
	known, err := f.decode(d)
	if err == nil && (known == 0 || in.Len() > 0) {
		err = errPoison
	}
	return err
}

func recordFields(r *record.Record) fields {
	return fields{
		"Method": str(&r.Method), "Host": str(&r.Host), "Path": str(&r.Path), "RawPath": str(&r.RawPath),
		"ContentLength": integer(&r.ContentLength), "UserAgent": str(&r.UserAgent), "Day": integer(&r.Day),
		"Month": integer(&r.Month), "Year": integer(&r.Year), "Hour": integer(&r.Hour),
		"ResponseCode": integer(&r.ResponseCode), "APIKey": str(&r.APIKey), "TimeStamp": moment(&r.TimeStamp),
		"APIVersion": str(&r.APIVersion), "APIName": str(&r.APIName), "APIID": str(&r.APIID), "OrgID": str(&r.OrgID),
		"OauthID": str(&r.OauthID), "RequestTime": integer(&r.RequestTime), "RawRequest": str(&r.RawRequest),
		"RawResponse": str(&r.RawResponse), "IPAddress": str(&r.IPAddress), "Geo": geo(&r.Geo),
		"Network": structure(&r.Network, func(n *record.Network) fields {
			return fields{"OpenConnections": integer(&n.OpenConnections), "ClosedConnection": integer(&n.ClosedConnections),
				"BytesIn": integer(&n.BytesIn), "BytesOut": integer(&n.BytesOut)}
		}),
		"Latency": structure(&r.Latency, func(l *record.Latency) fields {
			return fields{"Total": integer(&l.Total), "Upstream": integer(&l.Upstream), "Gateway": integer(&l.Gateway)}
		}),
		"Tags": whole(&r.Tags), "Alias": str(&r.Alias), "TrackPath": boolean(&r.TrackPath),
		"ExpireAt": moment(&r.ExpireAt), "ApiSchema": str(&r.APISchema), "OriginalPath": str(&r.OriginalPath),
		"ListenPath": str(&r.ListenPath), "GraphQLStats": graphQL(&r.GraphQL),
		"MCPStats": structure(&r.MCP, func(s *record.MCPStats) fields {
			return fields{"IsMCP": boolean(&s.IsMCP), "JSONRPCMethod": str(&s.JSONRPCMethod),
				"PrimitiveType": str(&s.PrimitiveType), "PrimitiveName": str(&s.PrimitiveName)}
		}),
		"CollectionName": str(&r.CollectionName),
	}
}

func geo(g *record.Geo) func(*msgpack.Decoder) error {
	return structure(g, func(g *record.Geo) fields {
		return fields{
			"Country": structure(&g.Country, func(c *record.Country) fields {
				return fields{"ISOCode": str(&c.ISOCode)}
			}),
			"City": structure(&g.City, func(c *record.City) fields {
				return fields{"GeoNameID": integer(&c.GeoNameID), "Names": mapping(&c.Names)}
			}),
			"Location": structure(&g.Location, func(l *record.Location) fields {
				return fields{"Latitude": float(&l.Latitude), "Longitude": float(&l.Longitude), "TimeZone": str(&l.TimeZone)}
			}),
		}
	})
}

func graphQL(s *record.GraphQLStats) func(*msgpack.Decoder) error {
	return structure(s, func(s *record.GraphQLStats) fields {
		return fields{"IsGraphQL": boolean(&s.IsGraphQL), "HasErrors": boolean(&s.HasErrors),
			"OperationType": integer(&s.OperationType), "Variables": str(&s.Variables), "RootFields": whole(&s.RootFields),
			"Types": mapping(&s.Types), "Errors": graphQLErrors(&s.Errors)}
	})
}

// decode reads a map and returns how many of its keys are known.
func (f fields) decode(d *msgpack.Decoder) (known int, err error) {
	n, err := mapLen(d)
	for ; n > 0 && err == nil; n-- {
		var key string
		if key, err = d.DecodeString(); err != nil {
			return known, err
		}
		read, ok := f[key]
		if !ok {
			err = d.Skip()
			continue
		}
		known++
		err = read(d)
	}
	return known, err
}

// mapLen refuses what the library would take for a map besides: an extension's head before it.
func mapLen(d *msgpack.Decoder) (int, error) {
	if c, err := d.PeekCode(); err != nil || msgpcode.IsExt(c) {
		return 0, errors.New("is no map")
	}
	return d.DecodeMapLen()
}

// structure reads a nested map into a fresh value: of equal keys the last counts as a whole.
func structure[T any](p *T, of func(*T) fields) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		*p = *new(T)
		_, err := of(p).decode(d)
		return err
	}
}

// whole reads a value as the library does, into a fresh variable.
func whole[T any](p *T) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		v := new(T)
		err := d.Decode(v)
		*p = *v
		return err
	}
}

func mapping[V any](p *map[string]V) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		if c, err := d.PeekCode(); err != nil || msgpcode.IsExt(c) {
			return errors.New("is no map")
		}
		return whole(p)(d)
	}
}

func str(p *string) func(*msgpack.Decoder) error { return whole(p) }

func boolean(p *bool) func(*msgpack.Decoder) error { return whole(p) }

func float(p *float64) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		if c, err := d.PeekCode(); err == nil && c == msgpcode.Uint64 { // the library wraps large ones to negative
			var n int64
			err = integer(&n)(d)
			*p = float64(n)
			return err
		}
		return whole(p)(d)
	}
}

// integer refuses what does not fit, where the library would cut it.
func integer[T int32 | int64 | uint32](p *T) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		c, err := d.PeekCode()
		if err != nil {
			return err
		}
		n, err := d.DecodeInt64()
		if err != nil {
			return err
		}
		if *p = T(n); int64(*p) != n || c == msgpcode.Uint64 && n < 0 {
			return errors.New("integer does not fit")
		}
		return nil
	}
}
