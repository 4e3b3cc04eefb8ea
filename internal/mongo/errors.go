package mongo

import (
	"context"
	"errors"
	"fmt"

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

	codeUnauthorized      = 13
	codeNamespaceNotFound = 26
)

// Fatal is an error that only an operator can cure, with what to do about it.
func Fatal(err error, cure string) error { return pipeline.Fatal(fmt.Errorf("%w: %s", err, cure)) }

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
	case refused(err):
		return pipeline.Fatal(err)
	case errors.Is(err, xdriver.ErrDocumentTooLarge):
		return pipeline.Permanent(err)
	}
	return answers[Code(err)].command.Mark(err, 0)
}

// refused tells whether no server could be selected because one refused the credentials: the selection's own error is a
// timeout, the reason stands with the server.
func refused(err error) bool {
	var se topology.ServerSelectionError
	if !errors.As(err, &se) {
		return false
	}
	for _, s := range se.Desc.Servers {
		if s.LastError != nil && answers[Code(s.LastError)].command == pipeline.Operator {
			return true
		}
	}
	return false
}

// Unsupported tells whether a command failed with this code since the server does not know it, or an option of it: it
// speaks MongoDB's protocol and is not MongoDB, or is an old one.
func Unsupported(code int) bool {
	switch code {
	case 59, // CommandNotFound
		72,  // InvalidOptions
		115, // CommandNotSupported
		238, // NotImplemented
		303: // Amazon DocumentDB: feature not supported
		return true
	}
	return false
}
