package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"sluice/internal/awscreds"
)

// AWS resolves ${aws-sm:id} and ${aws-ssm:name} with the machine's default credentials and region. Behind a secret's
// ID, #key takes one key of a secret that is JSON. Nothing is loaded or connected before the first reference; it may be
// used concurrently.
type AWS struct {
	mu     sync.Mutex
	loaded bool
	cfg    aws.Config
	// Options are passed on to the SDK's configuration, for an endpoint or credentials of one's own.
	Options []func(*awsconfig.LoadOptions) error
}

// Resolve implements Resolver.
func (a *AWS) Resolve(ctx context.Context, scheme, name string) (string, error) {
	cfg, err := a.load(ctx)
	if err != nil {
		return "", fmt.Errorf("load the AWS configuration: %w", err)
	}
	switch scheme {
	case "aws-sm":
		return secret(ctx, cfg, name)
	case "aws-ssm":
		return parameter(ctx, cfg, name)
	}
	return "", fmt.Errorf("unknown scheme %s", scheme)
}

func (a *AWS) load(ctx context.Context) (aws.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loaded {
		return a.cfg, nil
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, a.Options...)
	if err != nil {
		return aws.Config{}, err
	}
	a.cfg, a.loaded = cfg, true
	return cfg, nil
}

func secret(ctx context.Context, cfg aws.Config, name string) (string, error) {
	id, key, asJSON := strings.Cut(name, "#")
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return "", brief(err)
	}
	if out.SecretString == nil {
		return "", errors.New("the secret is binary, not text")
	}
	if !asJSON {
		return *out.SecretString, nil
	}
	var values map[string]any
	if json.Unmarshal([]byte(*out.SecretString), &values) != nil {
		return "", errors.New("the secret is not a JSON object")
	}
	switch v := values[key].(type) {
	case string:
		return v, nil
	case nil:
		return "", fmt.Errorf("the secret has no key %s", key)
	default:
		return "", fmt.Errorf("key %s of the secret is not text", key)
	}
}

func parameter(ctx context.Context, cfg aws.Config, name string) (string, error) {
	out, err := ssm.NewFromConfig(cfg).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", brief(err)
	}
	if out.Parameter == nil || out.Parameter.Value == nil {
		return "", errors.New("the parameter has no value")
	}
	return *out.Parameter.Value, nil
}

// brief is a service's own code and message, without the SDK's layers around.
func brief(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return awscreds.Explain(err)
}
