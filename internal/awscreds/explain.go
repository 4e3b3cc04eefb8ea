// Package awscreds says in words what to do about a process that has no AWS credentials or region. The SDK's own error
// tells of the last place where it looked, mostly a metadata service that is not there.
package awscreds

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	noCredentials = "no AWS credentials were found: give the machine, task or pod a role, set AWS_PROFILE, or AWS_ACCESS_KEY_ID and " +
		"AWS_SECRET_ACCESS_KEY, in the environment"
	noRegion = "no AWS region is set: set region, or AWS_REGION in the environment"
)

// explained reads as one sentence and unwraps to what the SDK said.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// Explain replaces the text of an error that says that credentials or a region are missing, with the cure in it; keys, if
// any, are the configuration's own keys for them. Any other error stays as it is.
func Explain(err error, keys ...string) error {
	if err == nil {
		return nil
	}
	var region *aws.MissingRegionError
	text := err.Error()
	switch {
	case errors.As(err, &region), strings.Contains(text, "Missing Region"), strings.Contains(text, "region must be set"):
		text = noRegion
	case strings.Contains(text, "failed to refresh cached credentials"), strings.Contains(text, "static credentials are empty"),
		strings.Contains(text, "no EC2 IMDS role found"), strings.Contains(text, "failed to retrieve credentials"):
		text = noCredentials
		if len(keys) > 0 {
			text += ", or set " + strings.Join(keys, " and ") + " here"
		}
		text += " (" + last(err) + ")"
	default:
		return err
	}
	return &explained{text, err}
}

// last is the innermost reason: what the last place said in which the SDK looked.
func last(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
