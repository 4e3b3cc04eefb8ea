package mongo

import (
	"strings"
	"testing"
)

func TestValidateURI(t *testing.T) {
	for _, tt := range []struct {
		uri, want string // want: part of the problem, "" for none
	}{
		{"mongodb://127.0.0.1:27017/?replicaSet=rs0", ""},
		{"mongodb://a,b:1234,c/db?w=majority&journal=true", ""},
		{"mongodb://user:p%40ss@a/?authSource=admin&authMechanism=SCRAM-SHA-256", ""},
		{"mongodb+srv://user:secret@cluster0.example.net/?retryWrites=true&srvMaxHosts=3", ""},
		{"mongodb+srv://cluster0.example.net", ""},
		{"mongodb+srv://app:secret@cluster0.abcde.mongodb.net/?retryWrites=true&w=majority&appName=Cluster0", ""},
		{"mongodb+srv://cluster0.abcde.mongodb.net/?authSource=%24external&authMechanism=MONGODB-X509&tlsCertificateKeyFile=/etc/sluice/client.pem", ""},
		{"mongodb+srv://AKIA:secret@cluster0.abcde.mongodb.net/?authSource=%24external&authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:abc", ""},
		{"mongodb+srv://cluster0.abcde.mongodb.net/?authSource=%24external&authMechanism=MONGODB-AWS", ""},
		{"mongodb://u:secret@docdb.cluster-x.eu-west-1.docdb.amazonaws.com:27017/?tls=true&tlsCAFile=/etc/ssl/global-bundle.pem&replicaSet=rs0&readPreference=secondaryPreferred&retryWrites=false", ""},
		{"mongodb://u:secret@a/?authMechanism=MONGODB-AWS&authSource=app&authMechanismProperties=AWS_SESSION_TOKEN:cret", "cannot be read"},
		{"mongodb://a/?tlsCertificateKeyFile=/x&tlsCertificateKeyFilePassword=cret&connectTimeoutMS=-1", "cannot be read"},
		{"mongodb://a/?readConcernLevel=majority&wtimeoutMS=5000", ""},
		{"mongodb://a/?readConcernLevel=linearizable", ""},
		{"mongodb://a/?readConcernLevel=local", "asks for readConcernLevel=local"},
		{"mongodb://a/?readConcernLevel=available", "asks for readConcernLevel=available"},
		{"mongodb://a/?wtimeoutMS=0", "out of bounds"},
		{"mongodb://a/?wtimeoutMS=-5", "out of bounds"},
		{"mongodb://a/?wtimeoutMS=99999999999999999999", "out of bounds"},
		{"mongodb://u:secret@a/?authMechanism=KERBEROS5", "cannot be read"},
		{"mongodb://%2Ftmp%2Fmongodb-27017.sock/", ""},
		{"", "is missing"},
		{"redis://a", "is not a MongoDB URI"},
		{"mongodb://", "cannot be read"},
		{"mongodb://a/?w=1", "asks for w=1"},
		{"mongodb://a/?W=0", "asks for w=0"},
		{"mongodb://a/?w=rack", "asks for w=rack"},
		{"mongodb://a/?w=majority;w=1", "asks for w=1"},
		{"mongodb+srv://a.example.net/?w=2", "asks for w=2"},
		{"mongodb://a/?journal=false", "asks for journal=false"},
		{"mongodb://a/?maxPoolSize=many", "cannot be read"},
		{"mongodb://u:se/cret@a/", "unescaped"},
		{"mongodb://u:se@cret@a/", "unescaped"},
		{"mongodb://u:secret@a:99999/", "cannot be read"},
	} {
		got := ValidateURI("uri", tt.uri)
		if tt.want == "" {
			if len(got) != 0 {
				t.Errorf("ValidateURI(%q) = %v", tt.uri, got)
			}
			continue
		}
		if len(got) != 1 || !strings.Contains(got[0].What, tt.want) || got[0].Key != "uri" || got[0].Cure == "" {
			t.Errorf("ValidateURI(%q) = %+v, want a problem with %q", tt.uri, got, tt.want)
			continue
		}
		if strings.Contains(got[0].What+got[0].Cure, "cret") {
			t.Errorf("ValidateURI(%q) repeats the password: %q", tt.uri, got[0].What)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"mongodb://u:p@B:27017,a/?replicaSet=rs0", "mongodb://a,b/x?w=majority", "mongodb://a:27017,b:27017/db"},
		{"mongodb+srv://u:p@X.example.net/", "mongodb+srv://x.example.net", "mongodb://x.example.net/db"},
	} {
		if a, b := Target(tt.a, "db"), Target(tt.b, "db"); a != tt.want || b != tt.want {
			t.Errorf("Target = %q and %q, want %q", a, b, tt.want)
		}
	}
}

func FuzzValidateURI(f *testing.F) {
	f.Add("mongodb://user:secret@a,b/db?w=1&journal=false")
	f.Add("mongodb+srv://a.b.c/?srvServiceName=x")
	f.Fuzz(func(t *testing.T, uri string) {
		for _, p := range ValidateURI("uri", uri) {
			if p.Key != "uri" || p.What == "" || p.Cure == "" {
				t.Fatalf("incomplete problem %+v", p)
			}
		}
		Target(uri, "db")
	})
}
