// The ledger: each row is a sum that adds up, and is checked here again.
import { $, attr, h, keyed, text } from "./dom.js";
import { count } from "./format.js";

const columns = [
  ["effective", "Effective"], ["duplicates", "Duplicates"], ["filtered", "Filtered"],
  ["dead_letters", "Dead letters"], ["spooled", "Spooled"], ["pending", "Pending"],
];

/** Draws the ledger and returns whether it balances. */
export function drawLedger(ledger) {
  const sinks = Object.entries(ledger.sinks ?? {}).sort(([a], [b]) => a.localeCompare(b));
  keyed($("ledger-rows"), sinks, ([name]) => name, makeRow, (el, [, c]) => updateRow(el, ledger.taken, c));
  const bad = sinks.filter(([, c]) => sum(c) !== ledger.taken).map(([name]) => name);
  const balanced = ledger.balanced && bad.length === 0;
  attr($("balance"), "data-state", balanced ? "ok" : "bad");
  text($("balance-text"), balanced ? "Balanced" : bad.length ? "Does not balance: " + bad.join(", ") : "Does not balance");
  return balanced;
}

const sum = (c) => columns.reduce((n, [key]) => n + (c[key] ?? 0), 0);

function makeRow([name]) {
  const cell = (label, op) => h("td", { role: "cell", class: "num" + (op ? " op" : ""), "data-op": op, "data-label": label });
  return h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, name), cell("Taken"),
    ...columns.map(([, label], i) => cell(label, i ? "+" : "=")),
    h("td", { role: "cell", class: "adds", "data-label": "Adds up" },
      h("span", { class: "share", "aria-hidden": "true" }, ...columns.map(([key]) => h("i", { class: key }))),
      h("span", { class: "verdict" })));
}

function updateRow(row, taken, c) {
  text(row.children[1], count(taken));
  columns.forEach(([key], i) => {
    const cell = row.children[2 + i];
    text(cell, count(c[key]));
    attr(cell, "data-zero", !c[key]);
    row.lastChild.firstChild.children[i].style.flexGrow = String(c[key] ?? 0);
  });
  const right = sum(c) === taken;
  attr(row.lastChild, "data-state", right ? "ok" : "bad");
  text(row.lastChild.lastChild, right ? "yes" : "off by " + count(Math.abs(taken - sum(c))));
}
