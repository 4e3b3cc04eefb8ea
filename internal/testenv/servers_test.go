package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func mongoClient(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(t.Context(), options.Client().ApplyURI(uri).SetServerSelectionTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Disconnect(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return client
}

// TestSharedMongoIsAsTestsNeedIt holds what the tests of the sinks rely on:
// transactions, and no expiry behind their back.
func TestSharedMongoIsAsTestsNeedIt(t *testing.T) {
	client := mongoClient(t, Mongo(t))
	var param struct {
		TTL bool `bson:"ttlMonitorEnabled"`
	}
	get := bson.D{{Key: "getParameter", Value: 1}, {Key: "ttlMonitorEnabled", Value: 1}}
	if err := client.Database("admin").RunCommand(t.Context(), get).Decode(&param); err != nil {
		t.Fatal(err)
	}
	if param.TTL {
		t.Error("the TTL monitor runs: documents with dates in the past vanish")
	}
	db := client.Database("testenv_transactions")
	t.Cleanup(func() {
		if err := db.Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	err := client.UseSession(t.Context(), func(ctx mongo.SessionContext) error {
		_, err := ctx.WithTransaction(ctx, func(ctx mongo.SessionContext) (any, error) {
			return db.Collection("c").InsertOne(ctx, bson.D{{Key: "a", Value: 1}})
		})
		return err
	})
	if err != nil {
		t.Errorf("transaction: %v", err)
	}
}

func TestPrivateMongoSurvivesKillWithItsData(t *testing.T) {
	server := StartMongo(t)
	docs := mongoClient(t, server.URI).Database("d").Collection("c")
	if _, err := docs.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	before := server.PID()
	server.Kill()
	server.Restart()
	if server.PID() == before {
		t.Fatal("the restarted MongoDB has the process ID of the killed one")
	}
	if n, err := docs.CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Fatalf("after kill and restart: %d documents, %v; want 1", n, err)
	}
}

func TestSharedOpenSearchAnswers(t *testing.T) {
	url := OpenSearch(t)
	if strings.HasSuffix(url, "/") {
		t.Errorf("%q ends with a slash", url)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	var info struct {
		Version struct{ Number string }
	}
	if err := json.Unmarshal(body, &info); err != nil || info.Version.Number == "" {
		t.Fatalf("no version in %s (%v)", body, err)
	}
}

// TestSharedS3RefusesToOverwrite holds that the endpoint honours the condition
// on which archive objects are written once.
func TestSharedS3RefusesToOverwrite(t *testing.T) {
	b := S3(t)
	client := b.Client()
	put := func() error {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(b.Bucket), Key: aws.String("a/b"),
			Body: bytes.NewReader([]byte("x")), IfNoneMatch: aws.String("*"),
		})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if err := put(); err == nil || !strings.Contains(err.Error(), "412") {
		t.Fatalf("second write: %v, want 412", err)
	}
}

func TestChromiumIsThere(t *testing.T) {
	p := Start(t, Chromium(t), []string{"--version"}, nil)
	if code := p.Wait(); code != 0 || p.Stdout() == "" {
		t.Fatalf("exit code %d, version %q", code, p.Stdout())
	}
}
