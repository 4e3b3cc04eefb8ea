package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// ErrNotFound is what a Store answers for a key that holds nothing.
var ErrNotFound = errors.New("no such object")

// Store is where an archive lies: keys with slashes, objects that are never changed once they are there. Its methods
// may be called concurrently. Errors are classified for the pipeline where they arise (see pipeline.Classify).
type Store interface {
	// PutIfAbsent stores an object durably under a key that holds nothing, all of it or nothing. It reads body from its
	// beginning, perhaps several times. When the key holds an object already, that is left as it is, created is false
	// and there says what is known of it.
	PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (there Info, created bool, err error)
	// Head tells what is known of an object, or ErrNotFound.
	Head(ctx context.Context, key string) (Info, error)
	// Get reads an object, or ErrNotFound. The caller closes the reader.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// List names the objects whose keys begin with prefix, sorted by key. It ends after its first error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
	// Dirs names what lies between prefix and the next slash, each once, sorted and without the slash.
	Dirs(ctx context.Context, prefix string) iter.Seq2[string, error]
	// Delete removes an object; one that is not there is removed.
	Delete(ctx context.Context, key string) error
}

// Linker is the body of an object that may lie in a file of its own, which a Store in a directory need not copy then.
type Linker interface {
	// Link gives that file another name. Its content does not change any more.
	Link(name string) error
}

// Info is what a Store knows of an object.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time
	SHA256   string // as given to PutIfAbsent, empty if the store keeps or lists no such thing
}

// ConflictError says that a key holds other rows than those that belong there: not written by us, or damaged. It is
// repeated and never becomes a dead letter; an operator must look.
type ConflictError struct {
	Key          string
	Ours, Theirs string // SHA-256 of the uncompressed rows
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("object %s is there already with other content: its rows have SHA-256 %s, ours have %s; "+
		"nothing was overwritten, move that object away if it does not belong there", e.Key, e.Theirs, e.Ours)
}
