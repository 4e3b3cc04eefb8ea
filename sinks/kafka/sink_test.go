package kafka

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/fault"
	bus "sluice/internal/kafka"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/internal/testenv/launch"
	"sluice/sinks/sinktest"
)

func open(t *testing.T, c Config) *Sink {
	t.Helper()
	s := newSink(t, c)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func list(t *testing.T, items []pipeline.Item) *sinktest.List {
	l := sinktest.NewList("analytics-tyk-system-analytics")
	l.Add(items)
	return l
}

// TestMessagesAreWhatOthersRead: keys, headers, and both forms of the value.
func TestMessagesAreWhatOthersRead(t *testing.T) {
	for _, format := range []string{bus.FormatProtobuf, bus.FormatJSON} {
		t.Run(format, func(t *testing.T) {
			c := testConfig(t, testenv.Kafka(t))
			c.Format, c.Compression = format, "lz4"
			s := open(t, c)
			items := sinktest.Captured(t, record.Msgpack)[:300]
			l := list(t, items)
			if err := sinktest.NewDriver(s).Deliver(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			got := consume(t, c.Brokers[0], c.Topic)
			if len(got) != len(items) {
				t.Fatalf("%d messages", len(got))
			}
			for _, m := range got {
				want := l.Claims[0].Items[m.header.Position.Index]
				if m.header.ID != want.ID || m.header.Lineage != l.Stream.Lineage || m.header.Region != "test" ||
					m.header.Format != format || string(m.key) != want.Record.OrgID+"/"+want.Record.APIID {
					t.Fatalf("message %+v, key %q", m.header, m.key)
				}
				if format == bus.FormatJSON {
					var doc map[string]any
					if err := json.Unmarshal(m.value, &doc); err != nil || doc["org_id"] != want.Record.OrgID || doc["request_time_ms"] == nil {
						t.Fatalf("%s: %v", m.value, err)
					}
					continue
				}
				var r record.Record
				if err := record.Decode(record.Protobuf, m.value, &r); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(*want.Record, r); diff != "" {
					t.Fatal(diff)
				}
			}
		})
	}
}

// TestOversizeIsADeadLetter: what is too large stands alone, also when the attempt is repeated; the rest goes. It is decided by what
// was recorded with the claim, whatever the topic takes by then.
func TestOversizeIsADeadLetter(t *testing.T) {
	c := testConfig(t, testenv.Kafka(t))
	c.Compression, c.MaxMessageBytes = "none", 64<<10
	s := open(t, c)
	items := sinktest.Captured(t, record.Msgpack)[:100]
	for _, i := range []int{0, 40, 41, 99} {
		r := *items[i].Record
		r.RawRequest = strings.Repeat("x", 200<<10)
		items[i].Record = &r
	}
	l := list(t, items)
	b := sinktest.Batch(s, l, &l.Claims[0], 0, 100)
	var notes []string
	for n := range 3 {
		if n == 1 { // another process, after the topic was made to take more
			raise(t, c, 1<<20)
			c.MaxMessageBytes = 512 << 10
			s = open(t, c)
		}
		res, err := s.Write(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		var dead []int
		for _, d := range res.Dead {
			dead = append(dead, d.Item)
			if !strings.Contains(d.Reason, "max_message_bytes is 65536") {
				t.Errorf("reason %q", d.Reason)
			}
		}
		if !cmp.Equal(dead, []int{0, 40, 41, 99}) {
			t.Fatalf("dead: %v", dead)
		}
		notes = append(notes, res.Note)
	}
	if notes[0] != notes[2] {
		t.Error("a repeated batch leaves another note")
	}
	if got := effects(t, c.Brokers[0], c.Topic); len(got) != 96 {
		t.Errorf("%d effects", len(got))
	}
}

// raise sets the topic's max.message.bytes.
func raise(t *testing.T, c Config, bytes int) {
	t.Helper()
	a, err := bus.NewAccess(t.Context(), c.way())
	if err != nil {
		t.Fatal(err)
	}
	client := a.Client(c.Topic)
	defer bus.CloseClient(client)
	res, err := client.AlterConfigs(t.Context(), &kgo.AlterConfigsRequest{Resources: []kgo.AlterConfigRequestResource{{
		ResourceType: kgo.ResourceTypeTopic, ResourceName: c.Topic, Configs: []kgo.AlterConfigRequestConfig{{Name: "max.message.bytes", Value: strconv.Itoa(bytes)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range res.Errors {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTopicThatTakesLessIsToldApart: a topic that is made to take less than was checked loses no record: it is said until it is
// cured.
func TestTopicThatTakesLessIsToldApart(t *testing.T) {
	c := testConfig(t, testenv.Kafka(t))
	c.Compression = "none"
	s := open(t, c)
	items := sinktest.Captured(t, record.Msgpack)[:10]
	r := *items[3].Record
	r.RawRequest = strings.Repeat("x", 200<<10)
	items[3].Record = &r
	l := list(t, items)
	b := sinktest.Batch(s, l, &l.Claims[0], 0, 10)
	raise(t, c, 64<<10)
	if _, err := s.Write(t.Context(), b); err == nil || !strings.Contains(err.Error(), "set its max.message.bytes to 1065536") {
		t.Errorf("%v", err)
	}
	raise(t, c, 2<<20)
	if res, err := s.Write(t.Context(), b); err != nil || len(res.Dead) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if got := effects(t, c.Brokers[0], c.Topic); len(got) != 10 {
		t.Errorf("%d effects", len(got))
	}
}

// TestAnswersCutOff: produce requests whose answers are lost are repeated; whoever goes by the rule sees each record once.
func TestAnswersCutOff(t *testing.T) {
	port, err := launch.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := fault.NewProxy(bus127(port), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	broker := testenv.StartKafka(t, launch.KafkaConfig{Listeners: []launch.KafkaListener{
		{Name: "PROXIED", Port: port, Advertised: proxy.Addr(), Protocol: "PLAINTEXT"}}})
	c := testConfig(t, proxy.Addr())
	l := list(t, sinktest.Captured(t, record.Msgpack)[:1500])
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := open(t, c)
	d := sinktest.NewDriver(s)
	d.Cut = func(int) int { return 100 }
	for n := 0; ; n++ {
		limit := 10 * time.Second
		switch n % 4 {
		case 1:
			limit = time.Second // it ends with it
			proxy.Set(fault.Rule{Deaf: true})
		case 2:
			proxy.Set(fault.Rule{Cut: 0.3})
		default:
			proxy.Set(fault.Rule{})
		}
		call, stop := context.WithTimeout(ctx, limit)
		more, err := d.Step(call, l)
		stop()
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		if err == nil && !more {
			break
		}
		if n%5 == 4 { // another process goes on from the cursor
			proxy.Set(fault.Rule{})
			s = open(t, c)
			d = d.Reopened(s)
		}
	}
	proxy.Set(fault.Rule{})
	if got := effects(t, broker.Addr, c.Topic); len(got) != 1500 {
		t.Errorf("%d effects", len(got))
	}
	if n := len(consume(t, broker.Addr, c.Topic)); n <= 1500 {
		t.Errorf("%d messages: the faults repeated none, so they proved nothing", n)
	}
}

func bus127(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func TestTopicThatDoesNotFitStopsTheStart(t *testing.T) {
	c := testConfig(t, testenv.Kafka(t))
	open(t, c)
	fatal := func(c Config, want string) {
		t.Helper()
		s := newSink(t, c)
		defer s.Close(t.Context())
		err := s.Open(t.Context())
		if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want a fatal error with %q", err, want)
		}
	}
	more, large, missing := c, c, c
	more.Partitions = 12
	fatal(more, "set partitions to 3")
	large.MaxMessageBytes = 8 << 20
	fatal(large, "max.message.bytes")
	missing.Topic, missing.Create = c.Topic+"-none", false
	fatal(missing, "set create")
}

func TestBrokerThatIsAwayIsNotFatal(t *testing.T) {
	port, err := launch.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(t, testConfig(t, bus127(port)))
	defer s.Close(t.Context())
	err = s.Open(t.Context())
	if class, _ := pipeline.Classify(err); err == nil || class == pipeline.FatalError || !strings.Contains(err.Error(), "advertised.listeners") {
		t.Errorf("%v", err)
	}
	if _, err := s.Write(t.Context(), &pipeline.Batch{Shape: pipeline.Shape{JSON: s.Shape()}}); !errors.Is(err, errNotOpen) {
		t.Errorf("%v", err)
	}
}

func TestNoteIsReadAsWritten(t *testing.T) {
	parts := map[int]bus.Passed{}
	for i := range 40 {
		parts[i*7] = bus.Passed{Number: 1 << i, Position: pipeline.Position{Index: uint32(i), Claim: pipeline.ClaimID{
			Epoch: pipeline.Epoch{Ms: 1<<48 - 1 - uint64(i), Rand: 1<<32 - 1}, Number: uint32(i * 1e6)}}}
	}
	got, err := parseNote(formatNote(parts))
	if diff := cmp.Diff(parts, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

func FuzzNote(f *testing.F) {
	f.Add(formatNote(map[int]bus.Passed{3: {Number: 9}}))
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, s string) {
		parts, err := parseNote(s)
		if err != nil {
			return
		}
		if again, err := parseNote(formatNote(parts)); err != nil || !cmp.Equal(parts, again) {
			t.Fatalf("%q: %v, %v, %v", s, parts, again, err)
		}
	})
}

// TestNoteOfANewerLayout is said to be one: the list waits for a program that can read it.
func TestNoteOfANewerLayout(t *testing.T) {
	if _, err := parseNote(base64.RawStdEncoding.EncodeToString([]byte{2, 1, 2, 3})); !errors.Is(err, pipeline.ErrNewer) {
		t.Errorf("%v", err)
	}
	if _, err := parseNote(base64.RawStdEncoding.EncodeToString([]byte{0, 1, 2, 3})); !errors.Is(err, errNote) {
		t.Errorf("%v", err)
	}
}
