package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/testenv"
)

// centre is the configuration of a process that follows the rig's archive into the rig's other sinks.
func (r *rig) centre(state string) string {
	r.t.Helper()
	lake := fmt.Sprintf(`  lake: {type: archive, bucket: %s, prefix: a/, endpoint: "%s", path_style: true, region: %s, access_key: %s, secret_key: %s, poll: 200ms, lease: 2s}`,
		r.bucket.Bucket, r.bucket.Endpoint, r.bucket.Region, r.bucket.AccessKey, r.bucket.SecretKey)
	return r.file(func(s string) string {
		_, rest, _ := strings.Cut(s, "pipeline:")
		head, sinks, _ := strings.Cut(rest, "sinks:\n")
		var kept []string
		for line := range strings.Lines(sinks) {
			if !strings.Contains(line, "s3-csv") {
				kept = append(kept, line)
			}
		}
		head = strings.Replace(head, r.dir+"/state", r.dir+"/"+state, 1)
		return "region: centre\nsources:\n" + lake + "\npipeline:" + head + "sinks:\n" + strings.Join(kept, "")
	})
}

// TestTwoRegionsReportToOneCentre: two regions write to a bucket, a process beside the central stores follows it, is killed and
// relieved by another one, and every document is what a recount makes of both regions' records.
func TestTwoRegionsReportToOneCentre(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAggregate().withRaw().withSearch().withArchive()
	onlyArchive := func(region, redis, state string) string {
		return r.file(func(s string) string {
			head, sinks, _ := strings.Cut(s, "sinks:\n")
			for line := range strings.Lines(sinks) {
				if strings.Contains(line, "s3-csv") {
					sinks = line
				}
			}
			head = strings.Replace(head, "region: test", "region: "+region, 1)
			return strings.Replace(strings.Replace(head, r.redis.Addr, redis, 1), r.dir+"/state", r.dir+"/"+state, 1) + "sinks:\n" + sinks
		})
	}
	other := testenv.StartRedis(t)
	files := []string{onlyArchive("eu", r.redis.Addr, "eu"), onlyArchive("us", other.Addr, "us")}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{other.Addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	here, pushed := r.client, map[string][][]byte{}
	central := []string{r.centre("c1"), r.centre("c2")}
	var running []*testenv.Process
	for round := range 3 {
		for i, c := range []rueidis.Client{here, client} {
			payloads := many(300, capturedHour.Add(time.Duration(round*40+i*7)*time.Minute))
			r.client, r.lists = c, map[string][][]byte{}
			r.push(msgpackList, payloads...)
			pushed[fmt.Sprint(round, i)] = payloads // each is claimed as a whole
			r.once(files[i], 0)
		}
		running = append(running, r.start("run", "--config", central[round%2]))
		if round > 0 {
			running[round-1].Kill()
			_ = running[round-1].Wait()
		}
	}
	r.client, r.lists = here, pushed
	running[2].WaitFor("ours to follow")
	running[2].Terminate()
	if code := running[2].Wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, running[2].Stderr())
	}
	r.once(central[1], 0)
	e := r.expect()
	wantIDs(t, "raw", e.wanted(inRaw), r.rawIDs())
	wantIDs(t, "OpenSearch", e.wanted(everything), r.searchIDs())
	r.wantAggregates(e.records)
	a := r.audit(central[0])
	if !a.Balanced || a.Taken != uint64(len(e.records)) || len(a.Sources["lake"]) != 2 {
		t.Errorf("ledger: %+v", a)
	}
	r.sluice(central[0], 0, "audit", "--deep")
	if _, err := r.mongoDB().Collection("tyk_analytics").DeleteOne(context.Background(), bson.M{}); err != nil {
		t.Fatal(err)
	}
	if out, _ := r.sluice(central[0], 1, "audit", "--deep", "--sink", "raw"); !strings.Contains(out, "1 missing") {
		t.Errorf("a record was deleted: %s", out)
	}
	p := r.start("check", "--connect", "--config", central[0])
	if code := p.Wait(); code != 0 || !strings.Contains(p.Stdout(), "nothing of the last two days waits") {
		t.Errorf("check exits %d: %s", code, p.Stdout())
	}
}
