package deepaudit

import "time"

// Kinds of findings.
const (
	Missing  = "missing"   // the archive has it, the store should and has not
	Strange  = "strange"   // the store has it, the archive should and has not
	Double   = "double"    // it is there more than once
	Differs  = "differs"   // counters are not what the archive adds up to
	Damaged  = "damaged"   // an object of the archive cannot be read, or is not what its manifest says
	Gap      = "gap"       // positions that lie in no object of the archive
	Copies   = "copies"    // records that were claimed again after the history of Redis had gone back count twice
	InFlight = "in_flight" // not settled on both sides yet
	Untold   = "untold"    // it cannot be told, and why
)

// Finding is one thing that is not as it should be, or cannot be told.
type Finding struct {
	Kind     string    `json:"kind"`
	Hour     time.Time `json:"hour,omitzero"`
	Record   string    `json:"record,omitempty"` // ID
	List     string    `json:"list,omitempty"`
	Position string    `json:"position,omitempty"`
	Where    string    `json:"where,omitempty"` // collection, index, object, document
	Reason   string    `json:"reason"`
	Records  int64     `json:"records"` // how many it stands for
}

// maxNamed is how many findings of a store and kind are named; all are counted.
const maxNamed = 1000

// StoreReport is what was found in one store.
type StoreReport struct {
	Type     string           `json:"type"`
	Compared int64            `json:"compared"` // records, of a store that counts documents
	Counts   map[string]int64 `json:"counts"`   // records (or documents) by kind of finding
	Findings []Finding        `json:"findings"`
	Notes    []string         `json:"notes,omitempty"`

	named map[string]int
}

// NewStoreReport begins a report.
func NewStoreReport(kind string) *StoreReport {
	return &StoreReport{Type: kind, Counts: map[string]int64{}, Findings: []Finding{}, named: map[string]int{}}
}

// Add takes a finding.
func (r *StoreReport) Add(f Finding) {
	f.Records = max(f.Records, 1)
	r.Counts[f.Kind] += f.Records
	if r.named[f.Kind]++; r.named[f.Kind] <= maxNamed {
		r.Findings = append(r.Findings, f)
	}
}

// Note says something about the whole store, once.
func (r *StoreReport) Note(s string) {
	for _, n := range r.Notes {
		if n == s {
			return
		}
	}
	r.Notes = append(r.Notes, s)
}

// InOrder tells whether nothing was found that differs. What is in flight or cannot be told is no difference.
func (r *StoreReport) InOrder() bool {
	for kind, n := range r.Counts {
		if n > 0 && kind != InFlight && kind != Untold {
			return false
		}
	}
	return true
}

// Report is the result of an audit.
type Report struct {
	Archive string                  `json:"archive,omitempty"` // empty: there is none
	From    time.Time               `json:"from,omitzero"`
	To      time.Time               `json:"to,omitzero"`
	Hours   int                     `json:"hours"`
	Records int64                   `json:"records"` // of the archive
	InOrder bool                    `json:"in_order"`
	Stores  map[string]*StoreReport `json:"stores"`
	Notes   []string                `json:"notes,omitempty"`
}
