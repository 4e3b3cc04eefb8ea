package redislist

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"sluice/internal/awscreds"
)

// A token is good for logging in during 15 minutes (ElastiCache user guide, "Authenticating with IAM"); it is made
// anew well before. A connection stays good for 12 hours, is then cut by the service, and is made again like any other.
const (
	tokenLife  = 15 * time.Minute
	tokenRenew = 10 * time.Minute
)

// iamToken makes ElastiCache IAM tokens. It is safe for concurrent use.
type iamToken struct {
	cfg   IAMConfig
	load  func(context.Context) (aws.Config, error)
	clock func() time.Time

	mu    sync.Mutex
	token string
	made  time.Time
}

func newIAMToken(cfg IAMConfig) *iamToken {
	return &iamToken{cfg: cfg, clock: time.Now, load: func(ctx context.Context) (aws.Config, error) {
		return config.LoadDefaultConfig(ctx)
	}}
}

// get returns a token that is good for at least five minutes.
func (t *iamToken) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	if t.token != "" && now.Sub(t.made) < tokenRenew {
		return t.token, nil
	}
	token, err := t.sign(ctx, now)
	if err != nil {
		return "", fmt.Errorf("make an IAM token for cache %s: %w", t.cfg.CacheName, err)
	}
	t.token, t.made = token, now
	return token, nil
}

// sign writes the token: a presigned request URL without its scheme.
func (t *iamToken) sign(ctx context.Context, now time.Time) (string, error) {
	c, err := t.load(ctx)
	if err != nil {
		return "", err
	}
	creds, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		return "", awscreds.Explain(err)
	}
	q := url.Values{
		"Action":        {"connect"},
		"User":          {t.cfg.User},
		"X-Amz-Expires": {fmt.Sprint(int(tokenLife.Seconds()))},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.cfg.CacheName+"/?"+q.Encode(), nil)
	if err != nil {
		return "", err
	}
	empty := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, r, hex.EncodeToString(empty[:]), "elasticache", c.Region, now.UTC())
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(signed, "http://"), nil
}
