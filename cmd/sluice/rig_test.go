package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"sluice/internal/record"
	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a gateway's Redis, real stores, and a configuration that joins them.
type rig struct {
	t      *testing.T
	bin    string // with the race detector
	look   string // without it: for what is asked again and again until a state has come
	today  time.Time
	env    []string // added for what start starts
	redis  *testenv.RedisServer
	client rueidis.Client
	dir    string
	mongo  string // URI
	db     string
	search string // URL
	index  string // prefix of the index names
	bucket testenv.S3Bucket

	config string // of sources.main and above, as YAML
	sinks  []string
	lists  map[string][][]byte // what was pushed, in order
}

const (
	msgpackList  = "analytics-tyk-system-analytics"
	protobufList = msgpackList + "_protobuf"
)

// newRig makes a rig without sinks; redis are arguments of its server.
func newRig(t *testing.T, redis ...string) *rig {
	t.Helper()
	r := &rig{t: t, bin: testenv.Build(t), look: testenv.BuildShipped(t), redis: testenv.StartRedis(t, redis...), dir: t.TempDir(), lists: map[string][][]byte{},
		today: time.Now().UTC().Truncate(24 * time.Hour)}
	r.connect()
	r.config = fmt.Sprintf(`region: test
sources:
  main:
    type: redis
    addrs: ["%s"]
    claim: {interval: 100ms, lease: 2s}
pipeline: {accept: {past: 36500d, future: 36500d}}
state: {dir: %s}
admin: {listen: 127.0.0.1:0}
`, r.redis.Addr, filepath.Join(r.dir, "state"))
	return r
}

// connect makes the gateway's connections, anew when its Redis was started again.
func (r *rig) connect() {
	r.t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{r.redis.Addr}, DisableCache: true,
		ForceSingleClient: true, DisableRetry: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	r.client = client
}

func (r *rig) unique() string { return fmt.Sprintf("t%08x", rand.Uint32()) }

// withAll adds the four sinks of a production configuration, on real servers.
func (r *rig) withAll() *rig { return r.withAggregate().withRaw().withSearch().withArchive() }

func (r *rig) database() string {
	if r.db == "" {
		r.mongo, r.db = testenv.Mongo(r.t), "sluice_"+r.unique()
		r.t.Cleanup(r.dropDatabase)
	}
	return fmt.Sprintf("uri: \"%s\", database: %s", r.mongo, r.db)
}

func (r *rig) withAggregate() *rig {
	return r.sink("dashboard", "mongo-aggregate", r.database()+", track_all_paths: true, flush: 200ms")
}

func (r *rig) withRaw() *rig {
	return r.sink("raw", "mongo-raw", r.database()+", capped_size: 1GiB")
}

func (r *rig) withSearch() *rig {
	r.search, r.index = testenv.OpenSearch(r.t), r.unique()
	r.t.Cleanup(r.dropIndices)
	return r.sink("search", "opensearch", fmt.Sprintf("urls: [\"%s\"], index: \"%s-{yyyy.MM.dd}\"", r.search, r.index))
}

func (r *rig) withArchive() *rig {
	r.bucket = testenv.S3(r.t)
	return r.sink("archive", "s3-csv", fmt.Sprintf(
		"bucket: %s, prefix: a/, endpoint: \"%s\", path_style: true, region: %s, access_key: %s, secret_key: %s, object: {max_age: 1s}",
		r.bucket.Bucket, r.bucket.Endpoint, r.bucket.Region, r.bucket.AccessKey, r.bucket.SecretKey))
}

// withFiles adds the archive in a directory.
func (r *rig) withFiles() *rig {
	return r.sink("files", "csv", fmt.Sprintf("dir: %s, object: {max_age: 1s}", r.filesDir()))
}

func (r *rig) filesDir() string { return filepath.Join(r.dir, "archive") }

func (r *rig) sink(name, kind, rest string) *rig {
	r.sinks = append(r.sinks, fmt.Sprintf("  %s: {type: %s, retry: {min: 50ms, max: 500ms}, %s}", name, kind, rest))
	return r
}

// file writes the configuration; edit changes its text before.
func (r *rig) file(edit func(string) string) string {
	r.t.Helper()
	text := r.config + "sinks:\n" + strings.Join(r.sinks, "\n") + "\n"
	if edit != nil {
		text = edit(text)
	}
	name := filepath.Join(r.dir, fmt.Sprintf("sluice-%d.yaml", rand.Uint32()))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return name
}

// start starts the program.
func (r *rig) start(args ...string) *testenv.Process {
	r.t.Helper()
	return testenv.Start(r.t, r.bin, args, r.env)
}

// once runs the program once with the configuration file and wants the exit code.
func (r *rig) once(file string, code int, more ...string) *testenv.Process {
	r.t.Helper()
	p := r.start(append([]string{"run", "--once", "--config", file}, more...)...)
	if got := p.Wait(); got != code {
		r.t.Fatalf("run --once exits %d, want %d:\n%s", got, code, p.Stderr())
	}
	return p
}

// audit reads the ledger with the program.
func (r *rig) audit(file string) audit { r.t.Helper(); return r.auditBy(r.look, file) }

