package traffic

import (
	"sluice/internal/record"
)

// Poison makes n payloads that cannot be decoded: cut short, of the wrong type, and garbage, in turn.
func (g *Generator) Poison(n int, f record.Format) [][]byte {
	out := make([][]byte, 0, n)
	for range n {
		if f == record.Protobuf {
			out = append(out, g.poisonProtobuf(g.poisoned))
		} else {
			out = append(out, g.poisonMsgpack(g.poisoned))
		}
		g.poisoned++
	}
	return out
}

func (g *Generator) poisonMsgpack(i int) []byte {
	switch i % 4 {
	case 0: // cut short
		var r record.Record
		g.Next(&r, g.opts.Start)
		b := record.AppendMsgpack(nil, &r)
		return b[:len(b)/2+g.rnd.IntN(len(b)/4)]
	case 1: // a map whose only value has the wrong type
		return append([]byte("\x81\xacResponseCode\xa5"), "teapo"...)
	case 2: // 0xc1 is never used in msgpack
		return append([]byte{0xc1}, g.noise(24)...)
	default: // a string where a map belongs
		return append([]byte{0xb8}, "not a record, just words."[:24]...)
	}
}

func (g *Generator) poisonProtobuf(i int) []byte {
	switch i % 3 {
	case 0: // field 35, the last one, promises more bytes than there are
		var r record.Record
		g.Next(&r, g.opts.Start)
		return append(record.AppendProtobuf(nil, &r), 0x9a, 0x02, 0x7f, 'x')
	case 1: // field 2, a string, as a varint that never ends
		b := []byte{0x10}
		for range 11 {
			b = append(b, 0xff)
		}
		return b
	default: // wire type 7 does not exist
		return append([]byte{0x0f}, g.noise(24)...)
	}
}

func (g *Generator) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rnd.UintN(256))
	}
	return b
}
