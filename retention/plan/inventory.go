package plan

import "time"

// Kind is the kind of a store, which chooses its rule.
type Kind string

// The kinds.
const (
	Archive     Kind = "archive"
	Raw         Kind = "raw"
	Aggregate   Kind = "aggregate"
	Search      Kind = "search"
	Uptime      Kind = "uptime"
	SQLite      Kind = "sqlite"
	Spool       Kind = "spool"
	DeadLetters Kind = "dead_letters"
)

// Inventory is what was found in one store.
type Inventory struct {
	Store   string // the sink's name in the configuration
	Kind    Kind
	Items   []Item
	Capped  *Capped
	Indexes []TTL // expiry indexes that are missing or wrong
	Missing []TTL // other indexes that are missing
	// Small and Replaced are of an archive, in the order of their targets and hours.
	Small     []Hour
	Replaced  []Leftovers
	Parquet   []Parquet
	Unindexed []Unindexed
	Unsealed  []Unsealed // of OpenSearch, in the order of their targets
	Notes     []string   // what the reader of a plan should know of this store
	Free      int64      // bytes that the store can still take; below 0: not known, or without bound
	Ahead     string     // of what Free is, for the forecast
	Classes   bool       // objects can lie in cheaper classes of storage (S3)
}

// Item is the smallest thing that is decided about: what one organisation (or several) has in a target in a stretch of
// time.
type Item struct {
	Target  string // as the store names it: an index, a collection, dt=2026-01-31
	Org     string
	AnyOrg  bool          // whose records they are is not known: every hold that touches the time keeps them
	Width   time.Duration // of aggregate documents; 0 elsewhere
	From    time.Time     // every record's time lies in [From, To)
	To      time.Time
	Records int64 // documents, rows or letters
	Bytes   int64
	Stands  int64 // records that they stand for, where that is another number (aggregates); 0: Records

	// Group joins items that hold the same records only once: their sum is held against the archive. Empty is one group.
	Group string
	// Emptied is when it was rolled up: nothing is counted in it any more. Zero: it was not.
	Emptied time.Time
	// Pinned says why the store itself cannot let go of it now; empty: it can.
	Pinned string
	// Behind marks items that must go in order: one that stays keeps all later ones of its target's Queue.
	Queue string
	// Whole: the target is deleted as a whole when all its items are to go (indices).
	Whole bool
	// Going: it is being deleted already by somebody (ISM); it is counted, and left alone.
	Going string
}

func (i *Item) stands() int64 {
	if i.Stands != 0 {
		return i.Stands
	}
	return i.Records
}

// Capped is a capped collection.
type Capped struct {
	Target string
	Size   int64 // that it is capped at
	Used   int64
	// Plain: the collection is not capped though it should be.
	Plain bool
	// Locks says what has to wait while it is converted.
	Locks string
}

// Unsealed is an index that is not in its last form: several segments, or still open for writing.
type Unsealed struct {
	Target   string
	From, To time.Time
	Records  int64
	Why      string
}

// TTL is an index that is not as it must be.
type TTL struct {
	Target string
	Why    string
}

// Covered is what an archive holds.
type Covered struct {
	Store   string
	Hours   map[time.Time]int64 // records by hour, all regions together
	Partial bool                // the archive leaves records out by its filters, so that counts cannot be compared
	Err     string              // why it is not known; everything that needs the archive is held back then
}

func (c *Covered) records(from, to time.Time) (n int64) {
	for h := from.Truncate(time.Hour); h.Before(to); h = h.Add(time.Hour) {
		n += c.Hours[h]
	}
	return n
}

// Claims is what sources have that was not delivered everywhere.
type Claims struct {
	Oldest time.Time // when the oldest open claim was made, or now when elements wait unclaimed; zero: none
	Err    string    // why it is not known; everything is held back then
}
