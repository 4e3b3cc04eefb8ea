package pipeline

import (
	"context"
	"strings"
	"time"
)

// EverySink stands for the sink of a dead letter that concerns all sinks alike (a payload that does not decode).
const EverySink = "*"

// Letter is a dead letter: a record that can never be delivered, with its reason and bytes. (Lineage, Position, Sink)
// identifies it.
type Letter struct {
	ID       string    `json:"id"`
	Sink     string    `json:"sink"`
	Reason   string    `json:"reason"`
	Time     time.Time `json:"time"` // when its claim was made, by the server's clock: the same at every delivery
	Source   string    `json:"source"`
	List     string    `json:"list"`
	Lineage  string    `json:"lineage"`
	Position string    `json:"position"`
	Format   string    `json:"format"` // of Bytes: msgpack or protobuf
	Kind     string    `json:"kind"`   // analytics or uptime
	Length   int64     `json:"length"` // of the payload; larger than len(Bytes) when those were cut
	Bytes    []byte    `json:"bytes"`  // base64 in JSON
}

// LetterBox keeps dead letters durably. Store returns nil only when all letters will survive a crash; the same letter
// may be stored again. It is called concurrently.
type LetterBox interface {
	Store(ctx context.Context, letters []Letter) error
}

// How the reasons begin of letters that concern every sink.
const (
	saysUndecodable = "does not decode"
	saysOversize    = "oversize"
	saysAbsurd      = "absurd time"
)

// Cause is a letter's reason without what differs from record to record: undecodable, oversize, time, or refused by the sink.
func (l *Letter) Cause() string {
	switch {
	case l.Sink != EverySink:
		return "refused"
	case strings.HasPrefix(l.Reason, saysOversize):
		return "oversize"
	case strings.HasPrefix(l.Reason, saysAbsurd):
		return "time"
	}
	return "undecodable"
}

// LetterCount is how many dead letters of a sink a process has stored for a cause since it started. A redelivery after a crash stores
// a letter again; the ledger counts it once.
type LetterCount struct {
	Sink  string `json:"sink"` // EverySink: all
	Cause string `json:"cause"`
	N     uint64 `json:"n"`
}
