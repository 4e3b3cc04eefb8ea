package plan

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Verb is what is done to a target.
type Verb string

// The verbs.
const (
	DeleteIndex     Verb = "delete index"
	DeleteDocuments Verb = "delete documents"
	DeletePartition Verb = "delete partition"
	DeleteSegment   Verb = "delete segment"
	DeleteBatches   Verb = "delete spooled batches"
	ResizeCapped    Verb = "resize capped collection"
	ConvertCapped   Verb = "convert to capped collection"
	MakeIndexes     Verb = "make indexes"
	SetTTL          Verb = "set expiry index"
	RollUp          Verb = "roll up"
	Compact         Verb = "compact"
	DeleteReplaced  Verb = "delete replaced objects"
	Index           Verb = "index"
	WriteParquet    Verb = "write Parquet"
	DeleteParquet   Verb = "delete Parquet"
	Seal            Verb = "merge and make read-only"
	Erase           Verb = "erase"
	Anonymise       Verb = "anonymise"
)

// Action is one row of a plan. It is done unless something holds it back.
type Action struct {
	Verb    Verb      `json:"action"`
	Store   string    `json:"store"`
	Kind    Kind      `json:"kind"`
	Target  string    `json:"target"`
	Orgs    []string  `json:"organisations,omitempty"` // whose documents, when not all of the target's
	Width   string    `json:"width,omitempty"`         // of aggregate documents
	Into    string    `json:"into,omitempty"`          // width that they are rolled up to
	From    time.Time `json:"from,omitzero"`           // records with From <= time < To
	To      time.Time `json:"to,omitzero"`
	Records int64     `json:"records"`
	Bytes   int64     `json:"bytes"`             // that it frees
	Size    int64     `json:"size,omitempty"`    // that a collection is capped at, or joined objects aim at
	Objects int       `json:"objects,omitempty"` // of an archive, that are joined or deleted
	Before  time.Time `json:"before,omitzero"`   // only what was replaced before
	Reason  string    `json:"reason"`
	Locks   string    `json:"locks,omitempty"`  // what has to wait while it is done, and why
	Verify  bool      `json:"verify,omitempty"` // the archive of the span is read and verified before
	HeldBy  []string  `json:"held_by,omitempty"`

	Emptied bool `json:"emptied,omitempty"` // only documents whose counters were rolled up

	width, into time.Duration
}

// Held tells whether something holds the action back.
func (a *Action) Held() bool { return len(a.HeldBy) > 0 }

// Widths are the widths of the documents, and that they are rolled up to.
func (a *Action) Widths() (of, into time.Duration) { return a.width, a.into }

// Forecast is where a store is heading.
type Forecast struct {
	Store  string    `json:"store"`
	Kind   Kind      `json:"kind"`
	Bytes  int64     `json:"bytes"`
	Items  int64     `json:"records"`
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	Growth int64     `json:"bytes_per_day"`
	Levels int64     `json:"levels_at,omitempty"` // bytes that the rules let it grow to; 0: they set no bound
	Free   int64     `json:"free"`                // bytes that it can still take; below 0: not known
	Full   time.Time `json:"full_at,omitzero"`    // when nothing is deleted any more; zero: not foreseeable
	Why    string    `json:"reasoning"`
	// Warning says that it will be full soon, or outgrows its rules; empty: neither.
	Warning string `json:"warning,omitempty"`
	// Cut is what the actions that are due free.
	Cut int64 `json:"planned_cut,omitempty"`
	// Built is how today's content came together, by the records' own times: bytes at the end of each of the last days.
	Built []Point `json:"-"`
}

// Point is a size at a moment.
type Point struct {
	Time  time.Time `json:"time"`
	Bytes int64     `json:"bytes"`
}

// Plan is what retention would do at a moment.
type Plan struct {
	Made      time.Time  `json:"made"`
	Actions   []Action   `json:"actions"`
	Forecasts []Forecast `json:"forecasts"`
	Warnings  []string   `json:"warnings,omitempty"` // of stores that will be full soon
	Advice    []string   `json:"advice,omitempty"`   // what nobody but an operator can do
	Notes     []string   `json:"notes,omitempty"`
	Problems  []string   `json:"problems,omitempty"` // what could not be looked at
}

// Due are the actions that nothing holds back, in the order in which they are done: the archive last, since what is
// deleted elsewhere is verified in it before.
func (p *Plan) Due() []Action {
	var out []Action
	for _, a := range p.Actions {
		if !a.Held() {
			out = append(out, a)
		}
	}
	return out
}

func order(k Kind) int {
	return slices.Index([]Kind{Aggregate, Raw, Uptime, Search, SQLite, Spool, DeadLetters, Archive}, k)
}

// archived tells whether the records of a kind lie in the archive too, so that it is asked before they go.
func (k Kind) archived() bool { return k == Raw || k == Aggregate || k == Search || k == SQLite }

func sortActions(as []Action) {
	slices.SortStableFunc(as, func(a, b Action) int {
		return cmp.Or(cmp.Compare(order(a.Kind), order(b.Kind)), cmp.Compare(a.Store, b.Store),
			cmp.Compare(a.Target, b.Target), cmp.Compare(a.Verb.rank(), b.Verb.rank()), a.From.Compare(b.From), cmp.Compare(a.width, b.width))
	})
}

// rank is when an action is done among those of its target: Parquet is made of what was joined.
func (v Verb) rank() int {
	if v == WriteParquet {
		return 1
	}
	return 0
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
