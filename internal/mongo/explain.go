package mongo

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/x/mongo/driver/topology"

	"sluice/internal/pipeline"
)

// explain adds the cure to an error of a connection attempt where the usual mistakes have one. It keeps the class.
func explain(ctx context.Context, uri string, err error) error {
	if cure := cureOf(ctx, uri, err); cure != "" {
		return fmt.Errorf("%w: %s", err, cure)
	}
	return err
}

func cureOf(ctx context.Context, uri string, err error) string {
	set := uriOptions(uri)
	if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
		return credentialsCure(uri, set)
	}
	lasts := lastErrors(err)
	for _, last := range lasts {
		if cure := transportCure(last, set); cure != "" {
			return cure
		}
	}
	var se topology.ServerSelectionError
	if errors.As(err, &se) {
		return setCure(ctx, uri, set)
	}
	return ""
}

// credentialsCure names the database that the server looked for the user in: MongoDB's answer does not.
func credentialsCure(uri string, set map[string]string) string {
	switch strings.ToUpper(set["authmechanism"]) {
	case "MONGODB-X509":
		return "the server does not know the subject of the client certificate: create that user in $external"
	case "MONGODB-AWS":
		return "the server does not know the IAM user or role: add its ARN to the database's users"
	}
	source := set["authsource"]
	if source == "" {
		source = defaultAuthSource(uri)
	}
	return fmt.Sprintf("check user and password; the user was looked for in database %q: if it was created in another one, "+
		"name that as authSource in the URI (most often authSource=admin)", source)
}

func defaultAuthSource(uri string) string {
	_, _, rest := split(uri)
	path, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "?")
	if path != "" {
		return path
	}
	return "admin"
}

// lastErrors are what the servers that could not be selected failed with, and the error itself.
func lastErrors(err error) []error {
	out := []error{err}
	var se topology.ServerSelectionError
	if errors.As(err, &se) {
		for _, s := range se.Desc.Servers {
			if s.LastError != nil {
				out = append(out, s.LastError)
			}
		}
	}
	return out
}

// transportCure knows what DNS, TCP and TLS fail with.
func transportCure(err error, set map[string]string) string {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
	)
	encrypted := set["tls"] == "true" || set["ssl"] == "true"
	switch text := err.Error(); {
	case errors.As(err, &authority):
		return "the server's certificate is not signed by an authority that is trusted here: name its file as tlsCAFile in the URI"
	case errors.As(err, &name):
		return "the server's certificate is for another name: use the name that it has"
	case errors.As(err, &dns):
		return "check the host name, and that it can be resolved here"
	case encrypted && strings.Contains(text, "first record does not look like a TLS handshake"):
		return "the server does not speak TLS: remove tls=true, or have it enabled there"
	case encrypted && hungUp(err):
		return "the server hangs up during the TLS handshake: if it does not speak TLS, remove tls=true from the URI"
	case hungUp(err):
		return "the server hangs up: if it wants TLS, add tls=true to the URI"
	case strings.Contains(text, "connection refused"):
		return "nothing listens there: check host and port, and that MongoDB runs"
	case strings.Contains(text, "i/o timeout"):
		return "no answer: check host, port, firewall or security group"
	}
	return ""
}

// hungUp tells whether the other side closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || strings.Contains(err.Error(), "unexpectedly closed") || strings.HasSuffix(err.Error(), "EOF")
}

// probeTimeout is what one question to one seed may take once the whole set could not be reached.
const probeTimeout = 2 * time.Second

// setCure asks the seeds themselves whether they are what the URI takes them for: a driver that looks for a replica set
// leaves out servers of another one without a word.
func setCure(ctx context.Context, uri string, set map[string]string) string {
	if strings.HasPrefix(uri, schemeSRV) {
		return "the cluster has no primary that can be reached: look at its state, and at the list of addresses it lets in"
	}
	for host := range strings.SplitSeq(authority(uri), ",") {
		hello, err := probe(ctx, uri, host)
		if err != nil {
			continue
		}
		if cure := roleCure(host, set["replicaset"], set["directconnection"] == "true", hello); cure != "" {
			return cure
		}
	}
	return ""
}

// roleCure compares what a server says of itself with the replica set that the URI wants.
func roleCure(host, want string, direct bool, hello *helloAnswer) string {
	switch {
	case hello.Set == "" && hello.Msg != "isdbgrid" && want != "":
		return fmt.Sprintf("%s is a single server, not a member of replica set %s: start it with --replSet and initiate it, or remove replicaSet from the URI", host, want)
	case hello.Msg == "isdbgrid" && want != "":
		return fmt.Sprintf("%s is a mongos, which belongs to no replica set: remove replicaSet from the URI", host)
	case want != "" && hello.Set != want:
		return fmt.Sprintf("%s is a member of replica set %s: write replicaSet=%s", host, hello.Set, hello.Set)
	case hello.Set != "" && !hello.Primary && direct:
		return fmt.Sprintf("%s is a secondary: name all members and replicaSet=%s instead of directConnection", host, hello.Set)
	case hello.Set != "":
		return fmt.Sprintf("%s answers, but its replica set %s has no primary that can be reached under the names that the set gives its members (%s)",
			host, hello.Set, strings.Join(hello.Hosts, ", "))
	}
	return ""
}

// helloAnswer is what a server says of its role.
type helloAnswer struct {
	Set     string   `bson:"setName"`
	Msg     string   `bson:"msg"` // isdbgrid: a mongos
	Primary bool     `bson:"isWritablePrimary"`
	Hosts   []string `bson:"hosts"`
}

// probe asks one server, with the URI's TLS settings and no credentials: hello needs none.
func probe(ctx context.Context, uri, host string) (*helloAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var tls []string
	for pair := range strings.SplitSeq(query(uri), "&") {
		if name := strings.ToLower(pair); strings.HasPrefix(name, "tls") || strings.HasPrefix(name, "ssl") {
			tls = append(tls, pair)
		}
	}
	o := options.Client().ApplyURI(schemePlain + host + "/?" + strings.Join(tls, "&")).SetDirect(true).SetServerSelectionTimeout(probeTimeout)
	client, err := driver.Connect(ctx, o)
	if err != nil {
		return nil, err
	}
	defer Disconnect(context.WithoutCancel(ctx), client)
	var out helloAnswer
	err = client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&out)
	return &out, err
}

func query(uri string) string {
	_, _, rest := split(uri)
	_, q, _ := strings.Cut(rest, "?")
	return q
}
