package kafka

import (
	"errors"
	"fmt"
	"strconv"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Names of a message's headers. Values are text.
const (
	headerID          = "sluice-id"          // record ID, 24 hex characters
	headerLineage     = "sluice-lineage"     // of the list, 32 hex characters
	headerPosition    = "sluice-position"    // of the record in it, 42 characters that sort as positions do
	headerPredecessor = "sluice-predecessor" // position of the message before it in (lineage, partition); empty for the first
	headerNumber      = "sluice-number"      // of the message in (lineage, partition), from 1
	headerFormat      = "sluice-format"      // of the value: protobuf or json
	headerRegion      = "sluice-region"
	headerOnly        = "sluice-only"   // of a dead letter that goes in again: the sink that refused it; empty: all
	headerLetter      = "sluice-letter" // of a dead letter that goes in again: what tells it from others
)

// Formats of a message's value.
const (
	FormatProtobuf = "protobuf"
	FormatJSON     = "json"
)

// Header is what a message says of its record.
type Header struct {
	ID          record.ID
	Lineage     string
	Position    pipeline.Position
	Predecessor pipeline.Position // zero: it is the first
	Number      uint64
	Format      string
	Region      string

	Only   string // sink that alone gets it; empty: all
	Letter string // identity of a dead letter that goes in again; empty: it is none
}

// Headers are the message's headers.
func (h *Header) Headers() []kgo.Header {
	var before []byte
	if h.Predecessor != (pipeline.Position{}) {
		before = []byte(h.Predecessor.String())
	}
	out := []kgo.Header{
		{Key: headerID, Value: []byte(h.ID.String())},
		{Key: headerLineage, Value: []byte(h.Lineage)},
		{Key: headerPosition, Value: []byte(h.Position.String())},
		{Key: headerPredecessor, Value: before},
		{Key: headerNumber, Value: strconv.AppendUint(nil, h.Number, 10)},
		{Key: headerFormat, Value: []byte(h.Format)},
		{Key: headerRegion, Value: []byte(h.Region)},
	}
	if h.Letter != "" {
		out = append(out, kgo.Header{Key: headerOnly, Value: []byte(h.Only)}, kgo.Header{Key: headerLetter, Value: []byte(h.Letter)})
	}
	return out
}

// errForeign says that a message is none of ours.
var errForeign = errors.New("the message has no headers of an edge")

// ParseHeader reads a message's headers; unknown ones are passed over.
func ParseHeader(headers []kgo.Header) (h Header, err error) {
	seen := 0
	for i := range headers {
		v := string(headers[i].Value)
		seen++
		switch headers[i].Key {
		case headerID:
			h.ID, err = record.ParseID(v)
		case headerLineage:
			if h.Lineage = v; !isLineage(v) {
				err = fmt.Errorf("lineage %q is not 32 hex characters", v)
			}
		case headerPosition:
			h.Position, err = pipeline.ParsePosition(v)
		case headerPredecessor:
			if v != "" {
				h.Predecessor, err = pipeline.ParsePosition(v)
			}
		case headerNumber:
			h.Number, err = strconv.ParseUint(v, 10, 64)
		case headerFormat:
			h.Format = v
		case headerRegion:
			h.Region = v
		case headerOnly:
			h.Only = v
			seen--
		case headerLetter:
			h.Letter = v
			seen--
		default:
			seen--
		}
		if err != nil {
			return Header{}, fmt.Errorf("header %s: %w", headers[i].Key, err)
		}
	}
	switch {
	case seen < 7 || h.Lineage == "" || h.Position == (pipeline.Position{}):
		return Header{}, errForeign
	case h.Predecessor.Compare(h.Position) >= 0:
		return Header{}, errors.New("the message's predecessor does not lie before it")
	}
	return h, nil
}

func isLineage(s string) bool {
	if len(s) != 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
