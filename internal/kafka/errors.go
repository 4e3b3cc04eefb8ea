package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/pipeline"
)

// operator are the answers of brokers that only an operator can cure, with the cure.
var operator = map[kgo.Error]string{
	kgo.TopicAuthorizationFailed:   "give the user the rights on the topic: Describe, DescribeConfigs, and Write to send or Read to receive",
	kgo.GroupAuthorizationFailed:   "give the user the right Read on the consumer group",
	kgo.ClusterAuthorizationFailed: "create the topic yourself, or give the user the right Create on the cluster",
	kgo.SASLAuthenticationFailed:   "see sasl.username and sasl.password",
	kgo.UnsupportedSASLMechanism:   "set sasl.mechanism to one that the brokers have enabled",
	kgo.IllegalSASLState:           "the listener behind this port wants another sasl.mechanism, or none",
	kgo.InvalidTopic:               "choose another topic name",
	kgo.PolicyViolation:            "create the topic yourself: a policy of the cluster refuses it",
	kgo.InvalidReplicationFactor:   "set replication to what the number of brokers allows",
}

// Classify tells what an error asks for: most come from a cluster in motion and pass, some need an operator. An unknown
// outcome (a cut connection, a timeout) is one to repeat: consumers drop what came twice.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	var code kgo.Error
	if errors.As(err, &code) {
		if cure, ok := operator[code]; ok {
			return pipeline.Fatal(fmt.Errorf("%w; %s", err, cure))
		}
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return pipeline.Fatal(fmt.Errorf("%w; see tls.ca_file and tls.server_name", err))
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return pipeline.Fatal(fmt.Errorf("%w; the listener does not speak TLS: set tls.enabled to false, or use its other port", err))
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w: a broker cannot be reached at the address that it advertises, or is down; see brokers, and advertised.listeners of the brokers", err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the broker hung up; if it always does, the listener behind this port wants other settings: see tls.enabled and sasl.mechanism", err)
	}
	return err
}
