package opensearch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/internal/pipeline"
)

// cause is an error as OpenSearch reports it, for a request or for one item of a bulk request.
type cause struct {
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	CausedBy *cause `json:"caused_by"`
}

// UnmarshalJSON also takes the plain string that proxies and old versions answer with.
func (c *cause) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &c.Reason)
	}
	type plain cause
	return json.Unmarshal(b, (*plain)(c))
}

// maxReason bounds what is kept of a server's reason, in bytes.
const maxReason = 500

// String is type and reason, and the innermost cause when it says more.
func (c *cause) String() string {
	if c == nil {
		return "no reason given"
	}
	s := strings.TrimPrefix(c.Type+": "+c.Reason, ": ")
	inner := c
	for depth := 0; inner.CausedBy != nil && depth < 10; depth++ {
		inner = inner.CausedBy
	}
	if inner != c && inner.Reason != "" {
		s += " (" + inner.Reason + ")"
	}
	return clip(s)
}

func clip(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason-3], "") + "..."
}

// mentions tells whether the error, or what caused it, has the text in its reason.
func (c *cause) mentions(text string) bool {
	for depth := 0; c != nil && depth < 10; depth++ {
		if strings.Contains(c.Reason, text) {
			return true
		}
		c = c.CausedBy
	}
	return false
}

// failure reads why a request failed, whatever the body is.
func (r response) failure() *cause {
	var body struct {
		Error   *cause `json:"error"`
		Message string `json:"message"` // of AWS, whose own spelling is Message: the decoder does not mind case
	}
	if err := json.Unmarshal(r.body, &body); err == nil && body.Error != nil {
		return body.Error
	} else if err == nil && body.Message != "" {
		return &cause{Reason: body.Message}
	}
	return &cause{Reason: "answer without a reason"}
}

// err is the request's failure as an error that is to be repeated, no earlier than the server says.
func (r response) err(what string) error {
	err := fmt.Errorf("%s: status %d: %s", what, r.status, r.failure())
	if r.denied() {
		err = fmt.Errorf("%w; see auth, and the rights of its user", err)
	}
	if wait := r.retryAfter(time.Now()); wait > 0 {
		return pipeline.RetryAfter(err, wait)
	}
	if blocked(r.status, r.failure()) {
		return pipeline.RetryAfter(err, blockedWait)
	}
	return err
}

// maxRetryAfter bounds what a server may ask for: a mistaken header must not stop a sink for a day.
const maxRetryAfter = 5 * time.Minute

// retryAfter is what the Retry-After header asks for, in seconds or as a date; 0 without one.
func (r response) retryAfter(now time.Time) time.Duration {
	value := strings.TrimSpace(r.header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}

// blockedWait is how long to wait when an index is read-only: somebody must make room or lift the block.
const blockedWait = 10 * time.Second

// blocked tells whether an index takes no writes: 403 where somebody made it read-only, 429 where the disk is full.
func blocked(status int, c *cause) bool {
	return (status == http.StatusForbidden || status == http.StatusTooManyRequests) && c != nil && c.Type == "cluster_block_exception"
}

// denied tells whether a request failed for lack of credentials or rights.
func (r response) denied() bool {
	return r.status == http.StatusUnauthorized || r.status == http.StatusForbidden && !blocked(r.status, r.failure())
}

// tooLargeOrBad tells whether a whole bulk request was refused for a reason that lies in it: 413, or 400 with an error
// of OpenSearch's own about what it read. Another 400 may as well come from a proxy and says nothing about records.
func (r response) tooLargeOrBad() bool {
	if r.status == http.StatusRequestEntityTooLarge {
		return true
	}
	if r.status != http.StatusBadRequest {
		return false
	}
	switch f := r.failure(); f.Type {
	case "illegal_argument_exception": // the cluster's setting about index names in bulk requests concerns every record
		return !f.mentions("explicit index")
	case "parse_exception", "parsing_exception", "x_content_parse_exception",
		"json_parse_exception", "json_e_o_f_exception", "mapper_parsing_exception", "action_request_validation_exception",
		"not_x_content_exception", "stream_constraints_exception":
		return true
	}
	return false
}
