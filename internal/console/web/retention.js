// The page of stores: the last report of retention, asked for once a minute.
import { $, attr, h, keyed, text } from "./dom.js";
import { bytes, compact, count, date, dateTime } from "./format.js";
import { Chart } from "./chart.js";
import { startThemes } from "./themes.js";

const every = 60000;
const day = (t) => (t ? date(new Date(t)) + " " + new Date(t).getUTCFullYear() : "–");

async function load() {
  try {
    const res = await fetch("/api/retention");
    if (res.status === 204) return none();
    if (!res.ok) throw new Error(await res.text());
    draw(await res.json());
  } catch (err) {
    attr($("state"), "data-state", "bad");
    text($("state"), "not to be had");
    text($("made"), String(err.message));
  }
}

function none() {
  attr($("state"), "data-state", "wait");
  text($("state"), "no run yet");
  $("none").hidden = false;
  $("main").classList.remove("waiting");
}

function draw(r) {
  const bad = Boolean(r.error) || (r.problems ?? []).length > 0;
  const warned = (r.warnings ?? []).length > 0;
  attr($("state"), "data-state", bad ? "bad" : warned ? "warn" : "ok");
  text($("state"), bad ? "the last run failed" : warned ? "a store will soon be full" : "all is within its rules");
  text($("made"), "looked at " + dateTime(new Date(r.made)));
  $("none").hidden = true;
  $("figures").hidden = false;
  const stores = r.stores ?? [];
  text($("f-stores"), count(stores.length));
  text($("f-size"), bytes(stores.reduce((n, s) => n + s.bytes, 0)) + " in all");
  text($("f-due"), count(r.due));
  text($("f-done"), r.applies ? `${r.done} done` : "the plan alone: nothing is done");
  text($("f-frees"), bytes(r.frees));
  text($("f-held"), count(r.held));
  text($("f-warn"), count((r.warnings ?? []).length));
  const first = stores.filter((s) => s.full_at).sort((a, b) => a.full_at.localeCompare(b.full_at))[0];
  text($("f-full"), first ? date(new Date(first.full_at)) : "–");
  text($("f-full-sub"), first ? first.store + ", if nothing is deleted" : "none foreseeable");
  drawNotices(r);
  keyed($("stores"), stores, (s) => s.store, makeStore, updateStore);
  drawRows(r);
  $("main").classList.remove("waiting");
}

function drawNotices(r) {
  const list = [...(r.error ? [["alarm", "Failed", r.error]] : []), ...(r.problems ?? []).map((x) => ["alarm", "Problem", x]),
    ...(r.warnings ?? []).map((x) => ["wait", "Warning", x]), ...(r.advice ?? []).map((x) => ["wait", "Advice", x])];
  $("notices").hidden = list.length === 0;
  keyed($("notice-list"), list, ([, kind, x]) => kind + x, ([look, kind, x]) => h("li", { "data-kind": look }, h("b", null, kind), " ", x), () => {});
}

const facts = [
  ["Size", (s) => bytes(s.bytes)], ["Records", (s) => compact(s.records)], ["A day", (s) => bytes(s.bytes_per_day)],
  ["Planned cut", (s) => bytes(s.planned_cut ?? 0)], ["Oldest", (s) => (s.records ? day(s.oldest) : "–")],
  ["Levels at", (s) => (s.levels_at ? bytes(s.levels_at) : "no bound")], ["Room", (s) => (s.free >= 0 ? bytes(s.free ?? 0) : "not known")],
  ["Full", (s) => (s.full_at ? day(s.full_at) : "–")],
];

const charts = new WeakMap();

function makeStore(s) {
  const figure = h("figure");
  const parts = {
    facts: facts.map(([name]) => [h("dt", null, name), h("dd")]), why: h("p", { class: "why" }), warns: h("p", { class: "warns" }),
  };
  const el = h("section", { class: "card", "aria-label": s.store },
    h("div", { class: "head" }, h("h2", null, s.store), h("p", { class: "hint" }, s.kind)),
    h("dl", null, ...parts.facts.map((pair) => h("div", null, ...pair))), figure, parts.why, parts.warns);
  const today = (s.curve ?? []).findIndex((p) => p.uncut !== undefined);
  parts.chart = new Chart(figure, {
    title: "Size over time", rest: Math.max(0, today), empty: "Nothing in it yet",
    series: [{ name: "Size", key: "size", kind: "area" }, { name: "If nothing is deleted", key: "uncut", kind: "line" },
      { name: "With the rules", key: "ruled", kind: "line" }, { name: "Room", key: "room", kind: "line" }],
    value: (p, key) => p[key], format: bytes, axis: (v) => bytes(v).replace(/(\d\d)\.\d/, "$1"), summary: () => "",
  });
  charts.set(el, parts);
  return el;
}

function updateStore(el, s) {
  const parts = charts.get(el);
  facts.forEach(([, of], i) => text(parts.facts[i][1], of(s)));
  text(parts.why, s.reasoning);
  text(parts.warns, s.warning ?? "");
  parts.warns.hidden = !s.warning;
  const points = (s.curve ?? []).map((p) => ({ ...p, time: new Date(p.time) }));
  const most = Math.max(0, ...points.flatMap((p) => [p.size ?? 0, p.uncut ?? 0]));
  const room = s.bytes + (s.free ?? 0);
  if (s.free >= 0 && room <= 3 * most) points.forEach((p) => (p.room = room)); // further up it would flatten the rest
  parts.chart.summary = () => s.store + ": " + s.reasoning;
  parts.chart.set(points, 86400);
}

function drawRows(r) {
  const rows = r.actions ?? [];
  $("rows").hidden = rows.length === 0;
  text($("rows-hint"), r.more ? `The first ${rows.length} of ${rows.length + r.more}.` : r.applies ? "As it was when the last run began." : "Nothing of it is done without --apply.");
  $("row-list").replaceChildren(...rows.map((a) => h("tr", { role: "row" },
    h("td", { role: "cell", "data-label": "Action" }, a.action + (a.into ? ` ${a.width} to ${a.into}` : "")),
    h("td", { role: "cell", "data-label": "Store" }, a.store), h("td", { role: "cell", "data-label": "Target" }, a.target),
    h("td", { role: "cell", class: "num", "data-label": "Records" }, count(a.records)), h("td", { role: "cell", class: "num", "data-label": "Frees" }, bytes(a.bytes)),
    h("td", { role: "cell", "data-label": "Why" }, a.reason, ...(a.locks ? [h("span", { class: "held" }, "takes " + a.locks)] : []),
      ...(a.held_by ?? []).map((x) => h("span", { class: "held" }, "held by " + x))))));
}

startThemes();
load();
setInterval(() => document.hidden || load(), every);
