package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/internal/crash"
	"sluice/internal/crash/points"
	"sluice/internal/record"
	"sluice/internal/testenv"
)

var (
	crashAll    = flag.Bool("crash-all", false, "every history dies at each of its own crash points, not only at those no other has")
	crashOnly   = flag.String("crash-history", "", "only histories whose name this regular expression matches; points that no history dies at are not looked for")
	crashAt     = flag.String("crash-at", "", "only points that this regular expression matches, as in: after redis/settle")
	crashPasses = flag.Int("crash-passes", 1, "die at the first pass of a crash point, then at the second, and so on up to this one")
)

// history is a course of events that passes durable steps: traffic, and commands of the program, over stores of its own.
// Rounds follow each other on the same stores, so that a round also recovers from the crash of the one before.
type history struct {
	name string
	make func(c *crasher)
	// round pushes traffic and runs commands; in each round one of them dies at the crash point that is due.
	round func(c *crasher)
	// judge drains what is left and holds the stores against everything that was pushed.
	judge func(c *crasher)
	also  []string // steps, by the beginning of their names, that it dies at although another history has them
	not   []string // steps that it passes by chance only
}

var histories = []history{filesHistory, takeOverHistory, storesHistory, kafkaHistory, workerHistory, adoptHistory, spoolHistory, bucketHistory,
	lettersHistory, lettersInBucketHistory, workerLettersHistory, releaseHistory, suspectHistory, replayHistory, copyHistory, eraseHistory, followHistory, retainHistory, retainFilesHistory}

// chosen are the histories that the flags ask for.
func chosen(t *testing.T) []history {
	t.Helper()
	re, err := regexp.Compile(*crashOnly)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(histories), func(h history) bool { return !re.MatchString(h.name) })
}

// crasher drives one history.
type crasher struct {
	*rig
	h     history
	n     int    // rounds begun
	next  int    // number of the next record
	point string // where to die in this round; empty: nowhere
	died  bool   // in this round
	trace string // file for the points that are passed
	files map[string]string
	bad   int                 // payloads that cannot be decoded
	taken uint64              // what the ledger is to say
	whole map[string][]string // positions of objects that were read

	second  string // directory of another archive
	capped  string // database of another sink
	broker  string
	topic   string
	records map[int][]*record.Record
}

func newCrasher(t *testing.T, bin string, h history) *crasher {
	t.Helper()
	c := &crasher{rig: newRig(t), h: h, files: map[string]string{}, whole: map[string][]string{}}
	c.bin = bin
	c.config = strings.Replace(c.config, "lease: 2s", "lease: 1s", 1)
	c.trace = filepath.Join(c.dir, "trace")
	h.make(c)
	return c
}

func (c *crasher) begin(point string) {
	c.n++
	c.point, c.died = point, false
	c.h.round(c)
}

// launch starts a command, with the crash point armed unless the round has had its crash.
func (c *crasher) launch(args ...string) *testenv.Process {
	c.t.Helper()
	env := []string{crash.EnvTrace + "=" + c.trace}
	if c.point != "" && !c.died {
		env = append(env, crash.Env+"="+c.point)
	}
	return testenv.Start(c.t, c.bin, args, env)
}

const killed = 128 + 9

// ended waits for a command and tells whether it was done; else it died at the crash point.
func (c *crasher) ended(p *testenv.Process) bool {
	c.t.Helper()
	switch code := p.Wait(); {
	case code == 0:
		return true
	case code == killed && c.point != "" && !c.died:
		c.died = true
		c.sound()
		return false
	default:
		c.t.Fatalf("round %d, to die %s: exit code %d\n%s", c.n, c.point, code, p.Stderr())
		return false
	}
}

// run runs a command once, to its end or its crash.
func (c *crasher) run(args ...string) bool { c.t.Helper(); return c.ended(c.launch(args...)) }

// through runs a command, and again when it died.
func (c *crasher) through(args ...string) {
	c.t.Helper()
	if !c.run(args...) {
		c.run(args...)
	}
}

