package console

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sluice/internal/testenv"
	"sluice/internal/units"
	"sluice/retention/plan"
	"sluice/retention/report"
)

// fakeReport is of two stores, one of which will soon be full. Names, reasons and targets are what is given.
func fakeReport(text func(n int) string) *report.Report {
	now := time.Now().UTC()
	today := now.Truncate(units.Day)
	items := func(days int, each int64) (out []plan.Item) {
		for n := 1; n <= days; n++ {
			at := today.AddDate(0, 0, -n)
			out = append(out, plan.Item{Target: text(n), Org: text(n + 1), Whole: true, From: at, To: at.Add(units.Day), Records: 1234, Bytes: each})
		}
		return out
	}
	p := plan.Make(plan.Input{Now: now, Rules: plan.Rules{Floor: units.Day, WarnWithin: 14 * units.Day,
		Keep:  map[plan.Kind]time.Duration{plan.Search: 30 * units.Day},
		Holds: []plan.Hold{{Org: text(35), Reason: text(3)}}},
		Inventories: []plan.Inventory{
			{Store: text(0), Kind: plan.Search, Free: 4 << 30, Ahead: "on the cluster's disks", Items: items(40, 100<<20), Notes: []string{text(4)}},
			{Store: "raw", Kind: plan.Raw, Free: 1 << 30, Ahead: "on the server's file system", Items: items(20, 90<<20)},
		}, Problems: []string{text(5)}})
	r := report.Make(p, true, nil, errors.New(text(6)), nil)
	r.Error = text(6)
	return r
}

func openRetention(t *testing.T, ctx context.Context, u string, width int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 1300), chromedp.Navigate(u)); err != nil {
		t.Fatal(err)
	}
	const drawn = `document.querySelectorAll("#stores figure path.line.ruled[d]").length === 2 && document.querySelector("#row-list tr") && true`
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](drawn)); err != nil {
		t.Fatalf("the page was not drawn: %v", err)
	}
}

// shot leaves a picture of the page in the directory that SLUICE_SHOTS names.
func shot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("SLUICE_SHOTS")
	if dir == "" {
		return
	}
	b, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(dir+"/"+name+".png", b, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestStoresPage(t *testing.T) {
	names := []string{"search", "tyk_analytics-2026.11.22", "org1"}
	o := options()
	o.Retention = func() (*report.Report, error) {
		r := fakeReport(func(n int) string {
			if n < len(names) {
				return names[n]
			}
			return "row " + string(rune('a'+n%26))
		})
		r.Error, r.Problems = "", nil
		return r, nil
	}
	s := httptest.NewServer(New(o))
	t.Cleanup(s.Close)
	ctx := testenv.Browser(t)
	w := watching(t, ctx)
	openRetention(t, ctx, s.URL+"/retention", 1280)
	text := eval[string](t, ctx, "document.body.innerText")
	for _, want := range []string{"a store will soon be full", "raw: it is full on", "no rule bounds it", "3.9 GiB", "100 MiB a day over the last 7 whole days",
		"older than 30d (retention.search.keep)", "held by hold of organisation", "With the rules", "Planned cut"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	// the planned cut is a step: the line with the rules begins below the size
	gap := eval[float64](t, ctx, `(() => { const y = (c) => Number(document.querySelector("#stores .line." + c).getAttribute("d").match(/M[\d.]+ ([\d.]+)/)[1]);
		return y("ruled") - y("uncut") })()`)
	if gap < 5 {
		t.Errorf("the planned cut is %.1f px high", gap)
	}
	point := eval[string](t, ctx, `(() => { const p = document.querySelector("#stores .plot"); p.focus();
		p.dispatchEvent(new KeyboardEvent("keydown", {key: "End"})); return p.getAttribute("aria-valuetext") })()`)
	if !strings.Contains(point, "Size –, If nothing is deleted 12.7 GiB, With the rules 3.0 GiB, Room 7.9 GiB") {
		t.Errorf("the chart's cursor says %q", point)
	}
	shot(t, ctx, "stores")
	if over := eval[int](t, ctx, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
		t.Errorf("the page is %d px wider than the screen", over)
	}
	w.check(t, strings.TrimPrefix(s.URL, "http://"))

	openRetention(t, ctx, s.URL+"/retention", 390)
	shot(t, ctx, "stores-phone")
	if over := eval[int](t, ctx, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
		t.Errorf("on a phone the page is %d px wider than the screen", over)
	}
}

// TestStoresPageRunsNothingOfCallers: organisations, and what errors repeat of stores, come from elsewhere.
func TestStoresPageRunsNothingOfCallers(t *testing.T) {
	s := httptest.NewServer(New(Options{Retention: func() (*report.Report, error) {
		return fakeReport(func(n int) string { return payloads[n%len(payloads)] }), nil
	}}))
	t.Cleanup(s.Close)
	ctx := testenv.Browser(t)
	w := watching(t, ctx)
	openRetention(t, ctx, s.URL+"/", 1280) // without a status it is the only page
	if harmed := eval[string](t, ctx, `String(window.harmed) + String({}.harmed)`); harmed != "undefinedundefined" {
		t.Errorf("payload %s ran", harmed)
	}
	text := eval[string](t, ctx, "document.body.textContent")
	for _, n := range []int{0, 3, 5, 6} {
		if !strings.Contains(text, payloads[n]) {
			t.Errorf("not shown as it is: %q", payloads[n])
		}
	}
	const made = `[...document.querySelectorAll("main script, main img, main svg[onload], [onfocus], [autofocus], [onerror], [href^='javascript:']")].map(e => e.outerHTML)`
	if got := eval[[]string](t, ctx, made); len(got) > 0 {
		t.Errorf("elements came out of text: %v", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asked {
		if u, err := url.Parse(a); err != nil || u.Host != strings.TrimPrefix(s.URL, "http://") {
			t.Errorf("the page asked for %s", a)
		}
	}
}

func TestRetentionAlone(t *testing.T) {
	var r *report.Report
	var fault error
	s := serve(t, Options{Retention: func() (*report.Report, error) { return r, fault }, Token: ""})
	for path, want := range map[string]int{"/": 302, "/retention": 200, "/api/retention": 204, "/api/status": 404, "/live": 200, "/ready": 200} {
		if resp, _ := ask(t, s, "GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	fault = errors.New("secret path")
	if resp, body := ask(t, s, "GET", "/api/retention", ""); resp.StatusCode != 500 || strings.Contains(body, "secret") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	o := options()
	o.Token = "open sesame"
	guarded := serve(t, o)
	for _, path := range []string{"/retention", "/api/retention"} {
		if resp, _ := ask(t, guarded, "GET", path, ""); resp.StatusCode != 401 {
			t.Errorf("%s without the token: %d", path, resp.StatusCode)
		}
	}
}
