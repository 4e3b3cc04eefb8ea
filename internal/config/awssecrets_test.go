package config

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// awsServer answers like the two services' JSON protocols.
func awsServer(t *testing.T) *AWS {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		answer := func(status int, body string) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
		switch r.Header.Get("X-Amz-Target") {
		case "secretsmanager.GetSecretValue":
			switch in["SecretId"] {
			case "plain":
				answer(200, `{"SecretString":"s3cret"}`)
			case "json":
				answer(200, `{"SecretString":"{\"uri\":\"mongodb://x\",\"n\":1}"}`)
			case "binary":
				answer(200, `{"SecretBinary":"AAEC"}`)
			default:
				answer(400, `{"__type":"ResourceNotFoundException","message":"Secrets Manager can't find it."}`)
			}
		case "AmazonSSM.GetParameter":
			if in["Name"] != "/p" || in["WithDecryption"] != true {
				answer(400, `{"__type":"ParameterNotFound","message":"no"}`)
				return
			}
			answer(200, `{"Parameter":{"Value":"v4lue"}}`)
		default:
			answer(500, `{}`)
		}
	}))
	t.Cleanup(srv.Close)
	t.Setenv("AWS_CA_BUNDLE", "") // the machine's own settings are not what is tested
	return &AWS{Options: []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion("eu-west-1"), awsconfig.WithBaseEndpoint(srv.URL),
		awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AK", "SK", "")),
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}}
}

func TestAWS(t *testing.T) {
	a := awsServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, tt := range []struct{ scheme, name, want, err string }{
		{"aws-sm", "plain", "s3cret", ""},
		{"aws-sm", "json#uri", "mongodb://x", ""},
		{"aws-sm", "json#none", "", "the secret has no key none"},
		{"aws-sm", "json#n", "", "key n of the secret is not text"},
		{"aws-sm", "plain#x", "", "the secret is not a JSON object"},
		{"aws-sm", "binary", "", "the secret is binary, not text"},
		{"aws-sm", "none", "", "ResourceNotFoundException: Secrets Manager can't find it."},
		{"aws-ssm", "/p", "v4lue", ""},
		{"aws-ssm", "/q", "", "ParameterNotFound: no"},
		{"other", "x", "", "unknown scheme other"},
	} {
		got, err := a.Resolve(ctx, tt.scheme, tt.name)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s:%s: %q, %v", tt.scheme, tt.name, got, err)
		}
	}
}
