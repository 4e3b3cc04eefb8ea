package console

import (
	"context"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
)

// watch gathers what the page asked for and complained about.
type watch struct {
	mu       sync.Mutex
	asked    []string
	messages []string
}

func watching(t *testing.T, ctx context.Context) *watch {
	t.Helper()
	w := &watch{}
	if err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok {
			w.mu.Lock()
			w.asked = append(w.asked, e.Request.URL)
			w.mu.Unlock()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range messages {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.messages = append(w.messages, m.String()+" "+m.URL)
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log(err)
		}
		<-done
	})
	return w
}

// check fails for a request to anywhere but host, and for any message on the browser's console.
func (w *watch) check(t *testing.T, host string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.asked) < 10 {
		t.Errorf("only %d requests were seen: the watch does not work", len(w.asked))
	}
	for _, a := range w.asked {
		if u, err := url.Parse(a); err != nil || u.Host != host {
			t.Errorf("the page asked for %s", a)
		}
	}
	for _, m := range w.messages {
		t.Errorf("the browser says %s", m)
	}
}

func eval[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return v
}

// open loads a page and waits until it shows the ledger and the traffic.
func open(t *testing.T, ctx context.Context, u string, width int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(u)); err != nil {
		t.Fatal(err)
	}
	const drawn = `document.querySelector("#ledger-rows tr") && document.querySelector("#top-apis li") &&
		document.querySelector("#dead-rows tr") && true`
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](drawn)); err != nil {
		t.Fatalf("the page was not drawn: %v", err)
	}
}

func TestPage(t *testing.T) {
	s := httptest.NewServer(New(options()))
	t.Cleanup(s.Close)
	ctx := testenv.Browser(t)
	w := watching(t, ctx)
	open(t, ctx, s.URL, 1280)

	text := eval[string](t, ctx, "document.body.innerText")
	for _, want := range []string{"123,456", "122,339", "118,882", "1,099", "4,567", "Balanced", "breaker open", "Redis is filling up",
		"connect: <b>refused</b>", "not a record: <script>", harm, "Orders", "Germany", "eu-test-1", "v1.2.3"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	rows := eval[[]string](t, ctx, `[...document.querySelectorAll("#ledger-rows tr")].map(r => [...r.children].map(c => c.innerText.trim()).join("|"))`)
	want := []string{"raw|123,456|122,339|11|1,099|7|0|0|yes", "search|123,456|118,882|0|0|7|0|4,567|yes"}
	if strings.Join(rows, "\n") != strings.Join(want, "\n") {
		t.Errorf("the ledger shows\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	if title := eval[string](t, ctx, "document.title"); title != "Sluice" {
		t.Errorf("title %q: a path was taken for markup", title)
	}
	if n := eval[int](t, ctx, `document.querySelectorAll("main img, main script, .fault b").length`); n != 0 {
		t.Errorf("%d elements came out of text", n)
	}
	if n := eval[int](t, ctx, `[...document.querySelectorAll("#pipes .water")].filter(p => p.getAttribute("d")).length`); n != 3 {
		t.Errorf("%d pipes, want those of a source and two sinks", n)
	}
	unnamed := eval[[]string](t, ctx, `[...document.querySelectorAll("button, input, a, [tabindex='0'], [role=meter], section")]
		.filter(e => !(e.innerText || e.ariaLabel || e.labels?.[0]?.innerText || e.getAttribute("aria-labelledby"))).map(e => e.outerHTML)`)
	if len(unnamed) != 0 {
		t.Errorf("without a name: %v", unnamed)
	}
	theme := eval[[]string](t, ctx, `[0,1,2].map(() => { document.getElementById("theme").click(); return document.documentElement.dataset.theme ?? "system" })`)
	if strings.Join(theme, " ") != "light dark system" {
		t.Errorf("the theme goes %v", theme)
	}
	point := eval[string](t, ctx, `(() => { const p = document.querySelector("#chart-requests .plot"); p.focus();
		p.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"})); return p.getAttribute("aria-valuetext") })()`)
	if !strings.Contains(point, "Requests 10, Errors 0.50") {
		t.Errorf("the chart's cursor says %q", point)
	}
	shift, err := chromedp.Run(ctx, chromedp.Evaluate[float64](`new Promise(done => {
		let sum = 0;
		new PerformanceObserver(l => { for (const e of l.getEntries()) sum += e.value }).observe({type: "layout-shift", buffered: true});
		setTimeout(() => done(sum), 300) })`, chromedp.EvalAwaitPromise))
	if err != nil || shift > 0.05 {
		t.Errorf("the layout shifts by %.3f, error %v", shift, err)
	}
	w.check(t, strings.TrimPrefix(s.URL, "http://"))
}

func TestPageOnAPhone(t *testing.T) {
	s := httptest.NewServer(New(options()))
	t.Cleanup(s.Close)
	ctx := testenv.Browser(t)
	open(t, ctx, s.URL, 390)
	if over := eval[int](t, ctx, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
		t.Errorf("the page is %d px wider than the screen", over)
	}
	small := eval[[]string](t, ctx, `[...document.querySelectorAll("button, .ranges label, summary")]
		.filter(e => e.getBoundingClientRect().height < 38).map(e => e.outerHTML)`)
	if len(small) != 0 {
		t.Errorf("too small for a finger: %v", small)
	}
}

func TestPageAsksForTheToken(t *testing.T) {
	o := options()
	o.Token = "open sesame"
	s := httptest.NewServer(New(o))
	t.Cleanup(s.Close)
	ctx := testenv.Browser(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(s.URL)); err != nil {
		t.Fatal(err)
	}
	if at := eval[string](t, ctx, "location.pathname"); at != "/login" {
		t.Fatalf("the browser is at %s", at)
	}
	eval[bool](t, ctx, `(document.getElementById("token").value = "open sesame", document.querySelector("form button").click(), true)`)
	const shown = `location.pathname === "/" && !!document.querySelector("#ledger-rows tr")`
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		// An evaluation that the navigation interrupts fails, and is asked again.
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](shown))
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the page was not shown after signing in: %v", err)
		}
	}
}

