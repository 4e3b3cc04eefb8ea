package s3store

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
)

// slowDown is how long a store that asks for less load is left alone if it does not say how long.
const slowDown = time.Second

// operatorMust are the errors that only another configuration or other rights cure.
// Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
var operatorMust = map[string]bool{
	"AccessDenied": true, "AccountProblem": true, "AllAccessDisabled": true, "AuthorizationHeaderMalformed": true,
	"IllegalLocationConstraintException": true, "InvalidAccessKeyId": true, "InvalidBucketName": true,
	"InvalidStorageClass": true, "KMS.NotFoundException": true, "NoSuchBucket": true, "NotImplemented": true,
	"PermanentRedirect": true, "SignatureDoesNotMatch": true,
}

// passing are errors that come as 403 but go by themselves.
var passing = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true, "RequestTimeTooSkewed": true,
	"TokenRefreshRequired": true,
}

// classify says what an error of the SDK asks for. What is not known is repeated.
func classify(err error) error {
	code := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch s := status(err); {
	case passing[code]:
		return err
	case operatorMust[code], s == http.StatusForbidden:
		return pipeline.Fatal(err)
	case s == http.StatusNotFound:
		return fmt.Errorf("%w: %w", archive.ErrNotFound, err)
	case s == http.StatusServiceUnavailable, s == http.StatusTooManyRequests, code == "SlowDown":
		return pipeline.RetryAfter(err, retryAfter(err))
	}
	return err
}

// cures are what an operator may do about an error.
var cures = map[string]string{
	"NoSuchBucket":                       "make the bucket, or see bucket, region and endpoint",
	"InvalidBucketName":                  "see bucket",
	"AccessDenied":                       "the rights that are needed are in deploy/aws",
	"AllAccessDisabled":                  "the rights that are needed are in deploy/aws",
	"InvalidAccessKeyId":                 "see the credentials: access_key and secret_key, or those of AWS's default chain",
	"SignatureDoesNotMatch":              "see the credentials: access_key and secret_key, or those of AWS's default chain",
	"AuthorizationHeaderMalformed":       "see region",
	"IllegalLocationConstraintException": "see region",
	"PermanentRedirect":                  "see region and endpoint",
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
		return err
	}
	text := api.ErrorCode() + ": " + api.ErrorMessage()
	var r interface{ ServiceRequestID() string }
	if errors.As(err, &r) && r.ServiceRequestID() != "" {
		text += " (request " + r.ServiceRequestID() + ")"
	}
	if cure := cures[api.ErrorCode()]; cure != "" {
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

func retryAfter(err error) time.Duration {
	if r := response(err); r != nil {
		if s, err := strconv.Atoi(r.Response.Header.Get("Retry-After")); err == nil && s > 0 && s < 3600 {
			return time.Duration(s) * time.Second
		}
	}
	return slowDown
}
