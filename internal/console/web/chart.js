// A line chart in SVG: areas and lines over time, a cursor that follows pointer and arrow keys, a table behind it.
import { attr, h, s, text } from "./dom.js";
import { date, dateTime, time, timeExact } from "./format.js";

const HEIGHT = 200, LEFT = 56, RIGHT = 8, TOP = 10, BOTTOM = 24;

/** Ticks at round numbers from 0 up to at least top. */
function ticks(top) {
  const raw = top / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const out = [];
  for (let v = 0; v < top + step * 0.999; v += step) out.push(v);
  return out;
}

const gap = (v) => v === undefined || v === null;

/** Steps between time labels, in seconds. */
const steps = [60, 120, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000, 1728000];

/**
 * A chart in a figure element. series: [{name, key, kind: "area"|"line"}], value(point, key) gives a number, or nothing where
 * a line has a gap; format(number) and axis(number) write it. rest is the point that the legend shows without a cursor, the
 * last one if it is not given; empty is said where there is nothing to draw.
 */
export class Chart {
  constructor(figure, { title, series, value, format, axis, summary, rest, empty }) {
    Object.assign(this, { figure, title, series, value, axis, summary, rest, empty });
    this.format = (v) => (gap(v) ? "–" : format(v));
    this.points = [];
    this.at = -1;
    this.build();
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  build() {
    const legend = this.series.map((x) => h("li", { class: "key " + x.key }, h("i", { "aria-hidden": "true" }), x.name, h("b")));
    this.legend = legend;
    this.grid = s("g", { class: "grid" });
    this.marks = this.series.map((x) => ({
      area: x.kind === "area" ? s("path", { class: "area " + x.key }) : null, line: s("path", { class: "line " + x.key }),
    }));
    this.cursor = s("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.svg = s("svg", { "aria-hidden": "true", focusable: "false", height: HEIGHT }, this.grid,
      ...this.marks.flatMap((m) => [m.area, m.line]).filter(Boolean), this.cursor);
    this.none = h("p", { class: "nothing" }, this.empty ?? "No requests in this time");
    this.plot = h("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": this.title + ", point in time",
      "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0 }, this.svg, this.none);
    this.when = h("span", { class: "when" });
    this.note = h("p", { class: "sr" });
    this.rows = h("tbody");
    const table = h("details", null, h("summary", null, "As a table"), h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": this.title + " as a table" },
      h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Time"),
        ...this.series.map((x) => h("th", { scope: "col", class: "num" }, x.name)))), this.rows)));
    this.details = table;
    table.addEventListener("toggle", () => this.fillTable());
    this.figure.append(h("figcaption", null, h("h3", null, this.title), this.when), h("ul", { class: "legend" }, ...legend),
      this.plot, this.note, table);
    this.plot.addEventListener("pointermove", (e) => this.point(e));
    this.plot.addEventListener("pointerdown", (e) => this.point(e));
    this.plot.addEventListener("pointerleave", () => this.select(-1));
    this.plot.addEventListener("blur", () => this.select(-1));
    this.plot.addEventListener("keydown", (e) => this.key(e));
  }

  /** Shows points ({time: Date, ...}, one a step). */
  set(points, step) {
    this.points = points;
    this.step = step;
    if (this.at >= points.length) this.at = -1;
    attr(this.plot, "aria-valuemax", Math.max(0, points.length - 1));
    text(this.note, this.summary(points));
    this.none.hidden = points.some((p) => this.series.some((x) => this.value(p, x.key) > 0));
    this.draw();
    this.fillTable();
  }

  draw() {
    const width = this.plot.clientWidth;
    if (!width) return;
    this.width = width;
    attr(this.svg, "viewBox", `0 0 ${width} ${HEIGHT}`);
    attr(this.svg, "width", width);
    const top = Math.max(1e-9, ...this.points.flatMap((p) => this.series.map((x) => this.value(p, x.key) ?? 0)));
    const marks = ticks(top > 1e-9 ? top : 1);
    const max = marks.at(-1);
    this.y = (v) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * v) / max;
    this.x = (i) => LEFT + ((width - LEFT - RIGHT) * i) / Math.max(1, this.points.length - 1);
    this.grid.replaceChildren(...marks.flatMap((v) => [
      s("line", { x1: LEFT, x2: width - RIGHT, y1: this.y(v), y2: this.y(v) }),
      s("text", { x: LEFT - 8, y: this.y(v) + 4, "text-anchor": "end" }, this.axis(v)),
    ]), ...this.timeLabels(width));
    this.series.forEach((x, n) => {
      const at = this.points.map((p, i) => [i, this.value(p, x.key)]).filter(([, v]) => !gap(v));
      const line = at.map(([i, v], k) => (k && at[k - 1][0] === i - 1 ? "L" : "M") + this.x(i).toFixed(1) + " " + this.y(v).toFixed(1)).join("");
      attr(this.marks[n].line, "d", line);
      if (this.marks[n].area) {
        attr(this.marks[n].area, "d", line ? `${line}L${this.x(at.at(-1)[0])} ${this.y(0)}L${this.x(at[0][0])} ${this.y(0)}Z` : "");
      }
    });
    this.select(this.at);
  }

  timeLabels(width) {
    if (this.points.length < 2) return [];
    const from = this.points[0].time / 1000, to = this.points.at(-1).time / 1000;
    const every = steps.find((n) => (to - from) / n <= width / 84) ?? 2592000;
    const offset = new Date(this.points[0].time).getTimezoneOffset() * 60;
    const out = [];
    for (let t = Math.ceil((from - offset) / every) * every + offset; t <= to; t += every) {
      const x = LEFT + ((width - LEFT - RIGHT) * (t - from)) / (to - from);
      if (x > LEFT + 12 && x < width - RIGHT - 16) {
        const at = new Date(t * 1000);
        out.push(s("text", { x, y: HEIGHT - 6, "text-anchor": "middle" }, every >= 86400 ? date(at) : time(at)));
      }
    }
    return out;
  }

  point(e) {
    if (this.points.length < 2 || !this.width) return;
    const x = e.clientX - this.plot.getBoundingClientRect().left;
    const i = Math.round(((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.points.length - 1));
    this.select(Math.min(this.points.length - 1, Math.max(0, i)));
  }

  key(e) {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10, Home: -1e9, End: 1e9 }[e.key];
    if (e.key === "Escape") this.select(-1);
    if (!move || !this.points.length) return;
    e.preventDefault();
    const from = this.at < 0 ? this.points.length - (move < 0 ? 0 : 1) : this.at;
    this.select(Math.min(this.points.length - 1, Math.max(0, from + move)));
  }

  /** Puts the cursor on a point; -1 takes it away, and the legend shows the last point. */
  select(i) {
    this.at = i;
    const rest = this.rest ?? this.points.length - 1;
    const p = this.points[i < 0 ? rest : i];
    attr(this.cursor, "visibility", i < 0 || !this.x ? "hidden" : "visible");
    this.series.forEach((x, n) => text(this.legend[n].lastChild, p ? this.format(this.value(p, x.key)) : "–"));
    if (!p) return;
    if (i >= 0 && this.x) {
      attr(this.cursor, "x1", this.x(i));
      attr(this.cursor, "x2", this.x(i));
    }
    text(this.when, i < 0 ? (this.rest === undefined ? "latest" : "today") : this.label(p.time));
    attr(this.plot, "aria-valuenow", i < 0 ? rest : i);
    attr(this.plot, "aria-valuetext", this.label(p.time) + ": " +
      this.series.map((x) => x.name + " " + this.format(this.value(p, x.key))).join(", "));
  }

  label(t) {
    if (this.step >= 86400) return date(t);
    return this.step < 60 ? timeExact(t) : dateTime(t);
  }

  fillTable() {
    if (!this.details.open) return;
    this.rows.replaceChildren(...[...this.points].reverse().map((p) => h("tr", null, h("th", { scope: "row" }, this.label(p.time)),
      ...this.series.map((x) => h("td", { class: "num" }, this.format(this.value(p, x.key)))))));
  }
}