// TestPageWithoutTraffic: no sink can show traffic, and nothing is broken by it.
func TestPageWithoutTraffic(t *testing.T) {
	s := httptest.NewServer(New(Options{Status: fakeStatus}))
	t.Cleanup(s.Close)
	ctx := testenv.Browser(t)
	w := watching(t, ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate(s.URL)); err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	const said = `!document.getElementById("no-traffic").hidden && !!document.querySelector("#ledger-rows tr")`
	if _, err := chromedp.Run(limited, chromedp.Poll[bool](said)); err != nil {
		t.Errorf("the page does not say that there is no traffic: %v", err)
	}
	w.check(t, strings.TrimPrefix(s.URL, "http://"))
}

// payloads are what a caller may put into a path, a user agent or a key, for each place where a page could run it.
var payloads = []string{
	`<script>window.harmed=1</script>`,
	`"><svg onload=window.harmed=2>`,
	`' autofocus onfocus='window.harmed=3`,
	`</script><script>window.harmed=4</script>`,
	`javascript:window.harmed=5`,
	`data: x\n\nevent: status\ndata: {"alarms":["forged"]}`,
	`{{constructor.constructor('window.harmed=6')()}}`,
	`${window.harmed=7}`,
	`]]><img src=//evil.example/x onerror=window.harmed=8>`,
	`url(//evil.example/y);background:red`,
	"\u2028window.harmed=9\u2029",
	`\u003cscript\u003ewindow.harmed=10\u003c/script\u003e`,
	`__proto__`,
}

// hostile answers with payloads wherever a caller's text comes from.
type hostile struct{}

