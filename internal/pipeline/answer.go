package pipeline

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Action is what is done about an answer of a store. Sinks and sources keep tables of answers and actions, by which they
// decide and from which the documentation of errors is made.
type Action uint8

// The actions. The zero value is what happens to an answer that no table has: nothing is lost by repeating.
const (
	Repeat     Action = iota // again after a pause
	RepeatSlow               // again, no sooner than the store asks, else than the table's own pause
	Split                    // halve the batch until the culprit stands alone
	DeadRecord               // this record becomes a dead letter
	Operator                 // stops the start; repeated under way
	Done                     // it is there already
)

// String is the action as the documentation names it.
func (a Action) String() string {
	switch a {
	case RepeatSlow:
		return "repeat later"
	case Split:
		return "split"
	case DeadRecord:
		return "dead letter"
	case Operator:
		return "operator"
	case Done:
		return "delivered"
	default:
		return "repeat"
	}
}

// Mark classifies an error as the action asks; after is the pause of RepeatSlow.
func (a Action) Mark(err error, after time.Duration) error {
	switch a {
	case RepeatSlow:
		return RetryAfter(err, after)
	case Split, DeadRecord:
		return Permanent(err)
	case Operator:
		return Fatal(err)
	default:
		return err
	}
}

// Answer is a row of such a table, for the documentation.
type Answer struct {
	Of     string // what was asked: a command, an item of a request; empty where there is but one
	Answer string // code, status, name
	Action Action
	Why    string
}

// maxRetryAfter bounds what a server may ask for: a mistaken header must not stop a sink for a day.
const maxRetryAfter = 5 * time.Minute

// ParseRetryAfter reads a Retry-After header, in seconds or as a date, as a pause of at most five minutes; 0 without one,
// or where it makes no sense. Rule: RFC 9110, section 10.2.3.
func ParseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err != nil { // too many digits
			return maxRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}
