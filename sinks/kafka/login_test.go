package kafka

import (
	"testing"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
	"sluice/internal/testenv/launch"
)

// TestLogin: the right password is let in, a wrong one needs an operator.
func TestLogin(t *testing.T) {
	port, err := launch.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	testenv.StartKafka(t, launch.KafkaConfig{
		Listeners: []launch.KafkaListener{{Name: "LOGIN", Port: port, Protocol: "SASL_PLAINTEXT"}},
		Settings: []string{"sasl.enabled.mechanisms=PLAIN", "listener.name.login.sasl.enabled.mechanisms=PLAIN",
			"listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_jane=\"sesame\";"},
	})
	c := testConfig(t, bus127(port))
	c.SASL.Mechanism, c.SASL.Username, c.SASL.Password = "plain", "jane", "sesame"
	open(t, c)
	c.SASL.Password = "simsim"
	s := newSink(t, c)
	defer s.Close(t.Context())
	err = s.Open(t.Context())
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError {
		t.Errorf("a wrong password: %v", err)
	}
}
