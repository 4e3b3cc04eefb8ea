package redislist

import (
	"errors"
	"fmt"
	"strings"

	"sluice/internal/pipeline"
)

// misdirected is an answer that says that the configuration is wrong, of a Sentinel or to CLUSTER.
type misdirected struct {
	shown string   // in the documentation
	is    error    // told by this error of our own
	says  []string // or by one of these words
	right bool     // or as a right that is missing (see answers)
	text  string   // what to do: %[1]s is the address, %[2]s master_name, %[3]w the error
	why   string
}

// sentinelAnswers are what Sentinels say to who asks them for the primary. Anything else is repeated.
var sentinelAnswers = []misdirected{
	{shown: "an empty answer", is: errUnknownPrimary, text: "the Sentinel %[1]s knows no primary called %[2]q: see master_name", why: "no primary of that name; one Sentinel that knows it is enough"},
	{shown: `"unknown command"`, is: errNoSentinel, text: "%[1]s is no Sentinel: give the addresses of the Sentinels, or set mode to single for that of a Redis", why: "a Redis, not a Sentinel"},
	{shown: "NOAUTH", says: []string{"NOAUTH"}, text: "the Sentinel %[1]s asks for a password: set sentinel.password, and sentinel.username if it is not the default user's",
		why: "Sentinels have a login of their own"},
	{shown: `WRONGPASS, "without any password"`, says: []string{"WRONGPASS", "without any password"}, text: "the Sentinel %[1]s refuses sentinel.username and sentinel.password: %[3]w",
		why: "wrong user or password, or one where none is asked for"},
	{shown: "NOPERM", right: true, text: "the Sentinel %[1]s: %[3]w: add +sentinel|get-master-addr-by-name +sentinel|master to the ACL rules of sentinel.username", why: "a right is missing"},
}

// clusterAnswers are what nodes say to CLUSTER. Anything else is repeated.
var clusterAnswers = []misdirected{
	{shown: `"cluster support disabled"`, says: []string{"cluster support disabled"}, is: errNoCluster, text: "%[1]s: %[3]w: set mode to single, or to sentinel", why: "a Redis that runs by itself"},
	{shown: `"unknown command"`, says: []string{"unknown command"}, text: "%[1]s is no node of a Cluster (%[3]w): for a Sentinel set mode to sentinel", why: "a Sentinel"},
	{shown: "NOPERM", right: true, text: "CLUSTER is not allowed (%[3]w): add +cluster|slots +cluster|info +asking to the user's ACL rules", why: "a right is missing"},
}

// explain finds what an operator is to do about an error; what is not known is repeated, said with what was being done.
func explain(rows []misdirected, err error, doing, addr, name string) error {
	for _, r := range rows {
		if !r.fits(err) {
			continue
		}
		cause := err
		if r.is != nil {
			cause = r.is
		}
		return pipeline.Fatal(&explained{strings.NewReplacer("%[1]s", addr, "%[2]q", fmt.Sprintf("%q", name), "%[3]w", cause.Error()).Replace(r.text), cause})
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (r *misdirected) fits(err error) bool {
	if r.is != nil && errors.Is(err, r.is) || r.right && denied(err.Error()) {
		return true
	}
	for _, words := range r.says {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// explained is an error in words of our own.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// SentinelAnswers are rows of the documentation: what Sentinels say to who asks for the primary.
func SentinelAnswers() []pipeline.Answer { return documented(sentinelAnswers) }

// ClusterAnswers are those to CLUSTER; scripts that a Cluster refuses are among Answers.
func ClusterAnswers() []pipeline.Answer { return documented(clusterAnswers) }

func documented(rows []misdirected) (out []pipeline.Answer) {
	for _, r := range rows {
		out = append(out, pipeline.Answer{Answer: r.shown, Action: pipeline.Operator, Why: r.why})
	}
	return out
}
