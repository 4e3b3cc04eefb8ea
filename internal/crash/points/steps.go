package points

import "strings"

// durable are the calls that change what outlives the process: a store, Redis, the disk. Methods are written
// package.Type.Method, and those of embedded and pointer types by the type that declares them.
//
// Making a directory, an empty file or a temporary one is not among them: it holds nothing, every start finds or makes it,
// and what is written into it has a step of its own.
var durable = set(
	"os.Rename", "os.Link", "os.Symlink", "os.Remove", "os.RemoveAll", "os.WriteFile", "os.Truncate",
	"os.File.Write", "os.File.WriteString", "os.File.WriteAt", "os.File.Sync", "os.File.Truncate",

	// a statement in a transaction is as good as its commit
	"database/sql.Tx.Commit", "database/sql.DB.Exec", "database/sql.DB.ExecContext", "database/sql.Conn.ExecContext",

	"go.mongodb.org/mongo-driver/mongo.Collection.InsertOne", "go.mongodb.org/mongo-driver/mongo.Collection.InsertMany",
	"go.mongodb.org/mongo-driver/mongo.Collection.UpdateOne", "go.mongodb.org/mongo-driver/mongo.Collection.UpdateMany",
	"go.mongodb.org/mongo-driver/mongo.Collection.UpdateByID", "go.mongodb.org/mongo-driver/mongo.Collection.ReplaceOne",
	"go.mongodb.org/mongo-driver/mongo.Collection.DeleteOne", "go.mongodb.org/mongo-driver/mongo.Collection.DeleteMany",
	"go.mongodb.org/mongo-driver/mongo.Collection.FindOneAndUpdate", "go.mongodb.org/mongo-driver/mongo.Collection.FindOneAndReplace",
	"go.mongodb.org/mongo-driver/mongo.Collection.FindOneAndDelete", "go.mongodb.org/mongo-driver/mongo.Collection.BulkWrite",
	"go.mongodb.org/mongo-driver/mongo.Collection.Drop", "go.mongodb.org/mongo-driver/mongo.IndexView.CreateOne",
	"go.mongodb.org/mongo-driver/mongo.IndexView.CreateMany", "go.mongodb.org/mongo-driver/mongo.IndexView.DropOne",
	"go.mongodb.org/mongo-driver/mongo.IndexView.DropAll", "go.mongodb.org/mongo-driver/mongo.Database.RunCommand",
	"go.mongodb.org/mongo-driver/mongo.Database.CreateCollection", "go.mongodb.org/mongo-driver/mongo.Database.CreateView",
	"go.mongodb.org/mongo-driver/mongo.Database.Drop", "go.mongodb.org/mongo-driver/mongo.Session.WithTransaction",
	"go.mongodb.org/mongo-driver/mongo.Session.CommitTransaction",

	"github.com/aws/aws-sdk-go-v2/service/s3.Client.PutObject", "github.com/aws/aws-sdk-go-v2/service/s3.Client.CopyObject",
	"github.com/aws/aws-sdk-go-v2/service/s3.Client.DeleteObject", "github.com/aws/aws-sdk-go-v2/service/s3.Client.DeleteObjects",
	"github.com/aws/aws-sdk-go-v2/service/s3.Client.CompleteMultipartUpload",

	"github.com/segmentio/kafka-go.Writer.WriteMessages", "github.com/segmentio/kafka-go.Conn.WriteMessages",
	"github.com/segmentio/kafka-go.Client.Produce", "github.com/segmentio/kafka-go.Client.RawProduce",
	"github.com/segmentio/kafka-go.Client.OffsetCommit", "github.com/segmentio/kafka-go.Client.TxnOffsetCommit",
	"github.com/segmentio/kafka-go.Reader.CommitMessages", "github.com/segmentio/kafka-go.Generation.CommitOffsets",
	"github.com/segmentio/kafka-go.Client.CreateTopics", "github.com/segmentio/kafka-go.Conn.CreateTopics",

	// our own ways to stores, which the steps are named at the callers of
	"sluice/internal/archive.Store.PutIfAbsent", "sluice/internal/archive.Store.Delete",
	"sluice/sources/redislist.evaluator.eval", "sluice/sources/redislist.control.eval",
	"sluice/sinks/opensearch.client.do", "sluice/sinks/opensearch.client.doJSON", "sluice/sinks/opensearch.Admin.Call",
)

