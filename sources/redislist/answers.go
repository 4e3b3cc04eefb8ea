package redislist

import (
	"strings"

	"sluice/internal/pipeline"
)

// answer is what is done about an error of the server, told by the code that it begins with.
type answer struct {
	code   string
	says   string          // told by these words in place of a code
	action pipeline.Action // Operator where a connection or a right is asked for
	breaks bool            // the connection is given up: nothing that was remembered of this server counts any more
	cure   string          // beside the server's own words
	text   string          // in place of the server's own words
	why    string
}

// answers are the errors that are known (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors). Any
// other one, and every failure of the network, is repeated.
var answers = []answer{
	{code: "NOAUTH", action: pipeline.Operator, breaks: true, why: "a password is asked for; under way it was changed: tried again with the one that is configured",
		text: "it asks for a password: set password, and username if it is not the default user's"}, // its own text is about HELLO
	{code: "WRONGPASS", action: pipeline.Operator, cure: "see username and password, or iam", why: "wrong user or password"},
	{code: "NOPERM", action: pipeline.Operator, cure: "the rights that are needed are in deploy/redis", why: "a right is missing"},
	{says: "can't run this command", action: pipeline.Operator, cure: "the rights that are needed are in deploy/redis", why: "a right is missing, inside of a script"},
	{says: "has no permissions", action: pipeline.Operator, cure: "the rights that are needed are in deploy/redis", why: "a right is missing, older servers"},
	{code: "READONLY", breaks: true, why: "a primary that became a replica"},
	{code: "LOADING", breaks: true, why: "the server starts"},
	{code: "MASTERDOWN", breaks: true, why: "a replica without its primary"},
	{code: "MOVED", breaks: true, why: "a Cluster has another node for the list"},
	{says: "SELECT is not allowed in cluster mode", action: pipeline.Operator, text: "it runs as a Cluster, which has database 0 alone: set mode to cluster and db to 0",
		why: "db is another than 0"},
	{code: "ASK", why: "a slot is on its way: the list is shielded where it is"},
	{code: "CLUSTERDOWN", why: "a Cluster that misses slots"},
	{code: "TRYAGAIN", why: "a slot is on its way: its list is not claimed meanwhile"},
	{code: "NOSCRIPT", why: "scripts were flushed: sent again with its text"},
	{code: "BUSY", why: "a script of somebody else runs"},
	{code: "OOM", why: "the server is full; what Sluice needs to drain it begins with writes that it allows"},
	{code: "MISCONF", why: "the server cannot save to its disk"},
	{code: "NOREPLICAS", why: "too few replicas for min-replicas-to-write"},
	{code: "WRONGTYPE", why: "a key of another kind in a list's place; it is named"},
}

// answerTo finds the row of an error's text; none is the zero row: repeat.
func answerTo(text string) answer {
	for _, a := range answers {
		if a.says != "" && strings.Contains(text, a.says) || a.code != "" && hasCode(text, a.code) {
			return a
		}
	}
	return answer{}
}

// hasCode tells whether a text has an error code as a word of its own, as the server writes it first, or a client or a
// script after other words.
func hasCode(text, code string) bool {
	for rest := text; ; {
		i := strings.Index(rest, code)
		if i < 0 {
			return false
		}
		end := i + len(code)
		if (i == 0 || strings.IndexByte(" -:(", rest[i-1]) >= 0) && (end == len(rest) || rest[end] == ' ') {
			return true
		}
		rest = rest[end:]
	}
}

// breaking are the codes after which a connection is given up.
func breaking() (codes []string) {
	for _, a := range answers {
		if a.breaks {
			codes = append(codes, a.code)
		}
	}
	return codes
}

// Answers are the rows of the documentation.
func Answers() (rows []pipeline.Answer) {
	for _, a := range answers {
		text := a.code
		if text == "" {
			text = "\"" + a.says + "\""
		}
		why := a.why
		if a.breaks {
			why += " (connects anew)"
		}
		rows = append(rows, pipeline.Answer{Answer: text, Action: a.action, Why: why})
	}
	return rows
}
