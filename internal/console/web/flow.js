// The flow: sources, the gate, sinks as elements, and pipes drawn behind them.
import { $, attr, h, keyed, s, still, text } from "./dom.js";
import { compact, count, rate, span } from "./format.js";

const SAMPLES = 60; // a minute of rates a node
const histories = new Map();
const seenLists = new Set();

const states = {
  ok: "flowing", starting: "starting", retrying: "retrying", open: "breaker open", closed: "closed",
};

/** Draws one status. */
export function drawFlow(status) {
  const sources = status.sources ?? [];
  const sinks = status.sinks ?? [];
  for (const x of sources) remember("source " + x.name, x.rate);
  for (const x of sinks) remember("sink " + x.name, x.rate);
  let moved = keyed($("sources"), sources, (x) => x.name, makeSource, updateSource);
  moved = keyed($("sinks"), sinks, (x) => x.name, makeSink, updateSink) || moved;
  updateGate(sources);
  drawPipes(sources, sinks, moved);
}

function remember(key, value) {
  const all = histories.get(key) ?? [];
  all.push(value || 0);
  if (all.length > SAMPLES) all.shift();
  histories.set(key, all);
}

function spark() {
  return s("svg", { class: "spark", viewBox: "0 0 120 28", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    s("path", { class: "fill" }), s("path", { class: "line" }));
}

function updateSpark(el, key) {
  const values = histories.get(key) ?? [];
  const top = Math.max(...values, 1e-9);
  const x = (i) => ((SAMPLES - values.length + i) * 120) / (SAMPLES - 1);
  const line = values.map((v, i) => (i ? "L" : "M") + x(i).toFixed(1) + " " + (26 - (24 * v) / top).toFixed(1)).join("");
  el.children[1].setAttribute("d", line || "M0 26");
  el.children[0].setAttribute("d", values.length > 1 ? line + "L120 28L" + x(0).toFixed(1) + " 28Z" : "");
}

const fact = (name) => h("div", null, h("dt", null, name), h("dd", null, "–"));
const fill = (el, ...values) => values.forEach((v, i) => text(el.children[i].children[1], v));

function makeSource(x) {
  return h("li", { class: "node" },
    h("div", { class: "node-head" }, h("h3", null, x.name), h("span", { class: "kind" }), h("span", { class: "chip" })),
    h("dl", null, fact("a second"), fact("taken")), spark(), h("ul", { class: "lists" }), h("p", { class: "more" }), h("p", { class: "fault" }));
}

function updateSource(el, x) {
  const [head, facts, line, lists, more, fault] = el.children;
  text(head.children[1], x.type);
  attr(head.children[2], "data-state", x.connected ? "ok" : "bad");
  text(head.children[2], x.connected ? "connected" : "cut off");
  fill(facts, rate(x.rate), compact(x.taken));
  updateSpark(line, "source " + x.name);
  const all = x.lists ?? [];
  for (const l of all) if (l.waiting || l.open_claims || l.taken) seenLists.add(x.name + " " + l.name);
  const used = all.filter((l) => seenLists.has(x.name + " " + l.name));
  const shown = used.slice(0, 6);
  const most = Math.max(1, ...shown.map((l) => l.waiting));
  keyed(lists, shown, (l) => l.name, makeList, (li, l) => updateList(li, l, most));
  const rest = all.length - shown.length;
  text(more, rest > 0 ? "and " + rest + (used.length > shown.length ? " more lists" : " idle lists") : "");
  text(fault, x.error ?? "");
}

function makeList(l) {
  return h("li", { title: l.name },
    h("span", { class: "list-name" }, l.name.replace(/^.*tyk-/, "")), h("span", { class: "bar" }, h("i")),
    h("span", { class: "list-n" }));
}

function updateList(el, l, most) {
  el.children[1].firstChild.style.width = (100 * l.waiting) / most + "%";
  const owner = l.owner === "other" ? ", another pump has it" : "";
  text(el.children[2], compact(l.waiting));
  attr(el, "aria-label", l.name + ": " + count(l.waiting) + " waiting, " + l.open_claims + " open claims" + owner);
  attr(el, "data-owner", l.owner);
}

function makeSink(x) {
  return h("li", { class: "node" },
    h("div", { class: "node-head" }, h("h3", null, x.name), h("span", { class: "kind" }), h("span", { class: "chip" })),
    h("dl", null, fact("a second"), fact("behind"), fact("lag"), fact("errors")), spark(), h("p", { class: "fault" }));
}

function updateSink(el, x) {
  const [head, facts, line, fault] = el.children;
  text(head.children[1], x.type);
  attr(el, "data-state", x.state);
  attr(head.children[2], "data-state", tone(x.state));
  text(head.children[2], states[x.state] ?? x.state);
  fill(facts, rate(x.rate), compact(x.lag_records), x.lag_records ? span(x.lag_seconds) : "none", compact(x.errors));
  updateSpark(line, "sink " + x.name);
  text(fault, x.state !== "ok" && x.last_error ? x.last_error : "");
}

const tone = (state) => ({ ok: "ok", starting: "wait", retrying: "warn", open: "bad", closed: "off" })[state] ?? "off";

function updateGate(sources) {
  const lists = sources.flatMap((x) => x.lists ?? []);
  text($("g-open"), count(lists.reduce((n, l) => n + l.open_claims, 0)));
  text($("g-waiting"), compact(lists.reduce((n, l) => n + l.waiting, 0)));
  text($("g-oldest"), span(Math.max(0, ...lists.map((l) => l.oldest_age_seconds || 0))));
}

// ---- pipes

const layers = ["bed", "water", "drops", "stop"];
const pipes = new Map(); // key -> {parts: {bed, water, drops, stop}, anim, flows}
const DROP = 22; // one drop and the gap behind it, in pixels
let last = { sources: [], sinks: [] };

// Layers, so that where pipes share a way no bed hides the water of another.
$("pipes").append(...layers.map((name) => s("g", { class: name + "s" })));
const layer = (name) => $("pipes").children[layers.indexOf(name)];

new ResizeObserver(() => place()).observe($("flow"));
still.addEventListener("change", () => {
  for (const p of pipes.values()) drop(p);
  pipes.clear();
  drawPipes(last.sources, last.sinks, true);
});

function drawPipes(sources, sinks, moved) {
  last = { sources, sinks };
  const wanted = [
    ...sources.map((x) => ({ key: "source " + x.name, rate: x.rate, tone: x.connected ? "ok" : "bad" })),
    ...sinks.map((x) => ({ key: "sink " + x.name, rate: x.rate, tone: tone(x.state) })),
  ];
  const keys = new Set(wanted.map((w) => w.key));
  for (const [key, p] of pipes) {
    if (keys.has(key)) continue;
    drop(p);
    pipes.delete(key);
    moved = true;
  }
  for (const w of wanted) {
    let p = pipes.get(w.key);
    if (!p) {
      p = makePipe();
      pipes.set(w.key, p);
      moved = true;
    }
    moved = paint(p, w) || moved;
  }
  if (moved) place();
}

function makePipe() {
  const parts = {};
  for (const name of layers) {
    parts[name] = s("path", { class: "pipe " + name });
    layer(name).append(parts[name]);
  }
  attr(parts.drops, "stroke-dasharray", "1 " + (DROP - 1));
  attr(parts.stop, "d", "M0 -9V9");
  const anim = still.matches ? null
    : parts.drops.animate([{ strokeDashoffset: DROP }, { strokeDashoffset: 0 }], { duration: 900, iterations: Infinity });
  return { parts, anim, flows: null };
}

function drop(p) {
  p.anim?.cancel();
  for (const part of Object.values(p.parts)) part.remove();
}

// paint makes a pipe as wide and quick as what flows in it, both by the logarithm: calm at any load. It tells whether
// the pipe began or ceased to flow.
function paint(p, w) {
  const strength = Math.min(1, Math.log10(1 + (w.rate || 0)) / 4);
  const flows = w.rate > 0.01 && w.tone !== "bad" && w.tone !== "off";
  for (const part of Object.values(p.parts)) {
    attr(part, "data-state", w.tone);
    attr(part, "data-flows", flows);
    part.style.setProperty("--w", (4 + 8 * strength).toFixed(1) + "px");
  }
  p.anim?.updatePlaybackRate(flows ? 0.25 + 0.95 * strength : 0);
  const changed = p.flows !== flows;
  p.flows = flows;
  return changed;
}

function place() {
  const flow = $("flow").getBoundingClientRect();
  if (!flow.width) return;
  attr($("pipes"), "viewBox", "0 0 " + flow.width + " " + flow.height);
  const stacked = getComputedStyle($("flow")).getPropertyValue("--stacked").trim() === "1";
  const gate = boxOf($("gate"), flow);
  for (const side of ["source", "sink"]) {
    const nodes = [...$(side + "s").children].map((el) => ({ box: boxOf(el, flow), pipe: pipes.get(side + " " + el.dataset.key) }))
      .filter((n) => n.pipe);
    if (stacked) placeDown(side, nodes, gate);
    else placeAcross(side, nodes, gate);
  }
}

function boxOf(el, flow) {
  const r = el.getBoundingClientRect();
  const top = r.top - flow.top, bottom = r.bottom - flow.top;
  return { left: r.left - flow.left, right: r.right - flow.left, top, bottom, mid: (top + bottom) / 2 };
}

function lay(pipe, bed, water, x, y) {
  attr(pipe.parts.bed, "d", bed);
  attr(pipe.parts.water, "d", water);
  attr(pipe.parts.drops, "d", water);
  attr(pipe.parts.stop, "transform", `translate(${x} ${y})`);
}

// placeAcross bends pipes from the sources to the gate, and from the gate to the sinks, which stand beside each other.
function placeAcross(side, nodes, gate) {
  const gap = Math.min(16, (gate.bottom - gate.top - 24) / nodes.length);
  nodes.forEach(({ box, pipe }, i) => {
    const port = gate.mid + (i - (nodes.length - 1) / 2) * gap;
    const [x1, y1, x2, y2] = side === "source" ? [box.right, box.mid, gate.left, port] : [gate.right, port, box.left, box.mid];
    const c = (x1 + x2) / 2;
    const d = `M${x1} ${y1}C${c} ${y1} ${c} ${y2} ${x2} ${y2}`;
    lay(pipe, d, d, side === "sink" ? box.left - 12 : box.right + 12, box.mid);
  });
}

// placeDown runs pipes in the gutter at the left, where nodes stand below each other and share the way. Each one's water
// takes over where the one before it branches off, so that no two lie on each other.
function placeDown(side, nodes, gate) {
  const x = 9, r = 9;
  const flowing = nodes.filter((n) => n.pipe.flows);
  for (const n of nodes) {
    const { left, mid } = n.box;
    const at = flowing.indexOf(n);
    const into = (from) => `M${x} ${from}V${mid - r}Q${x} ${mid} ${x + r} ${mid}H${left}`;
    const out = (to) => `M${left} ${mid}H${x + r}Q${x} ${mid} ${x} ${mid + r}V${to}`;
    if (side === "source") {
      const next = at < 0 ? undefined : flowing[at + 1];
      lay(n.pipe, out(gate.top), out(next ? next.box.mid + r : gate.top), left - 7, mid);
    } else {
      const before = at < 1 ? undefined : flowing[at - 1];
      lay(n.pipe, into(gate.bottom), into(before ? before.box.mid - r : gate.bottom), left - 7, mid);
    }
  }
}
