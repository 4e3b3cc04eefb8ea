package main

import (
	"fmt"
	"testing"
	"time"

	"sluice/internal/record"
)

// capturedHour is when the captures' records are from; ours are put near it.
var capturedHour = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// pushCaptures spreads both captures over lists as gateways do.
func (r *rig) pushCaptures() {
	for i, p := range captured(r.t, record.Msgpack) {
		r.lists[fmt.Sprintf("%s_%d", msgpackList, i/100%10)] = append(r.lists[fmt.Sprintf("%s_%d", msgpackList, i/100%10)], p)
	}
	r.lists[protobufList] = captured(r.t, record.Protobuf)
	for _, name := range sortedKeys(r.lists) {
		payloads := r.lists[name]
		r.lists[name] = nil
		r.push(name, payloads...)
	}
}

func TestCapturesReachEverySinkOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	r.pushCaptures()
	file := r.file(nil)
	r.once(file, 0)
	e := r.wantEverywhere()
	all := uint64(len(e.records))
	raw, agg := e.count(inRaw), e.count(inAggregates)
	want := map[string]sinkLedger{
		"raw": {}, "dashboard": {}, "search": {}, "archive": {},
	}
	for name, effective := range map[string]uint64{"raw": raw, "dashboard": agg, "search": all, "archive": all} {
		w := want[name]
		w.Effective, w.Filtered = effective, all-effective
		want[name] = w
	}
	r.wantLedger(file, all, want)
	r.wantRedisEmpty()
	before, _ := r.leftInRedis()

	r.once(file, 0) // with nothing waiting it changes nothing
	r.wantEverywhere()
	r.wantLedger(file, all, want)
	if after, _ := r.leftInRedis(); after > before+64 {
		t.Errorf("a run with nothing to do left %d bytes in Redis, %d before", after, before)
	}
	if l := r.letters(file); len(l) != 0 {
		t.Errorf("dead letters: %+v", l)
	}
}

func TestPoisonAmongGoodRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	good := many(1000, capturedHour)
	poison := [][]byte{{}, {0xc0}, {0x80}, []byte("garbage"), good[0][:len(good[0])/2], append(good[1:2:2][0][:len(good[1]):len(good[1])], 1), {0xde}}
	for i := range 1000 {
		if i%150 == 0 && i/150 < len(poison) {
			r.push(msgpackList, poison[i/150])
		}
		r.push(msgpackList, good[i])
	}
	file := r.file(nil)
	r.once(file, 0)
	r.wantEverywhere()
	letters := r.letters(file)
	if len(letters) != len(poison) {
		t.Fatalf("%d dead letters, want %d", len(letters), len(poison))
	}
	for i, l := range letters {
		if string(l.Bytes) != string(poison[i]) || l.Reason == "" || l.Position == "" {
			t.Errorf("letter %d: %+v, want the bytes %x", i, l, poison[i])
		}
	}
	want := sinkLedger{}
	want.Effective, want.DeadLetters = 1000, uint64(len(poison))
	r.wantLedger(file, 1007, map[string]sinkLedger{"raw": want, "search": want, "archive": want, "dashboard": want})
}

func TestBacklogEndsInItsHours(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAggregate().withArchive()
	for i := range 6000 { // two hours in one list, not in order
		r.push(msgpackList, made(i, capturedHour.Add(time.Duration(i*7919%7200)*time.Second)))
	}
	r.env = []string{"TZ=Asia/Kolkata"} // half an hour off
	r.once(r.file(nil), 0)
	e := r.expect()
	r.wantAggregates(e.records)
	wantIDs(t, "archive", e.wanted(everything), r.archiveIDs(r.s3Store(), "a/"))
}

func TestKilledInMidDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t).withAll()
	for i := range 8 {
		r.push(fmt.Sprintf("%s_%d", msgpackList, i), many(2500, capturedHour.Add(time.Duration(i)*10*time.Minute))...)
	}
	file := r.file(nil)
	kills := 0
	for range 12 {
		p := r.start("run", "--once", "--config", file)
		p.KillAfter(200*time.Millisecond, 1500*time.Millisecond)
		if p.ExitCode() == 0 {
			break
		}
		kills++
	}
	if kills == 0 {
		t.Error("the run was never killed in its middle")
	}
	r.once(file, 0)
	e := r.wantEverywhere()
	r.wantLedger(file, uint64(len(e.records)), nil)
	r.wantRedisEmpty()
}
