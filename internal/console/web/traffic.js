// The traffic: charts and top lists over the time chosen.
import { $, attr, h, keyed, text } from "./dom.js";
import { Chart } from "./chart.js";
import { compact, count, country, ms, percent, rate, time } from "./format.js";

const ranges = { // span, step, refresh in seconds
  "15m": [900, 10, 4], "1h": [3600, 30, 10], "6h": [21600, 180, 30], "24h": [86400, 600, 60],
  "7d": [604800, 7200, 120], "30d": [2592000, 28800, 300],
};
const ROWS = 8;
const SETTLE = 3; // seconds until a bucket that ended has all that is coming, usually

let chosen = "15m", timer = 0, asked = 0, step = 10;

const perSecond = (p, key) => p[key] / step;
const axisRate = (v) => (v >= 1000 ? compact(v) : String(+v.toPrecision(3)));

const requests = new Chart($("chart-requests"), {
  title: "Requests and errors a second",
  series: [{ name: "Requests", key: "hits", kind: "area" }, { name: "Errors", key: "errors", kind: "area" }],
  value: perSecond, format: rate, axis: axisRate,
  summary: (ps) => summary(ps, "hits", "requests a second", perSecond, rate),
});
const latency = new Chart($("chart-latency"), {
  title: "Latency",
  series: [{ name: "Average", key: "latency_avg_ms", kind: "area" }, { name: "Upstream", key: "upstream_avg_ms", kind: "line" }],
  value: (p, key) => p[key], format: ms, axis: (v) => (v >= 1000 ? +(v / 1000).toPrecision(3) + " s" : +v.toPrecision(3) + " ms"),
  summary: (ps) => summary(ps, "latency_avg_ms", "average latency", (p, key) => p[key], ms),
});

function summary(points, key, name, value, format) {
  if (!points.length) return "No data.";
  const top = points.reduce((a, b) => (value(b, key) > value(a, key) ? b : a));
  return `${name}: now ${format(value(points.at(-1), key))}, highest ${format(value(top, key))} at ${time(top.time)}.`;
}

/** Starts reading; while the page is hidden nothing is asked for. */
export function startTraffic() {
  for (const input of document.querySelectorAll("input[name=range]")) {
    input.addEventListener("change", () => {
      chosen = input.value;
      load();
    });
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : load()));
  load();
}

async function load() {
  clearTimeout(timer);
  const [spanSec, stepSec, refresh] = ranges[chosen];
  const mine = ++asked;
  const to = Math.floor((Date.now() / 1000 - SETTLE) / stepSec) * stepSec;
  const iso = (sec) => new Date(sec * 1000).toISOString();
  try {
    const answer = await fetch(`/api/traffic?from=${iso(to - spanSec)}&to=${iso(to)}&step=${stepSec}s`);
    if (mine !== asked) return; // another range was chosen meanwhile
    if (answer.status === 204) {
      $("no-traffic").hidden = false;
      $("traffic-body").hidden = true;
      return;
    }
    if (answer.ok) draw(await answer.json());
  } catch { /* the stream says when the connection is lost */ }
  if (!document.hidden) timer = setTimeout(load, refresh * 1000);
}

function draw(t) {
  step = t.step_seconds;
  const points = t.points.map((p) => ({ ...p, time: new Date(p.time) }));
  requests.set(points, step);
  latency.set(points, step);
  drawCodes(t.codes ?? []);
  const total = points.reduce((n, p) => n + p.hits, 0);
  top("top-apis", t.apis, total);
  top("top-keys", t.keys, total, (x) => (x.name === "00000000" ? "without a key" : null));
  top("top-endpoints", t.endpoints, total);
  top("top-countries", t.countries, total, (x) => country(x.name));
}

function top(id, items, total, name) {
  const shown = (items ?? []).slice(0, ROWS);
  const most = Math.max(1, ...shown.map((x) => x.hits));
  attr($(id), "data-empty", shown.length === 0);
  keyed($(id), shown, (x) => x.name, () => h("li", null,
    h("span", { class: "name" }), h("span", { class: "sub" }), h("span", { class: "hits" }),
    h("span", { class: "bar", "aria-hidden": "true" }, h("i", { class: "good" }), h("i", { class: "bad" })),
    h("span", { class: "facts" })), (el, x) => {
    const [label, sub, hits, bar, facts] = el.children;
    const given = name?.(x);
    text(label, given || x.label || x.name || "none");
    text(sub, x.label && !given ? x.name : "");
    attr(label, "title", x.name);
    text(hits, compact(x.hits));
    bar.children[0].style.width = (100 * (x.hits - x.errors)) / most + "%";
    bar.children[1].style.width = (100 * x.errors) / most + "%";
    text(facts, percent(x.errors, x.hits) + " errors · " + ms(x.latency_avg_ms) + " · " + percent(x.hits, total) + " of all");
  });
}

const classes = [["2", "2xx", "done"], ["3", "3xx", "redirected"], ["4", "4xx", "refused"], ["5", "5xx", "failed"]];

function drawCodes(codes) {
  const box = $("codes");
  if (!box.children.length) {
    box.append(h("div", { class: "code-bar", "aria-hidden": "true" }, ...classes.map(([c]) => h("i", { class: "c" + c }))),
      h("ul", null, ...classes.map(([c, name, meaning]) => h("li", null, h("i", { class: "c" + c, "aria-hidden": "true" }),
        h("b", null, name), " " + meaning + " ", h("span", { class: "n" }), h("small")))));
  }
  const sums = classes.map(([c]) => codes.filter((x) => x.name.startsWith(c)).reduce((n, x) => n + x.hits, 0));
  const all = sums.reduce((a, b) => a + b, 0);
  classes.forEach(([c], i) => {
    box.firstChild.children[i].style.flexGrow = String(sums[i]);
    const li = box.lastChild.children[i];
    text(li.querySelector(".n"), count(sums[i]) + " · " + percent(sums[i], all));
    text(li.querySelector("small"), codes.filter((x) => x.name.startsWith(c)).slice(0, 4).map((x) => x.name + "\u00a0×\u00a0" + compact(x.hits)).join("  "));
  });
}
