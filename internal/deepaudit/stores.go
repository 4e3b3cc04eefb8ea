package deepaudit

import (
	"context"
	"iter"
	"time"

	"sluice/internal/archive"
	"sluice/internal/record"
)

// Archive is where rows come from.
type Archive interface {
	// Hours are the hours of which the archive has something, in the order of time, then of region; zero times are no
	// bounds.
	Hours(ctx context.Context, from, to time.Time) iter.Seq2[archive.Hour, error]
	// Rows reads an object's rows as they come; what is damaged is found at the end, and is an error.
	Rows(ctx context.Context, m *archive.Manifest, do func(*archive.Row) error) error
}

// Held is a document of a store that keeps one a record.
type Held struct {
	ID    record.ID
	Key   string // instead of an ID, of a document whose key is none
	Where string // collection or index
	Org   string // the last three when they were asked for
	API   string
	Code  int32
	MCP   bool
}

// Sought is a record that is looked for in a store.
type Sought struct {
	ID  record.ID
	Org string
}

// Lister reads a store that keeps one document a record, under the record's ID. Its methods are called one at a time.
type Lister interface {
	// Hours are the hours between two times of which the store has anything, in no order; zero times are no bounds.
	Hours(ctx context.Context, from, to time.Time) ([]time.Time, error)
	// Held passes on what the store has of records with from <= time < to, bounds of seconds, in no order. fields asks for
	// more than IDs.
	Held(ctx context.Context, from, to time.Time, fields bool, do func(Held) error) error
	// Has tells which records are there, also those written a moment ago.
	Has(ctx context.Context, sought []Sought) (map[record.ID]bool, error)
	// Odd names documents that have no record's ID.
	Odd(ctx context.Context, do func(where, key string)) error
	// Floor is a time up to which records may have been overwritten; zero: none was.
	Floor(ctx context.Context) (time.Time, error)
}

// Keyed is a sink that keeps one document a record.
type Keyed struct {
	Name, Type string
	Store      Lister
	Takes      func(*record.Record) bool // what it gets and stores, by its filters and nature
	Accepts    func(*Held) bool          // the same by what another store has of a record
	Gone       func(*record.Record) bool // whether a rule, an expiry, may have removed it since

	first map[string]position // by lineage: the least position that is there
	spare map[string]uint64   // by account: records that it was never owed
}

// Counting is a sink that keeps counters.
type Counting struct {
	Name, Type string
	Hours      func(ctx context.Context, from, to time.Time) ([]time.Time, error)
	// Compare holds what is counted of [from, to), which lies in one hour, against the archive.
	Compare func(ctx context.Context, from, to time.Time, damaged bool, r *StoreReport) error
}
