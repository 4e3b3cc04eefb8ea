// The newest dead letters.
import { $, h, keyed, text } from "./dom.js";
import { bytes, dateTime } from "./format.js";

const SHOWN = 10;

let known = -1, asked = 0;

/** Reads them again when their number changed, at most every few seconds. */
export async function drawDead(total) {
  if (total === known || Date.now() - asked < 3000) return;
  asked = Date.now();
  try {
    const answer = await fetch("/api/deadletters");
    if (answer.status === 204) {
      known = total;
      return;
    }
    if (!answer.ok) return;
    const letters = await answer.json();
    known = total;
    $("dead").hidden = false;
    $("no-dead").hidden = letters.length > 0;
    $("dead-table").hidden = letters.length === 0;
    keyed($("dead-rows"), letters.slice(0, SHOWN), (d) => d.id + " " + d.sink, makeRow, () => {});
  } catch { /* the stream says when the connection is lost */ }
}

function makeRow(d) {
  const cell = (label, value, cls) => h("td", { role: "cell", "data-label": label, class: cls }, value);
  const place = h("td", { role: "cell", "data-label": "List and position", class: "place" }, h("span", { class: "list" }), h("code"));
  text(place.firstChild, d.list);
  text(place.lastChild, d.position);
  return h("tr", { role: "row" }, cell("Time", dateTime(new Date(d.time))), cell("Sink", !d.sink || d.sink === "*" ? "every sink" : d.sink),
    cell("Reason", d.reason, "reason"), place, cell("Bytes", bytes(d.bytes), "num"));
}
