package reference

import (
	"bytes"
	"errors"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// moment reads a time with the library's DecodeTime, once it is sure that this is one of a gateway's forms, or msgpack's
// own: the library accepts more (strings, an extension of another program) and less (arrays with a longer head).
func moment(p *time.Time) func(*msgpack.Decoder) error {
	return func(d *msgpack.Decoder) error {
		raw, err := d.DecodeRaw()
		if err != nil {
			return err
		}
		if raw, err = timeForm(raw); err != nil || raw == nil {
			*p = time.Time{}
			return err
		}
		t, err := msgpack.NewDecoder(bytes.NewReader(raw)).DecodeTime()
		if err != nil {
			return err
		}
		*p, err = utc(t)
		return err
	}
}

// timeForm returns a time in the form that the library reads, nil for nil.
func timeForm(raw []byte) ([]byte, error) {
	extType := map[byte]int{msgpcode.FixExt4: 1, msgpcode.FixExt8: 1, msgpcode.Ext8: 2, msgpcode.Ext16: 3, msgpcode.Ext32: 5}
	c := raw[0]
	if at, ok := extType[c]; ok {
		if int8(raw[at]) != -1 {
			return nil, errors.New("is an extension of another type")
		}
		return raw, nil
	}
	if c == msgpcode.Nil {
		return nil, nil
	}
	d := msgpack.NewDecoder(bytes.NewReader(raw))
	n, err := d.DecodeArrayLen()
	if err != nil || n != 2 {
		return nil, errors.New("is no time")
	}
	var sec, nsec int64
	if err := errors.Join(integer(&sec)(d), integer(&nsec)(d)); err != nil {
		return nil, err
	}
	head := map[byte]int{msgpcode.Array16: 3, msgpcode.Array32: 5}[c]
	if head > 0 {
		raw = append([]byte{msgpcode.FixedArrayLow | 2}, raw[head:]...)
	}
	return raw, nil
}
