package launch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// kafkaHeap is enough for tests, and little enough to run beside the other
// servers on a small machine.
const kafkaHeap = "512m"

// KafkaConfig is what a test wants of its broker beyond a plain one.
type KafkaConfig struct {
	Listeners []KafkaListener // beside the plain one
	Settings  []string        // key=value, as in server.properties; they win
}

// KafkaListener is a further way to the broker.
type KafkaListener struct {
	Name       string // upper case
	Port       int    // of 127.0.0.1
	Advertised string // host:port that clients are sent to; empty: the port itself
	Protocol   string // PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
}

// Kafka starts a single broker, which is its own controller, with its data in
// dir, from the jars in the directory jars. It creates no topics by itself.
func Kafka(ctx context.Context, java, jars, dir string, c KafkaConfig) (*Server, error) {
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte(kafkaProperties(dir)), 0o600); err != nil {
		return nil, fmt.Errorf("write the settings of Kafka: %w", err)
	}
	program := func(main string, args ...string) Command {
		front := []string{"-Xms64m", "-Xmx" + kafkaHeap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-cp", filepath.Join(jars, "*"), main}
		return Command{Path: java, Dir: dir, Args: append(front, args...)}
	}
	if err := formatKafka(ctx, program("kafka.tools.StorageTool", "format", "-t", kafkaCluster, "-c", file)); err != nil {
		return nil, err
	}
	controllers := map[int]int{} // by port: a restart keeps them
	command := func(port int) Command {
		controller, ok := controllers[port]
		if !ok {
			controller, _ = FreePort() // 0 fails the start, which says so
			controllers[port] = controller
		}
		args := []string{file}
		for _, s := range append(kafkaListeners(port, controller, c.Listeners), c.Settings...) {
			args = append(args, "--override", s)
		}
		return program("kafka.Kafka", args...)
	}
	ready := func(_ context.Context, s *Server) error {
		if s.Log.Contains("Kafka Server started") {
			return nil
		}
		return errNotReady
	}
	return startServer(ctx, command, ready)
}

// kafkaCluster is the ID that every broker started here formats its data with.
const kafkaCluster = "c2x1aWNlLXRlc3QtMTIzNA"

func kafkaProperties(dir string) string {
	return strings.Join([]string{
		"process.roles=broker,controller", "node.id=1", "controller.listener.names=CONTROLLER",
		"controller.quorum.voters=1@127.0.0.1:9093", "listeners=PLAIN://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
		"listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT", "inter.broker.listener.name=PLAIN",
		"log.dirs=" + filepath.Join(dir, "data"), "auto.create.topics.enable=false",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=4", "transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1", "share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1", "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000",
		"num.network.threads=2", "num.io.threads=4", "log.cleaner.dedupe.buffer.size=16777216",
		"log.cleaner.io.buffer.size=524288", "", // 128 MiB by default
	}, "\n")
}

func kafkaListeners(port, controller int, more []KafkaListener) []string {
	listeners := []string{"PLAIN://127.0.0.1:" + strconv.Itoa(port), "CONTROLLER://127.0.0.1:" + strconv.Itoa(controller)}
	advertised := []string{listeners[0]}
	protocols := []string{"PLAIN:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	for _, l := range more {
		at := "127.0.0.1:" + strconv.Itoa(l.Port)
		listeners = append(listeners, l.Name+"://"+at)
		if l.Advertised != "" {
			at = l.Advertised
		}
		advertised = append(advertised, l.Name+"://"+at)
		protocols = append(protocols, l.Name+":"+l.Protocol)
	}
	return []string{
		"listeners=" + strings.Join(listeners, ","), "advertised.listeners=" + strings.Join(advertised, ","),
		"listener.security.protocol.map=" + strings.Join(protocols, ","),
		"controller.quorum.voters=1@127.0.0.1:" + strconv.Itoa(controller),
	}
}

// formatKafka makes the data directory, once.
func formatKafka(ctx context.Context, c Command) error {
	log := &Log{Limit: logLimit}
	c.Stdout, c.Stderr = log, log
	p, err := Start(c)
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return fmt.Errorf("format Kafka's data: %w\n%s", err, log.LastLines(15))
	}
	return nil
}
