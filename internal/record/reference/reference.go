// Package reference decodes gateway records slowly, by libraries, for tests: it is what the decoders of package record
// are held equal to, and what a captured file is read with. Nothing it returns aliases its input.
package reference

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"sluice/internal/record"
)

// errPoison is the verdict on payloads that a lenient decoder takes for an empty record.
var errPoison = errors.New("yields no record")

// Decode decodes a payload of either format.
func Decode(f record.Format, payload []byte) (record.Record, error) {
	if f == record.Protobuf {
		return Protobuf(payload)
	}
	return Msgpack(payload)
}

// ReadFrames reads a capture: payloads, each behind its length in four bytes, big endian.
func ReadFrames(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var frames [][]byte
	for len(b) > 0 {
		if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
			return nil, fmt.Errorf("%s: its last frame is cut", path)
		}
		n := 4 + int(binary.BigEndian.Uint32(b))
		frames = append(frames, b[4:n:n])
		b = b[n:]
	}
	return frames, nil
}

// utc checks that a time can be written as RFC 3339, which is what a record's time must be.
func utc(t time.Time) (time.Time, error) {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, errors.New("year cannot be written")
	}
	return t, nil
}
