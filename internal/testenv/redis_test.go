package testenv

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

func TestPrivateRedisSurvivesKillWithItsData(t *testing.T) {
	server := StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	client := redisClient(t, server.Addr)
	if err := client.Do(t.Context(), client.B().Set().Key("k").Value("v").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	before := server.PID()
	server.Kill()
	if err := ping(t, client, 200*time.Millisecond); err == nil {
		t.Fatal("a killed Redis answers")
	}
	server.Restart()
	if server.PID() == before {
		t.Fatal("the restarted Redis has the process ID of the killed one")
	}
	got, err := client.Do(t.Context(), client.B().Get().Key("k").Build()).ToString()
	if err != nil || got != "v" {
		t.Fatalf("after kill and restart: got %q, %v; want v", got, err)
	}
}

func TestPausedRedisKeepsSilentAndGoesOn(t *testing.T) {
	server := StartRedis(t)
	client := redisClient(t, server.Addr)
	server.Pause()
	if err := ping(t, client, 200*time.Millisecond); err == nil {
		t.Fatal("a paused Redis answers")
	}
	server.Continue()
	if err := ping(t, client, 5*time.Second); err != nil {
		t.Fatalf("a continued Redis does not answer: %v", err)
	}
}

func redisClient(t *testing.T, addr string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{addr}, DisableCache: true, ForceSingleClient: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func ping(t *testing.T, client rueidis.Client, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return client.Do(ctx, client.B().Ping().Build()).Error()
}
