package pipeline

import "time"

// Ledger is the conservation law: for every sink taken = effective + duplicates + filtered + dead letters + spooled +
// pending, counted by position. The JSON form is fixed by the command-line contract.
type Ledger struct {
	Taken    uint64            `json:"taken"`
	Balanced bool              `json:"balanced"`
	Sinks    map[string]Counts `json:"sinks"`
}

// Status is a snapshot of a running process, for the console and the readiness check.
type Status struct {
	Time        time.Time      `json:"time"`
	Started     time.Time      `json:"started"`
	Version     string         `json:"version"`
	Region      string         `json:"region"`
	Ready       bool           `json:"ready"`
	NotReady    []string       `json:"not_ready,omitempty"` // why, one line each
	MemoryLimit int64          `json:"memory_limit"`        // bytes
	MemoryUsed  int64          `json:"memory_used"`         // bytes buffered by the pipeline
	Sources     []SourceStatus `json:"sources"`
	Sinks       []SinkStatus   `json:"sinks"`
	Ledger      Ledger         `json:"ledger"`
	Letters     []LetterCount  `json:"letters,omitempty"` // dead letters stored by this process
	Alarms      []string       `json:"alarms,omitempty"`
}

// SourceStatus is a source as it is now.
type SourceStatus struct {
	Name      string       `json:"name"`
	Type      string       `json:"type"`
	Connected bool         `json:"connected"`
	Error     string       `json:"error,omitempty"`
	Taken     uint64       `json:"taken"`
	Rate      float64      `json:"rate"` // records a second, smoothed
	Lists     []ListStatus `json:"lists"`
}

// ListStatus is one list of a source.
type ListStatus struct {
	Name       string  `json:"name"`
	Suspect    int     `json:"suspect"` // stretches of its history that Redis lost
	Owner      string  `json:"owner"`   // us, other, none
	Waiting    uint64  `json:"waiting"`
	OpenClaims int     `json:"open_claims"`
	OldestAge  float64 `json:"oldest_age_seconds"`
	Taken      uint64  `json:"taken"`
	CatchUp    float64 `json:"catch_up_seconds"`       // when nothing waits any more at the rates of the last minute; -1: more comes than is taken
	Kept       float64 `json:"kept_seconds,omitempty"` // how long what waits is kept where it is; 0: for ever, or not known
	Held       string  `json:"held,omitempty"`         // why nothing behind what was claimed can be taken
}

// SinkStatus is a sink as it is now.
type SinkStatus struct {
	Name       string    `json:"name"`
	Type       string    `json:"type"`
	State      string    `json:"state"` // starting, ok, retrying, open (the breaker), closed
	LastError  string    `json:"last_error,omitempty"`
	ErrorAt    time.Time `json:"error_at,omitzero"`
	Errors     uint64    `json:"errors"`
	LagRecords uint64    `json:"lag_records"`
	LagSeconds float64   `json:"lag_seconds"` // age of the oldest claim it still owes
	Rate       float64   `json:"rate"`        // records a second settled, smoothed
	Counts     Counts    `json:"counts"`

	Spool        SpoolUse `json:"spool"`
	SpoolFailing bool     `json:"spool_failing,omitempty"` // it cannot be written; records wait in the source
}

// SpoolUse is what lies in a sink's spools, as far as they can be reached from here.
type SpoolUse struct {
	Batches       int     `json:"batches"`
	Bytes         int64   `json:"bytes"`
	OldestSeconds float64 `json:"oldest_seconds"` // age of the oldest claim that a batch is of; 0 without one
}
