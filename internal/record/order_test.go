package record_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"sluice/internal/record"
)

// entriesOf cuts a gateway's payload into its keys with their values.
func entriesOf(t *testing.T, payload []byte) (list [][]byte) {
	t.Helper()
	d := msgpack.NewDecoder(bytes.NewReader(payload))
	n, err := d.DecodeMapLen()
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		key, err := d.DecodeRaw()
		if err != nil {
			t.Fatal(err)
		}
		value, err := d.DecodeRaw()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, slices.Concat(key, value))
	}
	return list
}

// The decoder expects the fields in the order of gateways. Whatever is not as expected must come to the same as ever:
// fields that are missing, elsewhere, unknown or there twice, and a number of fields that is not that of the map.
func TestFieldsAlmostInOrderEqualReference(t *testing.T) {
	full := everything()
	bases := [][][]byte{entriesOf(t, record.AppendMsgpack(nil, &full)), entriesOf(t, record.AppendMsgpack(nil, &record.Record{TimeStamp: full.TimeStamp}))}
	all := payloads(t, record.Msgpack)
	for i := 0; i < len(all); i += len(all) / 10 {
		bases = append(bases, entriesOf(t, all[i]))
	}
	records := 0
	rapid.Check(t, func(r *rapid.T) {
		list := slices.Clone(bases[rapid.IntRange(0, len(bases)-1).Draw(r, "base")])
		for range rapid.IntRange(0, 4).Draw(r, "changes") {
			i := rapid.IntRange(0, len(list)-1).Draw(r, "at")
			switch rapid.IntRange(0, 4).Draw(r, "change") {
			case 0:
				if len(list) > 1 {
					list = slices.Delete(list, i, i+1)
				}
			case 1:
				other := bases[rapid.IntRange(0, len(bases)-1).Draw(r, "other")]
				list = slices.Insert(list, i, other[rapid.IntRange(0, len(other)-1).Draw(r, "entry")])
			case 2:
				list = slices.Insert(list, i, []byte("\xa7unknown\x92\xa1x\xc0"))
			case 3:
				j := rapid.IntRange(0, len(list)-1).Draw(r, "with")
				list[i], list[j] = list[j], list[i]
			case 4:
				list = list[:max(i, 1)]
			}
		}
		n := len(list) + rapid.SampledFrom([]int{0, 0, 0, 0, -1, 1, -len(list)}).Draw(r, "miscount")
		payload := binary.BigEndian.AppendUint16([]byte{0xde}, uint16(max(n, 0)))
		payload = append(payload, bytes.Join(list, nil)...)
		if _, ok := sameAsReference(r, record.Msgpack, payload); ok {
			records++
		}
	})
	if records == 0 {
		t.Error("none of the payloads was a record: nothing was compared")
	}
}
