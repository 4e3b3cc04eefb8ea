package mongo

import (
	"context"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/mongo/readconcern"
	"go.mongodb.org/mongo-driver/mongo/readpref"
	"go.uber.org/goleak"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConnectNamesTheCure makes each usual mistake and looks for what to do about it.
func TestConnectNamesTheCure(t *testing.T) {
	shared := testenv.Mongo(t)
	host := authority(shared)
	quick := "&serverSelectionTimeoutMS=700&connectTimeoutMS=700"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		uri, want string
		fatal     bool
	}{
		"another set":       {"mongodb://" + host + "/?replicaSet=other" + quick, "write replicaSet=rs0", false},
		"nothing listens":   {"mongodb://" + nobody + "/?replicaSet=rs0" + quick, "nothing listens there", false},
		"tls where none is": {shared + "&tls=true" + quick, "remove tls=true", false},
		"no such host":      {"mongodb://mongo.invalid/?x=y" + quick, "check the host name", false},
		"wrong password":    {strings.Replace(shared, "mongodb://", "mongodb://me:se%63ret@", 1) + "&authSource=app" + quick, `looked for in database "app"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := Connect(t.Context(), tt.uri, "test")
			Disconnect(context.Background(), client)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want it to say %q", err, tt.want)
			}
			if class, _ := pipeline.Classify(err); (class == pipeline.FatalError) != tt.fatal {
				t.Errorf("class %d: %v", class, err)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "se%63ret") {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

// TestSingleServerIsNoSet asks a server without replica set for one.
func TestSingleServerIsNoSet(t *testing.T) {
	hello := &helloAnswer{}
	if got := roleCure("h:1", "rs0", false, hello); !strings.Contains(got, "start it with --replSet") {
		t.Errorf("a single server: %q", got)
	}
	hello.Msg = "isdbgrid"
	if got := roleCure("h:1", "rs0", false, hello); !strings.Contains(got, "mongos") {
		t.Errorf("a mongos: %q", got)
	}
	hello = &helloAnswer{Set: "rs0", Hosts: []string{"inner:1"}}
	if got := roleCure("h:1", "rs0", true, hello); !strings.Contains(got, "secondary") {
		t.Errorf("a secondary: %q", got)
	}
	if got := roleCure("h:1", "rs0", false, hello); !strings.Contains(got, "inner:1") {
		t.Errorf("members under other names: %q", got)
	}
}

func TestTransportCures(t *testing.T) {
	for _, tt := range []struct {
		err  error
		tls  string
		want string
	}{
		{x509.UnknownAuthorityError{}, "true", "tlsCAFile"},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, "true", "another name"},
		{errText("connection(h:1) socket was unexpectedly closed: EOF"), "", "tls=true"},
		{errText("dial tcp: i/o timeout"), "", "security group"},
	} {
		if got := transportCure(tt.err, map[string]string{"tls": tt.tls}); !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

type errText string

func (e errText) Error() string { return string(e) }

// TestClientOptions: what says when something counts is ours, whatever a URI says; the rest is the URI's.
func TestClientOptions(t *testing.T) {
	o := clientOptions("mongodb://a,b/?replicaSet=rs0&readPreference=secondaryPreferred&retryWrites=true&w=majority&maxPoolSize=7", "me")
	if o.WriteConcern.W != "majority" || o.WriteConcern.WTimeout != WriteTimeout || o.ReadConcern.Level != readconcern.Majority().Level ||
		o.ReadPreference.Mode() != readpref.PrimaryMode || *o.RetryWrites || *o.MaxPoolSize != 7 || o.Validate() != nil {
		t.Errorf("%+v", o)
	}
	o = clientOptions("mongodb://a/?readConcernLevel=linearizable&wtimeoutMS=5000&appName=x", "me")
	if o.WriteConcern.W != "majority" || o.WriteConcern.WTimeout != 5*time.Second || o.ReadConcern.Level != "linearizable" || *o.AppName != "x" {
		t.Errorf("%+v", o)
	}
}