// passed are the points that were passed so far, in the order of their first pass.
func (c *crasher) passed() (out []string) {
	c.t.Helper()
	data, err := os.ReadFile(c.trace)
	if err != nil {
		c.t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if p := strings.TrimSpace(line); !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

func stepOf(point string) string { _, s, _ := strings.Cut(point, " "); return s }

func begins(point string, with []string) bool {
	return slices.ContainsFunc(with, func(w string) bool { return strings.HasPrefix(stepOf(point), w) })
}

// theSource reads the crash points of the module's source, once: it checks the types of all of it.
var theSource = sync.OnceValues(func() (*points.Found, error) {
	return points.Load(filepath.Join("..", ".."), points.Exempt, "./...")
})

// The program dies at every crash point of its source, in one history or another, and nothing is lost or doubled.
func TestEveryCrashPoint(t *testing.T) {
	found, err := theSource()
	if err != nil {
		t.Fatal(err)
	}
	bin := testenv.BuildForCrashes(t)
	histories := chosen(t)
	var mu sync.Mutex
	passed := map[string][]string{}
	t.Run("undisturbed", func(t *testing.T) {
		for _, h := range histories {
			t.Run(h.name, func(t *testing.T) {
				t.Parallel()
				c := newCrasher(t, bin, h)
				c.begin("")
				h.judge(c)
				mu.Lock()
				defer mu.Unlock()
				passed[h.name] = c.passed()
			})
		}
	})
	if t.Failed() {
		return
	}
	due, missed := plans(found.Points(), passed)
	at, err := regexp.Compile(*crashAt)
	if err != nil {
		t.Fatal(err)
	}
	for name := range due {
		due[name] = slices.DeleteFunc(due[name], func(p string) bool { return !at.MatchString(p) })
	}
	for _, p := range missed {
		if *crashOnly == "" {
			t.Errorf("no history dies %s: write one that passes it", p)
		}
	}
	t.Run("dying", func(t *testing.T) {
		for _, h := range histories {
			for pass := 1; pass <= *crashPasses; pass++ {
				t.Run(fmt.Sprintf("%s/pass %d", h.name, pass), func(t *testing.T) {
					t.Parallel()
					dieAt(t, bin, h, due[h.name], pass)
				})
			}
		}
	})
}

// plans gives each point to the first history that passes it, and to those that ask for it.
func plans(all []string, passed map[string][]string) (due map[string][]string, missed []string) {
	due = map[string][]string{}
	has := map[string]bool{}
	for _, h := range histories {
		for _, p := range passed[h.name] {
			if begins(p, h.not) || has[p] && !*crashAll && !begins(p, h.also) {
				continue
			}
			has[p] = true
			due[h.name] = append(due[h.name], p)
		}
	}
	for _, p := range all {
		if !has[p] && elsewhere[stepOf(p)] == (excuse{}) {
			missed = append(missed, p)
		}
	}
	return due, missed
}

// dieAt lets a history die at one point after the other. Where the stores are past a step that is done once (an index that
// is there, a file that has its name), it begins with new ones.
func dieAt(t *testing.T, bin string, h history, due []string, pass int) {
	if len(due) == 0 {
		return
	}
	c := newCrasher(t, bin, h)
	for _, p := range due {
		if pass > 1 {
			p = fmt.Sprintf("%s:%d", p, pass)
		}
		c.begin(p)
		if c.died || pass > 1 {
			continue
		}
		h.judge(c)
		c = newCrasher(t, bin, h)
		if c.begin(p); !c.died {
			t.Errorf("it never died %s", p)
		}
	}
	h.judge(c)
	if t.Failed() {
		t.Logf("it died, in this order: %s", strings.Join(due, ", "))
	}
}

// The program that is shipped calls no point, and one built for crash points calls two a step.
func TestTheShippedProgramHasNoCrashPoints(t *testing.T) {
	t.Parallel()
	found, err := theSource()
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range pointsCalled(t, testenv.BuildShipped(t)) {
		t.Errorf("the shipped program calls a crash point in %s", in) // perhaps in a closure that was inlined: make it a function
	}
	if where := pointsCalled(t, testenv.BuildForCrashes(t)); len(where) != 2*len(found.Steps) {
		t.Errorf("built for crash points it calls %d of %d", len(where), 2*len(found.Steps))
	}
}

// pointsCalled names the functions that call points in the machine code of a program, once a call.
func pointsCalled(t *testing.T, bin string) (where []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "tool", "objdump", "-s", `^(sluice/|main\.)`, bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	in := ""
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "TEXT "); ok {
			in = strings.Fields(text)[0]
		}
		if strings.Contains(line, "CALL sluice/internal/crash.") && !strings.HasPrefix(in, "sluice/internal/crash.") {
			where = append(where, in)
		}
	}
	return where
}

// excuse is why no history dies at a step, and the test that is there instead.
type excuse struct{ why, dir, test string }

// elsewhere are steps that no history passes.
var elsewhere = map[string]excuse{
	"sqlite/rebuild": {"the one commit of an hour, like sqlite/commit; TestReplayIntoSQLite kills such replays, too",
		"sinks/sqlite", "TestRebuildIsOneTransaction"},
	"redis/shield-elsewhere": {"an EXPIRE on a node of a Redis Cluster that a slot moves to: it only prolongs a list's time, like redis/shield",
		"sources/redislist", "TestCluster"},
	"retention/merge-waiting": {"a merge in OpenSearch before 2.7: the same request as retention/merge, waited for",
		"retention/search", "TestMergeOfAnOldCluster"},
}

// What is excused is a step, no history passes it, and the test that is named is there.
func TestExcusesHold(t *testing.T) {
	found, err := theSource()
	if err != nil {
		t.Fatal(err)
	}
	for step, e := range elsewhere {
		if !slices.ContainsFunc(found.Points(), func(p string) bool { return stepOf(p) == step }) {
			t.Errorf("there is no step %s", step)
		}
		if e.why == "" || !testenv.HasTest(t, filepath.Join("..", "..", e.dir), e.test) {
			t.Errorf("%s: no test %s in %s", step, e.test, e.dir)
		}
	}
}
