// Command floor is what a pump cannot do without, and nothing else: it reads a Redis list with go-redis, a thousand
// elements at a time, and counts. It deletes nothing. The speed of sluice is given as a ratio to it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

// page is the elements of one LRANGE, the number that pumps use.
const page = 1000

func main() {
	addr := flag.String("addr", "127.0.0.1:6379", "`host:port` of Redis")
	key := flag.String("key", "analytics-tyk-system-analytics", "the list's `name`")
	flag.Parse()
	n, bytes, err := count(context.Background(), *addr, *key)
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
	fmt.Println(n, bytes)
}

func count(ctx context.Context, addr, key string) (n, bytes int64, err error) {
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = c.Close() }()
	for {
		elements, err := c.LRange(ctx, key, n, n+page-1).Result()
		if err != nil {
			return n, bytes, fmt.Errorf("read %s from %d: %w", key, n, err)
		}
		for _, e := range elements {
			bytes += int64(len(e))
		}
		n += int64(len(elements))
		if len(elements) < page {
			return n, bytes, nil
		}
	}
}
