package s3store

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sluice/internal/archive"
	"sluice/internal/awscreds"
	"sluice/internal/pipeline"
)

// slowDown is how long a store that asks for less load is left alone if it does not say how long.
const slowDown = time.Second

// classify says what an error of the SDK asks for. What is not known is repeated.
func classify(err error) error {
	a := answerTo(err)
	if a.missing {
		return fmt.Errorf("%w: %w", archive.ErrNotFound, err)
	}
	return a.action.Mark(err, retryAfter(err))
}

// plainError reads as one sentence and unwraps to what the SDK said.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

// plain puts an answer of the store without the SDK's frame around it, and with its cure. The request's ID stays: AWS's
// support asks for it.
func plain(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return awscreds.Explain(err, "access_key", "secret_key")
	}
	text := api.ErrorCode() + ": " + api.ErrorMessage()
	var r interface{ ServiceRequestID() string }
	if errors.As(err, &r) && r.ServiceRequestID() != "" {
		text += " (request " + r.ServiceRequestID() + ")"
	}
	if cure := answerTo(err).cure; cure != "" {
		text += "; " + cure
	}
	return &plainError{text, err}
}

func response(err error) *smithyhttp.ResponseError {
	var r *smithyhttp.ResponseError
	if errors.As(err, &r) && r.Response != nil && r.Response.Response != nil {
		return r
	}
	return nil
}

// status is the HTTP status that an error came with, 0 if none did.
func status(err error) int {
	if r := response(err); r != nil {
		return r.HTTPStatusCode()
	}
	return 0
}

// retryAfter is the pause that the store asks for, slowDown if it does not say.
func retryAfter(err error) time.Duration {
	if r := response(err); r != nil {
		if d := pipeline.ParseRetryAfter(r.Response.Header.Get("Retry-After"), time.Now()); d > 0 {
			return d
		}
	}
	return slowDown
}