// builder is where commands to Redis are begun. reading are those that change nothing.
const builder = "github.com/redis/rueidis/internal/cmds.Builder"

var reading = set("Asking", "ClusterInfo", "ClusterSlots", "Ping", "Info", "Time", "Wait", "Pttl", "Ttl", "Type", "Exists", "Llen", "Lrange", "Strlen", "Hget", "Hgetall")

// asking are commands of MongoDB that change nothing.
var asking = set("hello", "ping", "buildInfo", "collStats", "dbStats", "connectionStatus", "usersInfo", "listIndexes", "replSetGetStatus")

// Exemption is a place whose durable calls need no points.
type Exemption struct {
	In   string // package, or package.function, or package.Type.method
	Call string // of durable; empty: all
	Why  string
}

// Exempt are the exceptions. One that nothing needs any more fails as a missing point does.
var Exempt = []Exemption{
	{"sluice/internal/testenv", "", "servers for tests"},
	{"sluice/internal/traffic", "", "a gateway's traffic, made up"},
	{"sluice/internal/model", "", "the model checker writes its report"},
	{"sluice/benchmarks", "", "benchmarks and the soak"},

	{"sluice/internal/archive/s3store.Store.PutIfAbsent", "", "points stand around the calls of archive.Store"},
	{"sluice/internal/archive/s3store.Store.Delete", "", "points stand around the calls of archive.Store"},
	{"sluice/sinks/opensearch.client.doJSON", "", "points stand around its calls"},
	{"sluice/sinks/opensearch.Admin.Call", "", "points stand around its calls"},

	{"sluice/sources/redislist.readList", "", "the script view reads"},
	{"sluice/retention/search.Store.organisations", "", "a search"},
	{"sluice/retention/search.Store.refresh", "", "it changes nothing but what searches see"},
	{"sluice/retention/search.Eraser.count", "", "a search"},
	{"sluice/cmd/sluice.replayer.copyInto", "os.RemoveAll", "a temporary directory"},

	{"sluice/retention/report.scratch", "", "a file that nobody reads before it has its name"},

	{"sluice/sinks/opensearch.Listing", "", "searches, and the refresh before them, of audit --deep"},

	{"sluice/sinks/mongoagg.RollUp.in", "", "within the transaction, which has points around it"},
	{"sluice/sinks/mongoagg.RollUp.add", "", "within the transaction, which has points around it"},

	{"sluice/internal/archive/dirstore.Open", "os.Remove", "temporary files, which no reader sees"},
	{"sluice/internal/archive/dirstore.Store.PutIfAbsent", "os.Remove", "the temporary file's other name"},
	{"sluice/internal/archive/dirstore.Store.write", "os.Remove", "the temporary file of a write that failed"},
	{"sluice/internal/archive.Gatherer.OpenStore", "", "temporary files, which the next start deletes"},
	{"sluice/internal/archive/dirstore.Store.scratchFile", "os.Remove", "the temporary file of a write that failed"},
	{"sluice/internal/archive.body.Link", "os.Link", "another name for a temporary file, in a place for such, which no reader sees"},
	{"sluice/internal/archive.rowsFile.append", "", "temporary files, which the next start deletes"},
	{"sluice/internal/archive.rowsFile.finish", "", "temporary files, which the next start deletes"},
	{"sluice/internal/archive/columnar.discard", "", "temporary files, which no reader sees"},
	{"sluice/internal/archive.discard", "", "temporary files, which the next start deletes"},
	{"sluice/internal/statedir.Dir.write", "os.Remove", "the temporary file of a write that failed"},
	{"sluice/sources/archive.Checkpoint.Save", "os.Remove", "the temporary file of a write that failed"},

	{"sluice/cmd/sluice.environment.tryAll", "os.RemoveAll", "a scratch directory of check --connect"},
	{"sluice/cmd/sluice.environment.demo", "os.RemoveAll", "the demo's own temporary directory"},
	{"sluice/cmd/sluice.tryState", "", "check --connect tries whether the directory can be written to"},
}

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// covers tells whether the exemption is about the call in that function.
func (x *Exemption) covers(in, call string) bool {
	if x.Call != "" && x.Call != call {
		return false
	}
	return in == x.In || strings.HasPrefix(in, x.In+".") || strings.HasPrefix(in, x.In+"/")
}
