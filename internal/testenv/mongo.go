package testenv

import (
	"testing"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// MongoServer is a MongoDB that belongs to one test: a replica set of one
// member, whose TTL monitor is off.
type MongoServer struct {
	URI  string // mongodb://host:port/?replicaSet=rs0, the same after Restart
	Addr string // host:port
	private
}

// StartMongo starts a private mongod on a free port of 127.0.0.1 with an empty
// directory, and ends it with the test. Arguments are those of mongod. It takes
// some seconds; use Mongo where a test does not harm the server.
func StartMongo(t testing.TB, args ...string) *MongoServer {
	t.Helper()
	bin, err := install.Mongod()
	if err != nil {
		Unavailable(t, "no private MongoDB: %v", err)
	}
	server, err := launch.Mongo(t.Context(), bin, t.TempDir(), args...)
	s := &MongoServer{private: own(t, server, err)}
	s.Addr, s.URI = server.Addr, launch.MongoURI(server)
	return s
}
