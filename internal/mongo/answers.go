package mongo

import (
	"fmt"
	"maps"
	"slices"

	"sluice/internal/pipeline"
)

// answer is what is done about a code of the server: when a whole command fails with it, and when a single write of one
// does. Few codes speak of what a command carries: one that may as well mean a server that does not know an option must
// not turn all records into dead letters.
type answer struct {
	name           string
	command, write pipeline.Action
	why            string
}

const (
	passes   = "it may pass later, or on another member"
	rights   = "user, password or rights"
	noValue  = "the document cannot be stored as it is"
	tooLarge = "the document is too large"
)

// answers are the codes that are known (mongo/src/mongo/base/error_codes.yml).
var answers = map[int]answer{
	2:     {"BadValue", pipeline.Repeat, pipeline.DeadRecord, noValue},
	6:     {"HostUnreachable", pipeline.Repeat, pipeline.Repeat, passes},
	7:     {"HostNotFound", pipeline.Repeat, pipeline.Repeat, passes},
	9:     {"FailedToParse", pipeline.Repeat, pipeline.DeadRecord, noValue},
	11:    {"UserNotFound", pipeline.Operator, pipeline.Repeat, rights},
	13:    {"Unauthorized", pipeline.Operator, pipeline.Repeat, rights},
	14:    {"TypeMismatch", pipeline.Repeat, pipeline.DeadRecord, noValue},
	18:    {"AuthenticationFailed", pipeline.Operator, pipeline.Repeat, rights},
	22:    {"InvalidBSON", pipeline.Split, pipeline.DeadRecord, noValue},
	24:    {"LockTimeout", pipeline.Repeat, pipeline.Repeat, passes},
	28:    {"PathNotViable", pipeline.Repeat, pipeline.DeadRecord, noValue},
	46:    {"LockBusy", pipeline.Repeat, pipeline.Repeat, passes},
	50:    {"MaxTimeMSExpired", pipeline.Repeat, pipeline.Repeat, passes},
	52:    {"DollarPrefixedFieldName", pipeline.Repeat, pipeline.DeadRecord, noValue},
	56:    {"EmptyFieldName", pipeline.Repeat, pipeline.DeadRecord, noValue},
	57:    {"DottedFieldName", pipeline.Repeat, pipeline.DeadRecord, noValue},
	63:    {"StaleShardVersion", pipeline.Repeat, pipeline.Repeat, passes},
	73:    {"InvalidNamespace", pipeline.Split, pipeline.DeadRecord, "an organisation that makes no collection name"},
	89:    {"NetworkTimeout", pipeline.Repeat, pipeline.Repeat, passes},
	91:    {"ShutdownInProgress", pipeline.Repeat, pipeline.Repeat, passes},
	112:   {"WriteConflict", pipeline.Repeat, pipeline.Repeat, passes},
	121:   {"DocumentValidationFailure", pipeline.Repeat, pipeline.DeadRecord, "a validator that somebody gave the collection"},
	133:   {"FailedToSatisfyReadPreference", pipeline.Repeat, pipeline.Repeat, passes},
	150:   {"StaleEpoch", pipeline.Repeat, pipeline.Repeat, passes},
	171:   {"CannotIndexParallelArrays", pipeline.Repeat, pipeline.DeadRecord, "an index that somebody made"},
	189:   {"PrimarySteppedDown", pipeline.Repeat, pipeline.Repeat, passes},
	234:   {"StaleDbVersion", pipeline.Repeat, pipeline.Repeat, passes},
	262:   {"ExceededTimeLimit", pipeline.Repeat, pipeline.Repeat, passes},
	8000:  {"AtlasError", pipeline.Operator, pipeline.Repeat, "how Atlas reports wrong credentials"},
	9001:  {"SocketException", pipeline.Repeat, pipeline.Repeat, passes},
	10058: {"LegacyNotPrimary", pipeline.Repeat, pipeline.Repeat, passes},
	10107: {"NotWritablePrimary", pipeline.Repeat, pipeline.Repeat, passes},
	10334: {"BSONObjectTooLarge", pipeline.Split, pipeline.DeadRecord, tooLarge},
	11600: {"InterruptedAtShutdown", pipeline.Repeat, pipeline.Repeat, passes},
	11602: {"InterruptedDueToReplStateChange", pipeline.Repeat, pipeline.Repeat, passes},
	13388: {"StaleConfig", pipeline.Repeat, pipeline.Repeat, passes},
	13435: {"NotPrimaryNoSecondaryOk", pipeline.Repeat, pipeline.Repeat, passes},
	13436: {"NotPrimaryOrSecondary", pipeline.Repeat, pipeline.Repeat, passes},
	16755: {"(geo keys)", pipeline.Repeat, pipeline.DeadRecord, "an index that somebody made"},
	17280: {"KeyTooLong", pipeline.Split, pipeline.DeadRecord, "an index entry above 1 KiB, before 4.2"},
	17419: {"(after an update)", pipeline.Split, pipeline.DeadRecord, tooLarge},
	17420: {"(after an update)", pipeline.Split, pipeline.DeadRecord, tooLarge},
}

// Hopeless tells whether a write that failed with this code fails for ever.
func Hopeless(code int) bool { return answers[code].write == pipeline.DeadRecord }

// Passing tells whether a command that failed with this code is known to be one that may pass when it is repeated.
func Passing(code int) bool { return answers[code].why == passes }

// Answers are the rows of the documentation.
func Answers() (rows []pipeline.Answer) {
	for _, code := range slices.Sorted(maps.Keys(answers)) {
		a, text := answers[code], fmt.Sprintf("%d %s", code, answers[code].name)
		if a.command == a.write {
			rows = append(rows, pipeline.Answer{Of: "command or document", Answer: text, Action: a.command, Why: a.why})
			continue
		}
		rows = append(rows, pipeline.Answer{Of: "command", Answer: text, Action: a.command, Why: a.why},
			pipeline.Answer{Of: "document", Answer: text, Action: a.write, Why: a.why})
	}
	return rows
}
