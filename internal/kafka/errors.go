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

// answer is what is done about an error of a broker.
type answer struct {
	code   kgo.Error
	action pipeline.Action
	cure   string // beside the broker's own words
	why    string
}

// answers are the errors of brokers that are known (https://kafka.apache.org/protocol, error codes). Any other one, and every failure of
// the network, is repeated.
var answers = []answer{
	{kgo.TopicAuthorizationFailed, pipeline.Operator, "give the user the rights on the topic: Describe, DescribeConfigs, and Write to send or Read to receive", "a right on the topic is missing"},
	{kgo.GroupAuthorizationFailed, pipeline.Operator, "give the user the right Read on the consumer group", "a right on the group is missing"},
	{kgo.ClusterAuthorizationFailed, pipeline.Operator, "create the topic yourself, or give the user the right Create on the cluster", "the topic may not be made"},
	{kgo.SASLAuthenticationFailed, pipeline.Operator, "see sasl.username and sasl.password", "wrong user or password"},
	{kgo.UnsupportedSASLMechanism, pipeline.Operator, "set sasl.mechanism to one that the brokers have enabled", "another sasl.mechanism"},
	{kgo.IllegalSASLState, pipeline.Operator, "the listener behind this port wants another sasl.mechanism, or none", "a listener with another login"},
	{kgo.InvalidTopic, pipeline.Operator, "choose another topic name", "no topic has such a name"},
	{kgo.PolicyViolation, pipeline.Operator, "create the topic yourself: a policy of the cluster refuses it", "a policy refuses the topic"},
	{kgo.InvalidReplicationFactor, pipeline.Operator, "set replication to what the number of brokers allows", "fewer brokers than replication"},
	{kgo.MessageSizeTooLarge, pipeline.Split, "", "beyond the topic's max.message.bytes; a message that stands alone is a dead letter"},
	{kgo.RecordListTooLarge, pipeline.Split, "", "beyond the topic's segment.bytes"},
	{kgo.NotLeaderForPartition, pipeline.Repeat, "", "a partition has another leader: asked again who it is"},
	{kgo.LeaderNotAvailable, pipeline.Repeat, "", "a leader is being elected"},
	{kgo.UnknownTopicOrPartition, pipeline.Repeat, "", "a topic that is being made"},
	{kgo.RequestTimedOut, pipeline.Repeat, "", "replicas did not confirm in time; the outcome is unknown, consumers drop what came twice"},
	{kgo.NotEnoughReplicas, pipeline.Repeat, "", "too few in-sync replicas for min.insync.replicas"},
	{kgo.NotEnoughReplicasAfterAppend, pipeline.Repeat, "", "so, after it was written: the outcome is unknown"},
	{kgo.GroupCoordinatorNotAvailable, pipeline.Repeat, "", "the group's broker moves"},
	{kgo.NotCoordinatorForGroup, pipeline.Repeat, "", "the group has another broker"},
	{kgo.IllegalGeneration, pipeline.Repeat, "", "the group was dealt out anew: joined again, state read again"},
	{kgo.UnknownMemberId, pipeline.Repeat, "", "the group forgot this member: joined again, state read again"},
	{kgo.RebalanceInProgress, pipeline.Repeat, "", "the group is being dealt out"},
}

// Splits tells whether the topic takes no message, or list of messages, of such a size.
func Splits(err error) bool {
	a, ok := answerTo(err)
	return ok && a.action == pipeline.Split
}

func answerTo(err error) (answer, bool) {
	var code kgo.Error
	if errors.As(err, &code) {
		for _, a := range answers {
			if a.code == code {
				return a, true
			}
		}
	}
	return answer{}, false
}

// Answers are the rows of the documentation.
func Answers() (rows []pipeline.Answer) {
	for _, a := range answers {
		rows = append(rows, pipeline.Answer{Answer: fmt.Sprintf("%d %s", int(a.code), a.code.Title()), Action: a.action, Why: a.why})
	}
	return append(rows,
		pipeline.Answer{Answer: "a certificate that does not verify", Action: pipeline.Operator, Why: "see tls.ca_file and tls.server_name"},
		pipeline.Answer{Answer: "a listener that does not speak TLS", Action: pipeline.Operator, Why: "tls.enabled, or the other port"})
}

// Classify tells what an error asks for: most come from a cluster in motion and pass, some need an operator. An unknown
// outcome (a cut connection, a timeout) is one to repeat: consumers drop what came twice.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	if a, ok := answerTo(err); ok && a.action == pipeline.Operator {
		return a.action.Mark(fmt.Errorf("%w; %s", err, a.cure), 0)
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
