// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (n) => whole.format(n ?? 0);
export const compact = (n) => ((n ?? 0) < 10000 ? whole.format(Math.round(n ?? 0)) : short.format(n));

/** A rate: two digits that matter below ten. */
export function rate(n) {
  if (!n || n < 0.005) return "0";
  if (n < 10) return n.toFixed(n < 1 ? 2 : 1);
  return compact(n);
}

/** A span of seconds in its two largest units. */
export function span(sec) {
  if (!(sec > 0)) return "0 s";
  if (sec < 10) return sec.toFixed(1) + " s";
  if (sec < 90) return Math.round(sec) + " s";
  if (sec < 5400) return Math.floor(sec / 60) + " min";
  if (sec < 172800) return Math.floor(sec / 3600) + " h " + (Math.floor(sec / 60) % 60) + " min";
  return Math.floor(sec / 86400) + " d " + (Math.floor(sec / 3600) % 24) + " h";
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return (i === 0 || n >= 100 || n % 1 === 0 ? Math.round(n) : n.toFixed(1)) + " " + units[i];
}

/** Milliseconds. */
export function ms(n) {
  if (!n) return "0 ms";
  if (n < 10) return n.toFixed(1) + " ms";
  if (n < 1000) return Math.round(n) + " ms";
  return (n / 1000).toFixed(n < 10000 ? 2 : 1) + " s";
}

export const percent = (part, of) => {
  if (!of || !part) return "0 %";
  const p = (100 * part) / of;
  return p < 0.1 ? "< 0.1 %" : p.toFixed(p < 10 ? 1 : 0) + " %";
};

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayClock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const time = (t) => clock.format(t);
export const timeExact = (t) => exact.format(t);
export const date = (t) => day.format(t);
export const dateTime = (t) => dayClock.format(t);

let names = null;
try {
  names = new Intl.DisplayNames(["en"], { type: "region" });
} catch { /* codes will do */ }

/** A country's name by its code. */
export function country(code) {
  if (!code) return "unknown";
  if (!names || !/^[A-Z]{2}$/.test(code)) return code;
  try {
    return names.of(code) ?? code;
  } catch {
    return code;
  }
}