func (r *rig) auditBy(bin, file string, more ...string) audit {
	r.t.Helper()
	p := testenv.Start(r.t, bin, append([]string{"audit", "--output", "json", "--config", file}, more...), r.env)
	code := p.Wait()
	var a audit
	if err := json.Unmarshal([]byte(p.Stdout()), &a); err != nil {
		r.t.Fatalf("audit exits %d: %v\n%s%s", code, err, p.Stdout(), p.Stderr())
	}
	if (code == 0) != a.Balanced {
		r.t.Errorf("audit exits %d, balanced is %v", code, a.Balanced)
	}
	return a
}

// wantLedger holds the ledger of every configured sink against what it must be.
func (r *rig) wantLedger(file string, taken uint64, want map[string]sinkLedger) {
	r.t.Helper()
	a := r.auditBy(r.bin, file)
	if !a.Balanced || a.Taken != taken {
		r.t.Errorf("ledger: taken %d, balanced %v, want %d: %v", a.Taken, a.Balanced, taken, a.Strange)
	}
	for name, w := range want {
		if a.Sinks[name] != w {
			r.t.Errorf("ledger of %s: %+v, want %+v", name, a.Sinks[name], w)
		}
	}
}

// push appends payloads to a list, as gateways do.
func (r *rig) push(list string, payloads ...[]byte) {
	r.t.Helper()
	r.lists[list] = append(r.lists[list], payloads...)
	var cmds rueidis.Commands
	for _, p := range payloads {
		cmds = append(cmds, r.client.B().Rpush().Key(list).Element(rueidis.BinaryString(p)).Build())
	}
	if !strings.HasSuffix(list, "_protobuf") {
		cmds = append(cmds, r.client.B().Expire().Key(list).Seconds(60).Build())
	}
	for len(cmds) > 0 {
		n := min(len(cmds), 1000)
		for _, res := range r.client.DoMulti(context.Background(), cmds[:n]...) {
			if err := res.Error(); err != nil {
				r.t.Fatal(err)
			}
		}
		cmds = cmds[n:]
	}
}

// captured are the payloads of a capture, as they lay in Redis.
func captured(t testing.TB, f record.Format) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "internal", "record", "testdata", "vectors", "gateway-"+f.String()+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for len(data) > 0 {
		n := binary.BigEndian.Uint32(data)
		out = append(out, data[4:4+n])
		data = data[4+n:]
	}
	return out
}

// made is a payload of our own.
func made(n int, at time.Time, edit ...func(*record.Record)) []byte {
	rec := record.Record{
		Method: "GET", Host: "api.example.com", Path: fmt.Sprintf("/things/%d", n%97), RawPath: fmt.Sprintf("/things/%d", n), APIID: "api", APIName: "API",
		APIVersion: "v1", OrgID: fmt.Sprintf("org%d", n%3), APIKey: fmt.Sprintf("key%d", n%7), ResponseCode: int32(200 + n%5*100),
		RequestTime: int64(n % 50), Latency: record.Latency{Total: int64(n % 50), Upstream: int64(n % 40)},
		TimeStamp: at, ExpireAt: at.Add(100 * 365 * 24 * time.Hour), IPAddress: "203.0.113.7", Tags: []string{fmt.Sprintf("n-%d", n%13)},
	}
	for _, e := range edit {
		e(&rec)
	}
	return record.AppendMsgpack(nil, &rec)
}

// many are n payloads of our own from one time on, a millisecond apart.
func many(n int, from time.Time) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = made(i, from.Add(time.Duration(i)*time.Millisecond))
	}
	return out
}

// leftInRedis is what our keys take, and whether any of them is a list with elements.
func (r *rig) leftInRedis() (size int, elements []string) {
	r.t.Helper()
	ctx := context.Background()
	keys, err := r.client.Do(ctx, r.client.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, k := range keys {
		dump, err := r.client.Do(ctx, r.client.B().Dump().Key(k).Build()).AsBytes()
		if err != nil {
			r.t.Fatal(err)
		}
		size += len(k) + len(dump)
		if n, err := r.client.Do(ctx, r.client.B().Llen().Key(k).Build()).AsInt64(); err == nil && n > 0 {
			elements = append(elements, fmt.Sprintf("%s (%d)", k, n))
		}
	}
	return size, elements
}

func (r *rig) wantRedisEmpty() {
	r.t.Helper()
	size, elements := r.leftInRedis()
	if len(elements) > 0 || size > 64<<10 {
		r.t.Errorf("left in Redis: %d bytes, lists %v", size, elements)
	}
}

// letters lists the dead letters with the program.
func (r *rig) letters(file string) []struct {
	ID, Sink, Reason, Position string
	Bytes                      []byte
} {
	r.t.Helper()
	p := r.start("deadletters", "list", "--output", "json", "--config", file)
	if code := p.Wait(); code != 0 {
		r.t.Fatalf("deadletters list exits %d: %s", code, p.Stderr())
	}
	var out []struct {
		ID, Sink, Reason, Position string
		Bytes                      []byte
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(p.Stdout()))).Decode(&out); err != nil {
		r.t.Fatal(err)
	}
	return out
}
