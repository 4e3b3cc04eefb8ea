package mongo

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/x/mongo/driver/dns"
)

// TestSRV resolves an Atlas address against a name server of the test's own: hosts, replica set and authentication
// database come from DNS, TLS is on, and what says when something counts stays ours.
func TestSRV(t *testing.T) {
	before := *dns.DefaultResolver
	t.Cleanup(func() { *dns.DefaultResolver = before })
	dns.DefaultResolver.LookupSRV = func(service, proto, name string) (string, []*net.SRV, error) {
		if service != "mongodb" || proto != "tcp" || name != "cluster0.abcde.mongodb.net" {
			return "", nil, errors.New("no such name: " + name)
		}
		return "", []*net.SRV{{Target: "shard-00.abcde.mongodb.net.", Port: 27017}, {Target: "shard-01.abcde.mongodb.net.", Port: 27018}}, nil
	}
	dns.DefaultResolver.LookupTXT = func(string) ([]string, error) {
		return []string{"authSource=admin&replicaSet=atlas-x-shard-0"}, nil
	}
	o := clientOptions("mongodb+srv://app:se%63ret@cluster0.abcde.mongodb.net/?retryWrites=true&w=majority", "test")
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(o.Hosts)
	if strings.Join(o.Hosts, " ") != "shard-00.abcde.mongodb.net:27017 shard-01.abcde.mongodb.net:27018" || *o.ReplicaSet != "atlas-x-shard-0" ||
		o.Auth.AuthSource != "admin" || o.TLSConfig == nil || o.TLSConfig.InsecureSkipVerify || o.WriteConcern.W != "majority" || *o.RetryWrites {
		t.Errorf("%v %v %+v", o.Hosts, o.ReplicaSet, o.Auth)
	}
	err := clientOptions("mongodb+srv://app:secret@other.abcde.mongodb.net/", "test").Validate()
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a name that is not there: %v", err)
	}
}
