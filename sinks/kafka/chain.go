package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
)

// chain is what was sent last of a lineage, by partition. What the registry's note says of it is settled; what it has
// beyond was confirmed by the brokers for a batch that is not settled yet, and is not sent again.
type chain struct {
	mu    sync.Mutex // partitions send side by side
	parts map[int]bus.Passed
	dead  map[pipeline.Position]string // refused by the brokers for good, in the batch that is not settled yet
}

// begin takes in what the registry knows, which may be another process's work, and forgets the dead of earlier batches.
func (c *chain) begin(b *pipeline.Batch) error {
	known, err := parseNote(b.Note)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for part, p := range known {
		if c.parts[part].Position.Compare(p.Position) < 0 {
			c.parts[part] = p
		}
	}
	maps.DeleteFunc(c.dead, func(p pipeline.Position, _ string) bool { return p.Compare(b.First()) < 0 })
	return nil
}

func (c *chain) last(part int) bus.Passed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parts[part]
}

func (c *chain) sent(part int, p bus.Passed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts[part] = p
}

func (c *chain) refused(p pipeline.Position, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead[p] = why
}

// note is the chain as it is kept with the cursor.
func (c *chain) note() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return formatNote(c.parts)
}

// noteVersion is the first byte of a note.
const noteVersion = 1

// formatNote writes, for each partition, its number, the position in 18 bytes and the message's number; in base64.
func formatNote(parts map[int]bus.Passed) string {
	b := []byte{noteVersion}
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		p := parts[part]
		b = binary.AppendUvarint(b, uint64(part))
		ms := binary.BigEndian.AppendUint64(nil, p.Position.Claim.Epoch.Ms)
		b = append(b, ms[2:]...) // an epoch has 48 bits
		b = binary.BigEndian.AppendUint32(b, p.Position.Claim.Epoch.Rand)
		b = binary.BigEndian.AppendUint32(b, p.Position.Claim.Number)
		b = binary.BigEndian.AppendUint32(b, p.Position.Index)
		b = binary.AppendUvarint(b, p.Number)
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

var errNote = errors.New("the note of the last messages in the registry cannot be read")

// parseNote reads what formatNote wrote.
func parseNote(s string) (map[int]bus.Passed, error) {
	parts := map[int]bus.Passed{}
	if s == "" {
		return parts, nil
	}
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err == nil && len(b) > 0 && b[0] > noteVersion {
		return nil, fmt.Errorf("%w: the note of the last messages has layout %d, this program knows %d: the list is left to a pump of that version",
			pipeline.ErrNewer, b[0], noteVersion)
	}
	if err != nil || len(b) == 0 || b[0] != noteVersion {
		return nil, errNote
	}
	for b = b[1:]; len(b) > 0; {
		part, n := binary.Uvarint(b)
		if n <= 0 || part >= maxPartitions || len(b) < n+18 {
			return nil, errNote
		}
		b = b[n:]
		var p bus.Passed
		p.Position.Claim.Epoch.Ms = uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
		p.Position.Claim.Epoch.Rand = binary.BigEndian.Uint32(b[6:])
		p.Position.Claim.Number = binary.BigEndian.Uint32(b[10:])
		p.Position.Index = binary.BigEndian.Uint32(b[14:])
		if p.Number, n = binary.Uvarint(b[18:]); n <= 0 {
			return nil, errNote
		}
		b = b[18+n:]
		parts[int(part)] = p
	}
	return parts, nil
}
