package testenv

import (
	"testing"

	"github.com/segmentio/kafka-go"

	"sluice/internal/testenv/launch"
)

func kafkaClient(t *testing.T, addr string) *kafka.Client {
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
}

func makeTopic(t *testing.T, c *kafka.Client, name string) {
	t.Helper()
	res, err := c.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}})
	if err == nil {
		err = res.Errors[name]
	}
	if err != nil {
		t.Fatal(err)
	}
}

func lastOffset(t *testing.T, c *kafka.Client, topic string) int64 {
	t.Helper()
	res, err := c.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(0)}}})
	if err != nil || res.Topics[topic][0].Error != nil {
		t.Fatalf("offsets: %v, %+v", err, res)
	}
	return res.Topics[topic][0].LastOffset
}

func TestSharedKafkaAnswers(t *testing.T) {
	res, err := kafkaClient(t, Kafka(t)).Metadata(t.Context(), &kafka.MetadataRequest{})
	if err != nil || len(res.Brokers) == 0 {
		t.Fatalf("metadata: %v, %+v", err, res)
	}
}

func TestPrivateKafkaSurvivesKillWithItsData(t *testing.T) {
	server := StartKafka(t, launch.KafkaConfig{Settings: []string{"message.max.bytes=4096"}})
	c := kafkaClient(t, server.Addr)
	makeTopic(t, c, "kept")
	produce := func(size int) error {
		res, err := c.Produce(t.Context(), &kafka.ProduceRequest{Topic: "kept", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(make([]byte, size))})})
		if err == nil {
			err = res.Error
		}
		return err
	}
	if err := produce(10); err != nil {
		t.Fatal(err)
	}
	if err := produce(5000); err == nil {
		t.Error("the setting of the largest message does not count")
	}
	before := server.PID()
	server.Kill()
	server.Restart()
	if server.PID() == before {
		t.Fatal("the restarted Kafka has the process ID of the killed one")
	}
	if n := lastOffset(t, kafkaClient(t, server.Addr), "kept"); n != 1 {
		t.Fatalf("after kill and restart the topic ends at %d, want 1", n)
	}
}
