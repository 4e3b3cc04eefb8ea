package redislist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// owner is who leases lists, and how.
type owner struct {
	token    string
	session  string // of the pump: scripts of an earlier one change nothing once it has leased the list
	home     string
	lease    time.Duration
	embedded bool
}

// id is what a script knows the leasing session by.
func (o owner) id() string { return o.token + " " + o.session }

func (o owner) flag() string {
	if o.embedded {
		return "1"
	}
	return "0"
}

// evaluator runs scripts; control is one.
type evaluator interface {
	eval(ctx context.Context, s *script, keys, args []string) (reply, uint64, error)
}

// Answers of scripts that changed nothing.
var (
	errIdle    = errors.New("there is nothing to drain")
	errLost    = errors.New("the list is not ours any more")
	errEpoch   = errors.New("a new epoch of Redis has begun")
	errStale   = errors.New("the cursor is elsewhere than remembered")
	errNothing = errors.New("the list is empty")
)

// otherError says that a live pump leases the list.
type otherError struct {
	left  time.Duration
	until int64
}

func (e *otherError) Error() string {
	return fmt.Sprintf("another pump leases the list for %s yet", e.left)
}

// homeError says that the list waits for another state directory.
type homeError struct{ home string }

func (e *homeError) Error() string {
	return fmt.Sprintf("the list waits for the state directory %s, whose local sinks it is owed to", e.home)
}

// typeError says that a key is not a list.
type typeError struct{ key, kind string }

func (e *typeError) Error() string { return fmt.Sprintf("key %s is a %s, not a list", e.key, e.kind) }

// refusal turns the answer of a script that changed nothing into an error.
func refusal(s *script, key string, r reply) error {
	switch r.word() {
	case "idle":
		return errIdle
	case "none":
		return errNothing
	case "lost":
		return errLost
	case "epoch":
		return errEpoch
	case "stale":
		return errStale
	case "other":
		return &otherError{left: time.Duration(r.int(1)) * time.Millisecond, until: r.int(2)}
	case "home":
		return &homeError{r.str(1)}
	case "type":
		return &typeError{key, r.str(1)}
	case "version":
		return pipeline.Fatal(fmt.Errorf("the registry of %s has layout %s, this program knows 1 and 2", key, r.str(1)))
	case "noperm":
		return pipeline.Fatal(fmt.Errorf("scripts may not call INFO (%s): add +info to the user's ACL rules", r.str(1)))
	case "noinfo":
		return pipeline.Fatal(fmt.Errorf("the server shows no identity, so that a failover could not be noticed: %s", r.str(1)))
	}
	return fmt.Errorf("script %s: strange answer %q", s.name, r.word())
}

// novelty is what a lease brings along for what it may have to begin.
type novelty struct {
	random  string         // 8 hex characters, of a new epoch
	lineage string         // 32 hex characters, of a new registry
	known   pipeline.Epoch // newest epoch of the list that this process has seen; a new one is newer
}

func newNovelty(known pipeline.Epoch) novelty { return novelty{chance(4), chance(16), known} }

// take leases the list, or takes our lease on, and returns the registry as it is then. wanted: the list itself is reason
// enough.
func take(ctx context.Context, e evaluator, o owner, l list, nov novelty, wanted bool) (*registry, uint64, error) {
	known := ""
	if nov.known != (pipeline.Epoch{}) {
		known = epochString(nov.known)
	}
	want := "0"
	if wanted {
		want = "1"
	}
	crash.Before("redis/take")
	r, seq, err := e.eval(ctx, takeScript, []string{l.registry(), l.name},
		[]string{o.token, millis(o.lease), o.home, o.flag(), nov.random, nov.lineage, want, known, o.session})
	crash.After("redis/take")
	if err != nil {
		return nil, 0, err
	}
	if r.word() != "taken" {
		return nil, 0, refusal(takeScript, l.name, r)
	}
	if len(r.all) < 3 {
		return nil, 0, errors.New("script take: strange answer")
	}
	fields, err := r.all[2].AsStrMap()
	if err != nil {
		return nil, 0, fmt.Errorf("script take: %w", err)
	}
	reg, err := parseRegistry(fields)
	if err != nil { // a newer program's: it must be able to have its list
		return nil, 0, errors.Join(err, giveBack(ctx, e, o, l))
	}
	reg.Now = time.UnixMilli(r.int(1))
	return reg, seq, nil
}

// renew prolongs a lease.
func renew(ctx context.Context, e evaluator, o owner, l list, lineage string, epoch pipeline.Epoch) error {
	crash.Before("redis/renew")
	r, _, err := e.eval(ctx, renewScript, []string{l.registry()},
		[]string{o.id(), millis(o.lease), lineage, epochString(epoch), o.flag()})
	crash.After("redis/renew")
	if err == nil && r.word() != "ok" {
		return refusal(renewScript, l.name, r)
	}
	return err
}

// giveBack ends a lease.
func giveBack(ctx context.Context, e evaluator, o owner, l list) error {
	crash.Before("redis/give-back")
	r, _, err := e.eval(ctx, giveBackScript, []string{l.registry()}, []string{o.id()})
	crash.After("redis/give-back")
	if err == nil && r.word() != "ok" {
		return refusal(giveBackScript, l.name, r)
	}
	return err
}

