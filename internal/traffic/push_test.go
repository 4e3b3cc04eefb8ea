package traffic

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/rueidis"

	"sluice/internal/record"
)

func redisOf(t *testing.T) (*miniredis.Miniredis, rueidis.Client) {
	t.Helper()
	m := miniredis.RunT(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{m.Addr()}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return m, c
}

// decodable counts the elements of a list that are records, and those that are not.
func decodable(t *testing.T, m *miniredis.Miniredis, list string, f record.Format) (good, bad uint64) {
	t.Helper()
	elements, err := m.List(list)
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	for _, e := range elements {
		var r record.Record
		if record.Decode(f, []byte(e), &r) != nil {
			bad++
		} else {
			good++
		}
	}
	return good, bad
}

func TestPushAsAGateway(t *testing.T) {
	m, c := redisOf(t)
	p := NewPusher(c, New(1, Options{}), PushOptions{Poison: 0.01})
	if err := p.Count(t.Context(), 1300); err != nil {
		t.Fatal(err)
	}
	const list = "analytics-tyk-system-analytics"
	good, bad := decodable(t, m, list, record.Msgpack)
	if got := p.Pushed(); good != got.Records || bad != got.Poison || good+bad != 1300 || bad == 0 || got.Bytes < 1300*500 {
		t.Errorf("%d records and %d others in the list, pushed %+v", good, bad, got)
	}
	if ttl := m.TTL(list); ttl != 60*time.Second {
		t.Errorf("TTL %v", ttl)
	}
	m.SetTTL(list, 7*time.Second)
	if err := p.Count(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if ttl := m.TTL(list); ttl != 7*time.Second {
		t.Errorf("a TTL that was there became %v", ttl)
	}
}

func TestPushProtobufToTenLists(t *testing.T) {
	m, c := redisOf(t)
	p := NewPusher(c, New(1, Options{}), PushOptions{Prefix: "x-", Format: record.Protobuf, Multiple: true})
	if err := p.Count(t.Context(), 10*flushRecords); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		list := "x-tyk-system-analytics_" + strconv.Itoa(i) + "_protobuf"
		if good, bad := decodable(t, m, list, record.Protobuf); good != flushRecords || bad != 0 {
			t.Errorf("%s: %d records, %d others", list, good, bad)
		}
		if ttl := m.TTL(list); ttl != 0 {
			t.Errorf("%s has a TTL of %v", list, ttl)
		}
	}
}

func TestRunPushesAtTheRateUntilItIsStopped(t *testing.T) {
	_, c := redisOf(t)
	p := NewPusher(c, New(1, Options{Rate: 2000, Start: time.Now(), Cycle: time.Hour}), PushOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond)
	defer cancel()
	want := p.gen.Load(time.Now())
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := float64(p.Pushed().Records); got < 0.4*want || got > 1.6*want {
		t.Errorf("%v records in a second, want some %v", got, want)
	}
}

func TestPushSaysWhenRedisIsGone(t *testing.T) {
	m, c := redisOf(t)
	m.Close()
	p := NewPusher(c, New(1, Options{}), PushOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := p.Count(ctx, 10); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := p.Pushed(); got.Records != 0 {
		t.Errorf("%+v counted though nothing was written", got)
	}
}
