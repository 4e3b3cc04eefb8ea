// Package testenv gives tests the real servers they run against: shared ones,
// whose addresses are in the environment, and private ones that a test may
// kill, freeze and start again.
//
// A server that cannot be had skips the test and says how to get it. Where
// CI=true or SLUICE_TEST_REQUIRE=1 it fails the test instead, so that a build
// machine cannot pass by skipping.
package testenv

import (
	"os"
	"testing"

	"sluice/internal/testenv/launch"
)

// Redis returns host:port of the shared Redis. Other tests use it at the same
// time: use keys with a random prefix, or StartRedis where key names are fixed.
func Redis(t testing.TB) string {
	t.Helper()
	return address(t, launch.EnvRedis, "Redis")
}

// Mongo returns the connection string of the shared replica set. Other tests
// use it at the same time: use a database with a random name and drop it.
func Mongo(t testing.TB) string {
	t.Helper()
	return address(t, launch.EnvMongo, "MongoDB")
}

// OpenSearch returns the URL of the shared OpenSearch, without a slash at its
// end. Other tests use it at the same time: use a random index prefix.
func OpenSearch(t testing.TB) string {
	t.Helper()
	return address(t, launch.EnvOpenSearch, "OpenSearch")
}

// Kafka returns the brokers of the shared Kafka, comma-separated. Other tests
// use it at the same time: use a random topic prefix.
func Kafka(t testing.TB) string {
	t.Helper()
	return address(t, launch.EnvKafka, "Kafka")
}

func address(t testing.TB, env, what string) string {
	t.Helper()
	value := os.Getenv(env)
	if value == "" {
		Unavailable(t, "%s is not set, so there is no %s to test against; "+
			"run `make test`, or `make servers` and source what it prints", env, what)
	}
	return value
}

// Unavailable skips t, or fails it where servers are required. The message
// names what is missing and how to get it.
func Unavailable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv(launch.EnvRequire) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