func (hostile) Traffic(_ context.Context, from, to time.Time, step time.Duration) (pipeline.Traffic, error) {
	t := pipeline.Traffic{From: from, To: to, Step: step.Seconds(), Points: []pipeline.TrafficPoint{{Time: from, Hits: 100}}}
	half := len(payloads) / 2
	for i, p := range payloads {
		top := pipeline.TrafficTop{Name: p, Label: p, Hits: uint64(100 - i)}
		t.APIs, t.Keys = append(t.APIs, top), append(t.Keys, top)
		top.Label = ""
		t.Codes = append(t.Codes, top)
		if i < half {
			t.Endpoints = append(t.Endpoints, top)
		} else {
			t.Countries = append(t.Countries, top)
		}
	}
	return t, nil
}

// TestPageRunsNothingOfCallers puts payloads everywhere and looks for anything that came of them.
func TestPageRunsNothingOfCallers(t *testing.T) {
	o := options()
	o.Traffic = hostile{}
	o.DeadLetters = func(context.Context, int) (out []DeadLetter, _ error) {
		for _, p := range payloads {
			out = append(out, DeadLetter{ID: p, Sink: p, Reason: p, Source: p, List: p, Position: p, Time: time.Now()})
		}
		return out, nil
	}
	o.Status = func() pipeline.Status {
		s := fakeStatus()
		s.Region, s.Version, s.NotReady, s.Alarms = payloads[0], payloads[1], payloads, payloads
		s.Sources[0].Name, s.Sources[0].Lists[0].Name, s.Sources[0].Error = payloads[2], payloads[1], payloads[3]
		for i, p := range payloads {
			s.Sinks = append(s.Sinks, pipeline.SinkStatus{Name: p, Type: p, State: "open", LastError: p, Counts: pipeline.Counts{DeadLetters: uint64(i)}})
			s.Ledger.Sinks[p] = pipeline.Counts{Effective: 123456}
		}
		return s
	}
	s := httptest.NewServer(New(o))
	t.Cleanup(s.Close)
	ctx := testenv.Browser(t)
	w := watching(t, ctx)
	open(t, ctx, s.URL, 1280)
	const drawn = `document.querySelector("#top-endpoints li") && document.querySelector("#top-countries li") && document.querySelectorAll("#dead-rows tr").length >= 10`
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](drawn, chromedp.WithPollingTimeout(20*time.Second))); err != nil {
		t.Fatalf("the payloads were not drawn: %v", err)
	}
	text := eval[string](t, ctx, `document.body.textContent`)
	for _, p := range payloads {
		if !strings.Contains(text, p) {
			t.Errorf("not shown as it is: %q", p)
		}
	}
	if harmed := eval[string](t, ctx, `String(window.harmed) + String({}.harmed)`); harmed != "undefinedundefined" {
		t.Errorf("payload %s ran", harmed)
	}
	const made = `[...document.querySelectorAll("main script, main img, main svg[onload], [onfocus], [autofocus], [onerror], [href^='javascript:']")].map(e => e.outerHTML)`
	if got := eval[[]string](t, ctx, made); len(got) > 0 {
		t.Errorf("elements came out of text: %v", got)
	}
	if eval[bool](t, ctx, `[...document.querySelectorAll(".alarm, [role=alert]")].some(e => e.textContent.trim() === "forged")`) {
		t.Error("an event was forged")
	}
	// The policy holds also where the page itself would be at fault.
	for _, fault := range []string{`document.body.innerHTML = "<b>x</b>"`, `document.write("x")`, `new DOMParser().parseFromString("<b>", "text/html")`} {
		if eval[bool](t, ctx, `(() => { try { `+fault+`; return true } catch { return false } })()`) {
			t.Errorf("the policy lets %s pass", fault)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.asked {
		if u, err := url.Parse(a); err != nil || u.Host != strings.TrimPrefix(s.URL, "http://") {
			t.Errorf("the page asked for %s", a)
		}
	}
}
