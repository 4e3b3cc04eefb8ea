package testenv

import (
	"testing"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// KafkaServer is a Kafka broker that belongs to one test.
type KafkaServer struct {
	Addr string // host:port, the same after Restart
	private
}

// StartKafka starts a private broker on a free port of 127.0.0.1 with an empty
// directory, and ends it with the test. It takes some seconds and half a
// gigabyte; use Kafka where a test does not harm the server.
func StartKafka(t testing.TB, c launch.KafkaConfig) *KafkaServer {
	t.Helper()
	java, jars, err := install.Kafka()
	if err != nil {
		Unavailable(t, "no private Kafka: %v", err)
	}
	server, err := launch.Kafka(t.Context(), java, jars, t.TempDir(), c)
	s := &KafkaServer{private: own(t, server, err)}
	s.Addr = server.Addr
	return s
}
