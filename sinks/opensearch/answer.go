package opensearch

import (
	"encoding/json"
	"fmt"
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
	if r.answer().action == pipeline.RepeatSlow && r.answer().kind != "" {
		return pipeline.RetryAfter(err, blockedWait)
	}
	return err
}

// retryAfter is what the Retry-After header asks for; 0 without one.
func (r response) retryAfter(now time.Time) time.Duration {
	return pipeline.ParseRetryAfter(r.header.Get("Retry-After"), now)
}

// blockedWait is how long to wait when an index is read-only: somebody must make room or lift the block.
const blockedWait = 10 * time.Second

// answer is the row that says what is done about the request.
func (r response) answer() rule { return requestAnswers.find(r.status, r.failure()) }

// denied tells whether a request failed for lack of credentials or rights.
func (r response) denied() bool { return r.answer().action == pipeline.Operator }

// tooLargeOrBad tells whether a whole bulk request was refused for a reason that lies in it.
func (r response) tooLargeOrBad() bool { return r.answer().action == pipeline.Split }
