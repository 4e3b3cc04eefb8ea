// Small helpers that make elements. Text is only ever set as text: names, paths and reasons come from callers of APIs.

const SVG = "http://www.w3.org/2000/svg";

/** The element with an ID. */
export const $ = (id) => document.getElementById(id);

function fill(el, attrs, children) {
  for (const [k, v] of Object.entries(attrs ?? {})) {
    if (v === undefined || v === null || v === false) continue;
    el.setAttribute(k, v === true ? "" : String(v));
  }
  el.append(...children.filter((c) => c !== null && c !== undefined));
  return el;
}

/** Makes an HTML element; children are nodes or strings. */
export const h = (tag, attrs, ...children) => fill(document.createElement(tag), attrs, children);

/** Makes an SVG element. */
export const s = (tag, attrs, ...children) => fill(document.createElementNS(SVG, tag), attrs, children);

/** Sets text only when it differs, so that selections and screen readers are left in peace. */
export function text(el, value) {
  if (el.textContent !== value) el.textContent = value;
}

/** Sets an attribute only when it differs. */
export function attr(el, name, value) {
  if (el.getAttribute(name) !== String(value)) el.setAttribute(name, String(value));
}

/**
 * Keeps the children of parent in step with items: make(item) for a new key, update(el, item) for all, the rest go.
 * Elements stay themselves, so focus and animations do too. Returns whether any came, went or moved.
 */
export function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((el) => [el.dataset.key, el]));
  let changed = false;
  items.forEach((item, i) => {
    const k = key(item);
    let el = old.get(k);
    if (el) old.delete(k);
    else {
      el = make(item);
      el.dataset.key = k;
    }
    if (parent.children[i] !== el) {
      parent.insertBefore(el, parent.children[i] ?? null);
      changed = true;
    }
    update(el, item);
  });
  for (const el of old.values()) {
    el.remove();
    changed = true;
  }
  return changed;
}

/** Whether the person asked for less motion. */
export const still = matchMedia("(prefers-reduced-motion: reduce)");