// claim renames the list to the claim id, or finds that it was done already.
func claim(ctx context.Context, e evaluator, o owner, l list, lineage string, id pipeline.ClaimID, owed pipeline.Owed) (claimEntry, uint64, error) {
	if err := fits(owed); err != nil {
		return claimEntry{}, 0, err
	}
	home := ""
	if owed.Local {
		home = o.home
	}
	crash.Before("redis/claim")
	r, seq, err := e.eval(ctx, claimScript, []string{l.registry(), l.name, l.claim(id)},
		[]string{o.id(), lineage, epochString(id.Epoch), strconv.FormatUint(uint64(id.Number), 10), id.String(),
			owed.Key, string(owed.JSON), strings.Join(owed.Sinks, ","), home, o.flag()})
	crash.After("redis/claim")
	if err != nil {
		return claimEntry{}, 0, err
	}
	if r.word() != "made" {
		return claimEntry{}, 0, refusal(claimScript, l.name, r)
	}
	c, err := parseClaim(id.String(), r.str(1))
	return c, seq, err
}

// fits refuses names that would make a claim's field unreadable.
func fits(owed pipeline.Owed) error {
	for _, s := range append([]string{owed.Key}, owed.Sinks...) {
		if s == "" || strings.ContainsAny(s, " ,\r\n") {
			return fmt.Errorf("%q cannot be recorded with a claim", s)
		}
	}
	return nil
}

// settle moves a sink's cursor over ranges, of which each is of another claim, and tells for each claim the offset it is
// trimmed to now, or gone (nil when all of it was done before). where names the spool that the ranges lie in now; empty
// when the sink is done with them.
func settle(ctx context.Context, e evaluator, o owner, l list, lineage, sink, where string, ranges []pipeline.Settled) ([]trimmed, error) {
	keys := []string{l.registry()}
	args := []string{o.id(), lineage, sink, strconv.Itoa(record.Span), strconv.Itoa(len(ranges)), where, o.home, noteOf(ranges)}
	var sum pipeline.Counts
	for _, r := range ranges {
		keys = append(keys, l.claim(r.Claim))
		args = append(args, r.Claim.String(), strconv.FormatUint(uint64(r.From), 10), strconv.FormatUint(uint64(r.To), 10))
		sum = addCounts(sum, r.Counts)
	}
	crash.Before("redis/settle")
	r, _, err := e.eval(ctx, settleScript, keys, appendShed(appendCounts(args, sum), ranges))
	crash.After("redis/settle")
	if err != nil {
		return nil, err
	}
	switch r.word() {
	case "done":
		return nil, nil
	case "ok":
	default:
		return nil, refusal(settleScript, l.name, r)
	}
	out := make([]trimmed, len(ranges))
	for i := range ranges {
		out[i] = trimmed{claim: ranges[i].Claim, gone: r.str(i+1) == "gone", offset: uint32(r.int(i + 1))}
	}
	return out, nil
}

// noteOf is the last note of ranges.
func noteOf(ranges []pipeline.Settled) (note string) {
	for _, r := range ranges {
		note = cmp.Or(r.Note, note)
	}
	return note
}

// trimmed is what a settle left of a claim.
type trimmed struct {
	claim  pipeline.ClaimID
	gone   bool
	offset uint32
}

// recordMembers makes a range of members durable, or finds that it is recorded already.
func recordMembers(ctx context.Context, e evaluator, o owner, l list, lineage, sink string, m pipeline.MemberRange) (uint64, error) {
	crash.Before("redis/members")
	r, seq, err := e.eval(ctx, membersScript, []string{l.registry()}, []string{o.id(), lineage, sink, membersString(m)})
	crash.After("redis/members")
	switch {
	case err != nil:
		return 0, err
	case r.word() == "other":
		return 0, fmt.Errorf("another range of members is recorded: %s", r.str(1))
	case r.word() != "ok":
		return 0, refusal(membersScript, l.name, r)
	}
	return seq, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// columns are the ledger's columns that a settle adds to. What is pending follows from the cursors.
var columns = []struct {
	name string
	of   func(*pipeline.Counts) *uint64
}{
	{"effective", func(c *pipeline.Counts) *uint64 { return &c.Effective }},
	{"duplicates", func(c *pipeline.Counts) *uint64 { return &c.Duplicates }},
	{"filtered", func(c *pipeline.Counts) *uint64 { return &c.Filtered }},
	{"dead_letters", func(c *pipeline.Counts) *uint64 { return &c.DeadLetters }},
	{"spooled", func(c *pipeline.Counts) *uint64 { return &c.Spooled }},
	{"shed", func(c *pipeline.Counts) *uint64 { return &c.Shed }},
}

// appendCounts adds (column, count) pairs to a script's arguments.
func appendCounts(args []string, sum pipeline.Counts) []string {
	for _, c := range columns {
		if n := c.of(&sum); *n > 0 {
			args = append(args, c.name, strconv.FormatUint(*n, 10))
		}
	}
	return args
}

// appendShed tells a script when what is shed was claimed.
func appendShed(args []string, ranges []pipeline.Settled) []string {
	var first, last time.Time
	for _, r := range ranges {
		if r.Counts.Shed == 0 {
			continue
		}
		if first.IsZero() || r.Claimed.Before(first) {
			first = r.Claimed
		}
		if r.Claimed.After(last) {
			last = r.Claimed
		}
	}
	if last.IsZero() {
		return args
	}
	return append(args, "shed_from", strconv.FormatInt(first.UnixMilli(), 10), "shed_to", strconv.FormatInt(last.UnixMilli(), 10))
}

func addCounts(a, b pipeline.Counts) pipeline.Counts {
	for _, c := range columns {
		*c.of(&a) += *c.of(&b)
	}
	return a
}
