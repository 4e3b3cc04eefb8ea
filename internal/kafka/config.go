// Package kafka is what the Kafka sink and the Kafka source share: how brokers are reached, what a message carries, the rule
// by which a consumer takes messages, and what errors ask for.
package kafka

import (
	"net"
	"strings"

	"sluice/internal/units"
)

// TLSConfig says how connections are encrypted. Certificates are always verified.
type TLSConfig struct {
	Enabled    bool   `yaml:"enabled" doc:"Encrypt the connections and verify the brokers' certificates."`
	CAFile     string `yaml:"ca_file" doc:"PEM file of the authorities to trust instead of the system's."`
	CertFile   string `yaml:"cert_file" doc:"PEM file of the client certificate, if the brokers ask for one."`
	KeyFile    string `yaml:"key_file" doc:"PEM file of the client certificate's key."`
	ServerName string `yaml:"server_name" doc:"Name that the brokers' certificates must bear, if it is not their address's host."`
}

// SASLConfig says how to log in.
type SASLConfig struct {
	Mechanism string `yaml:"mechanism" doc:"How to log in; empty for not at all. aws_msk_iam takes the AWS credentials of the process." enum:"|plain|scram-sha-256|scram-sha-512|aws_msk_iam"`
	Username  string `yaml:"username" doc:"User of plain and scram."`
	Password  string `yaml:"password" doc:"Password of plain and scram." secret:"true"`
	Region    string `yaml:"region" doc:"AWS region of an MSK cluster with aws_msk_iam; empty takes that of the environment."`
}

// Config is the way to a cluster.
type Config struct {
	Brokers []string
	TLS     TLSConfig
	SASL    SASLConfig
}

const (
	plain       = "plain"
	scramSHA256 = "scram-sha-256"
	scramSHA512 = "scram-sha-512"
	mskIAM      = "aws_msk_iam"
)

// Validate tells what is wrong with the way to the cluster, and with the topic's name.
func (c Config) Validate(topic string) (ps []units.Problem) {
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	if len(c.Brokers) == 0 {
		add("brokers", "is missing", "give one or more brokers as host:port; the others are found by them")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			add("brokers", "has "+b+", which is not host:port", "give the port too, as in broker-1:9092")
		}
	}
	switch {
	case topic == "":
		add("topic", "is missing", "name the topic, for example tyk-analytics")
	case !legalTopic(topic):
		add("topic", "is not a name that Kafka takes", "use letters, digits, '.', '_' and '-', 249 at most")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		add("tls.key_file", "goes together with cert_file", "give both or none")
	}
	if !c.TLS.Enabled && (c.TLS.CAFile != "" || c.TLS.CertFile != "" || c.TLS.ServerName != "") {
		add("tls.enabled", "is off while other keys of tls are set", "set it to true")
	}
	return append(ps, c.SASL.validate(c.TLS.Enabled)...)
}

func (s SASLConfig) validate(encrypted bool) (ps []units.Problem) {
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	switch s.Mechanism {
	case "":
		if s.Username != "" || s.Password != "" {
			add("sasl.mechanism", "is missing beside a user", "say plain, scram-sha-256 or scram-sha-512, as the brokers are set up")
		}
	case mskIAM:
		if !encrypted {
			add("tls.enabled", "is off, and aws_msk_iam needs TLS", "set it to true")
		}
	default:
		if s.Username == "" || s.Password == "" {
			add("sasl.username", "and sasl.password are needed for "+s.Mechanism, "give both")
		}
	}
	return ps
}

// legalTopic is Kafka's own rule.
func legalTopic(name string) bool {
	const legal = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return len(name) <= 249 && name != "." && name != ".." && strings.Trim(name, legal) == ""
}

// Target names the topic, so that two sinks on one topic can be refused.
func (c Config) Target(topic string) string {
	if len(c.Brokers) == 0 {
		return "kafka:/" + topic
	}
	return "kafka:" + c.Brokers[0] + "/" + topic
}
