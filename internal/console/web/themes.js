// The button that takes the theme from the system's to light to dark.
import { $, text } from "./dom.js";

const themes = ["system", "light", "dark"];
const now = () => document.documentElement.dataset.theme ?? "system";

/** Wires the button, on every page that has it. */
export function startThemes() {
  const show = () => text($("theme-name"), "Theme: " + now());
  $("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(now()) + 1) % themes.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("sluice-theme", next);
    } catch { /* it holds until the page is closed, then */ }
    show();
  });
  show();
}
