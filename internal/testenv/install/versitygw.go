package install

import (
	"context"
	"errors"
)

const (
	versitygwModule  = "github.com/versity/versitygw/cmd/versitygw"
	versitygwVersion = "v1.8.0"
)

// VersityGW returns the S3 gateway, building it into the cache if need be. The
// go command checks what it downloads against the checksum database.
func (in *Installer) VersityGW(ctx context.Context) (string, error) {
	if path, err := onPath("versitygw", "", "versitygw"); err == nil {
		return path, nil
	}
	path, err := in.cached(ctx, "versitygw", versitygwVersion, "versitygw",
		func(ctx context.Context, dir string) error {
			in.Progress("building VersityGW " + versitygwVersion + " (about a minute)")
			// GOFLAGS may hold flags that only make sense inside this module.
			return retry(ctx, []string{"GOBIN=" + dir, "GOFLAGS="}, "go", "install", versitygwModule+"@"+versitygwVersion)
		})
	if err != nil {
		return "", errors.Join(missing("VersityGW", "set SLUICE_TEST_S3"), err)
	}
	return path, nil
}
