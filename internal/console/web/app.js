// The page: one stream of statuses in, everything drawn from it.
import { $, attr, h, keyed, text } from "./dom.js";
import { bytes, compact, count, rate, span } from "./format.js";
import { drawFlow } from "./flow.js";
import { drawLedger } from "./ledger.js";
import { startTraffic } from "./traffic.js";
import { drawDead } from "./dead.js";
import { startThemes } from "./themes.js";

let stream = null, lost = false, said = "";

function connect() {
  if (stream) return;
  stream = new EventSource("/api/stream");
  stream.addEventListener("status", (e) => {
    lost = false;
    draw(JSON.parse(e.data));
  });
  stream.addEventListener("error", () => {
    if (lost) return;
    lost = true;
    attr($("ready"), "data-state", "bad");
    text($("ready"), "connection lost");
    announce("The connection to the process is lost; trying again.");
  });
}

// A hidden page reads nothing.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return connect();
  stream?.close();
  stream = null;
});

function draw(status) {
  drawHead(status);
  drawFigures(status);
  drawFlow(status);
  const balanced = drawLedger(status.ledger);
  drawNotices(status);
  drawDead(deadLetters(status.ledger));
  announceChanges(status, balanced);
  $("main").classList.remove("waiting");
}

function drawHead(status) {
  text($("region"), status.region || "");
  attr($("ready"), "data-state", status.ready ? "ok" : "warn");
  text($("ready"), status.ready ? "ready" : "not ready");
  text($("meta"), [status.version, "up " + span((new Date(status.time) - new Date(status.started)) / 1000)].filter(Boolean).join(" · "));
}

const deadLetters = (ledger) => Math.max(0, ...Object.values(ledger.sinks ?? {}).map((c) => c.dead_letters));

function drawFigures(status) {
  const lists = (status.sources ?? []).flatMap((x) => x.lists ?? []);
  const sinks = Object.entries(status.ledger.sinks ?? {});
  text($("f-taken"), count(status.ledger.taken));
  text($("f-rate"), rate((status.sources ?? []).reduce((n, x) => n + (x.rate || 0), 0)));
  const [name, behind] = sinks.reduce((a, [k, c]) => (c.pending > a[1] ? [k, c.pending] : a), ["", 0]);
  text($("f-pending"), compact(behind));
  text($("f-pending-sub"), behind ? "at " + name + ", furthest behind" : "every sink has everything");
  text($("f-age"), span(Math.max(0, ...lists.map((l) => l.oldest_age_seconds || 0))));
  text($("f-dead"), count(deadLetters(status.ledger)));
  const most = status.memory_limit / 2;
  text($("f-mem"), bytes(status.memory_used));
  const share = most > 0 ? Math.min(100, Math.round((100 * status.memory_used) / most)) : 0;
  attr($("f-meter"), "aria-valuenow", share);
  $("f-meter").firstChild.style.width = share + "%";
  text($("f-mem-sub"), most > 0 ? "of " + bytes(most) + " to buffer" : "buffered");
}

function drawNotices(status) {
  const notices = [...(status.alarms ?? []).map((x) => ["alarm", x]), ...(status.not_ready ?? []).map((x) => ["wait", x])];
  $("notices").hidden = notices.length === 0;
  keyed($("notice-list"), notices, ([kind, x]) => kind + x, ([kind, x]) => h("li", { "data-kind": kind },
    h("b", null, kind === "alarm" ? "Alarm" : "Not ready"), " ", x), () => {});
}

// A screen reader hears of changes only, never of numbers that move every second.
function announceChanges(status, balanced) {
  const now = [status.ready ? "Ready." : "Not ready.", balanced ? "The ledger balances." : "The ledger does not balance.",
    ...(status.sinks ?? []).filter((x) => x.state !== "ok").map((x) => `Sink ${x.name}: ${x.state === "open" ? "breaker open" : x.state}.`),
    ...(status.alarms ?? [])].join(" ");
  if (now !== said) announce(now);
  said = now;
}

function announce(what) {
  text($("announce"), what);
}

startThemes();
connect();
startTraffic();
