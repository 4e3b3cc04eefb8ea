package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sluice/internal/testenv"
)

func TestPageShowsTheLedger(t *testing.T) {
	t.Parallel()
	ctx := testenv.Browser(t)
	r := newRig(t).withFiles()
	r.sink("some", "discard", "filters: {skip_org_ids: [org1]}")
	file := r.file(func(s string) string { return strings.Replace(s, "filters: ", "timeout: 10s, filters: ", 1) })
	p := r.start("run", "--config", file)
	r.push(msgpackList, many(3210, capturedHour)...)
	r.push(msgpackList, []byte("poison"))
	p.WaitFor("msg=console")
	address := regexp.MustCompile(`address=(http://\S+)`).FindStringSubmatch(p.Stderr())
	if address == nil {
		t.Fatalf("no address in the log:\n%s", p.Stderr())
	}
	deadline := time.Now().Add(time.Minute)
	var a audit
	for a = r.audit(file); a.Taken < 3211 || a.Sinks["files"].Pending > 0; a = r.audit(file) {
		if time.Now().After(deadline) {
			t.Fatalf("never drained: %+v", a.Sinks)
		}
		time.Sleep(200 * time.Millisecond)
	}
	var want []string
	for _, name := range sortedKeys(a.Sinks) {
		s := a.Sinks[name]
		row := []string{name}
		for _, n := range []uint64{a.Taken, s.Effective, s.Duplicates, s.Filtered, s.DeadLetters, s.Spooled, s.Pending} {
			row = append(row, fmt.Sprint(n))
		}
		want = append(want, strings.Join(row, " "))
	}
	const rows = `[...document.querySelectorAll("#ledger-rows tr")].map(r => [...r.children].slice(0, 8).map(c => c.innerText.replace(/[^0-9a-z]/g, "")).join(" ")).join("\n")`
	if err := chromedp.Do(ctx, chromedp.Navigate(address[1])); err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%s === %q", rows, strings.Join(want, "\n"))
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](shown, chromedp.WithPollingTimeout(time.Minute))); err != nil {
		got, _ := chromedp.Run(ctx, chromedp.Evaluate[string](rows))
		t.Errorf("the page shows\n%s\nthe ledger is\n%s\n%v", got, strings.Join(want, "\n"), err)
	}
	p.Terminate()
	if code := p.Wait(); code != 0 {
		t.Errorf("the pump ends with %d", code)
	}
}
