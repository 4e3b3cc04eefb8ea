package testenv

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

// The administrator of a MongoUsers server.
const (
	mongoRoot     = "root"
	mongoPassword = "only-for-tests"
)

// MongoUsers is a private MongoDB that asks its clients who they are.
type MongoUsers struct {
	*MongoServer
	Admin *mongo.Client // may do all; it is disconnected with the test
}

// StartMongoUsers starts a private mongod with authorization, as StartMongo
// does, and makes its administrator.
func StartMongoUsers(t testing.TB) *MongoUsers {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("a2V5IG9mIGEgdGVzdA=="), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &MongoUsers{MongoServer: StartMongo(t, "--keyFile", key)}
	// Until there is a user, whoever comes from the same machine may make one.
	first := mongoConnect(t, s.URI)
	runAdmin(t, first, "admin", bson.D{{Key: "createUser", Value: mongoRoot}, {Key: "pwd", Value: mongoPassword}, {Key: "roles", Value: bson.A{"root"}}})
	s.Admin = mongoConnect(t, s.As(mongoRoot, "admin"))
	return s
}

// As returns the address for a user that AddUser made in a database.
func (s *MongoUsers) As(user, source string) string {
	return strings.Replace(s.URI, "mongodb://", "mongodb://"+user+":"+mongoPassword+"@", 1) + "&authSource=" + source
}

// AddUser makes a user in a database with the roles of createUser's command:
// names, or documents of role and database.
func (s *MongoUsers) AddUser(t testing.TB, database, user string, roles ...any) {
	t.Helper()
	runAdmin(t, s.Admin, database, bson.D{{Key: "createUser", Value: user}, {Key: "pwd", Value: mongoPassword}, {Key: "roles", Value: bson.A(roles)}})
}

// AddRole makes a role of a document such as createRole takes.
func (s *MongoUsers) AddRole(t testing.TB, database string, role bson.D) {
	t.Helper()
	runAdmin(t, s.Admin, database, role)
}

func runAdmin(t testing.TB, client *mongo.Client, database string, command bson.D) {
	t.Helper()
	if err := client.Database(database).RunCommand(t.Context(), command).Err(); err != nil {
		t.Fatalf("%s: %v", command[0].Key, err)
	}
}

func mongoConnect(t testing.TB, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(t.Context(), options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mongoDisconnect(t, client) })
	return client
}

func mongoDisconnect(t testing.TB, client *mongo.Client) {
	if err := client.Disconnect(context.Background()); err != nil {
		t.Errorf("disconnect: %v", err)
	}
}
