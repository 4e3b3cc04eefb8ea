package mongo

import (
	"context"
	"errors"

	driver "go.mongodb.org/mongo-driver/mongo"
	xdriver "go.mongodb.org/mongo-driver/x/mongo/driver"
	"go.mongodb.org/mongo-driver/x/mongo/driver/topology"

	"sluice/internal/pipeline"
)

// Codes of the server that callers look for (mongo/src/mongo/base/error_codes.yml).
const (
	CodeNamespaceExists     = 48
	CodeInvalidNamespace    = 73
	CodeIndexOptionsDiffer  = 85
	CodeIndexKeySpecsDiffer = 86
	CodeDuplicateKey        = 11000
)

// fatalCodes can only be cured by an operator: the user, its password or its rights.
var fatalCodes = codes(
	11,   // UserNotFound
	13,   // Unauthorized
	18,   // AuthenticationFailed
	8000, // AtlasError: how Atlas reports wrong credentials
)

// hopelessCodes say of a single write that it fails for ever, however often it is repeated.
var hopelessCodes = codes(
	2,     // BadValue
	9,     // FailedToParse
	14,    // TypeMismatch
	22,    // InvalidBSON
	28,    // PathNotViable
	52,    // DollarPrefixedFieldName
	56,    // EmptyFieldName
	57,    // DottedFieldName
	73,    // InvalidNamespace
	121,   // DocumentValidationFailure
	171,   // CannotIndexParallelArrays
	10334, // BSONObjectTooLarge
	16755, // geo keys cannot be extracted
	17280, // KeyTooLong: index entries above 1 KiB, before 4.2
	17419, // the resulting document is above 16 MB
	17420, // the document grows above 16 MB
)

// permanentCodes say of a whole command that what it carries cannot be taken. Few: a code that may as well mean a server
// that does not know an option must not turn all records into dead letters.
var permanentCodes = codes(22, 73, 10334, 17280, 17419, 17420)

func codes(list ...int) map[int]bool {
	set := make(map[int]bool, len(list))
	for _, c := range list {
		set[c] = true
	}
	return set
}

// Hopeless tells whether a write that failed with this code fails for ever.
func Hopeless(code int) bool { return hopelessCodes[code] }

// Code is the server's code of a failed command, 0 if the error is not one: network errors, timeouts, and errors of
// single writes, which are to be sorted by index.
func Code(err error) int {
	var ce driver.CommandError
	if errors.As(err, &ce) {
		return int(ce.Code)
	}
	var xe xdriver.Error // what a handshake fails with
	if errors.As(err, &xe) {
		return int(xe.Code)
	}
	return 0
}

// Classify marks an error of the driver with what the pipeline should do about it: wrong credentials and missing rights
// are fatal, what the server can never take is permanent. All else (network, no primary, step-down, shutdown, write
// conflict, timeouts, write-concern errors, codes nobody has heard of) stays retryable.
func Classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case fatalCodes[Code(err)], refused(err):
		return pipeline.Fatal(err)
	case errors.Is(err, xdriver.ErrDocumentTooLarge), permanentCodes[Code(err)]:
		return pipeline.Permanent(err)
	}
	return err
}

// refused tells whether no server could be selected because one refused the credentials: the selection's own error is a
// timeout, the reason stands with the server.
func refused(err error) bool {
	var se topology.ServerSelectionError
	if !errors.As(err, &se) {
		return false
	}
	for _, s := range se.Desc.Servers {
		if s.LastError != nil && fatalCodes[Code(s.LastError)] {
			return true
		}
	}
	return false
}

// passingCodes say of a command that the same one may pass later or elsewhere.
var passingCodes = codes(
	6, 7, 89, 9001, // a host cannot be reached, or the network fails
	24, 46, 50, // lock timeout, lock busy, time limit
	91, 11600, // shutdown
	112,                                  // write conflict
	133,                                  // no primary found for a shard
	189, 10107, 10058, 13435, 13436, 262, // stepped down, not primary, no longer, recovering, time limit
	11602,               // interrupted by a change of the replica set
	63, 150, 234, 13388, // stale shard versions
)

// Passing tells whether a command that failed with this code may pass when it is repeated.
func Passing(code int) bool { return passingCodes[code] }
