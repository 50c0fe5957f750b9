// How tokens came to be: the legend, the counts, and what is said of the one under the pointer or the cursor.

import { h, replace, sized } from "./dom.js";
import { count, probability, share } from "./format.js";

export const ORIGINS = [
  ["sampled", "drawn from the model"],
  ["drafted", "proposed from the file, confirmed by the model"],
  ["forced", "the only continuation that fits"],
  ["resampled", "drawn again after a refusal"],
];

export function legend() {
  return h(
    "ul",
    { class: "legend", "aria-label": "Where tokens come from" },
    ORIGINS.map(([name, text]) =>
      h("li", {}, h("span", { class: `t ${name} swatch` }, name), h("span", { class: "legend-text" }, text)),
    ),
  );
}

// A bar of the shares, and the numbers below it.
export class OriginCounts {
  constructor() {
    this.parts = new Map(
      ORIGINS.map(([name]) => [name, { bar: h("i", { class: `part ${name}` }), number: h("dd", {}, "0") }]),
    );
    this.node = h(
      "div",
      { class: "origins" },
      h(
        "div",
        { class: "origin-bar", "aria-hidden": "true" },
        [...this.parts.values()].map((part) => part.bar),
      ),
      h(
        "dl",
        { class: "origin-counts" },
        ORIGINS.map(([name]) => h("div", {}, h("dt", {}, name), this.parts.get(name).number)),
      ),
    );
  }

  show(tokens) {
    const counts = new Map(ORIGINS.map(([name]) => [name, 0]));
    for (const token of tokens) counts.set(token.origin, (counts.get(token.origin) ?? 0) + 1);
    for (const [name, part] of this.parts) {
      sized(part.bar, { "flex-grow": counts.get(name) || 0 });
      replace(
        part.number,
        count(counts.get(name)),
        h("span", { class: "soft" }, tokens.length ? ` ${share(counts.get(name) / tokens.length)}` : ""),
      );
    }
  }
}

// Says what is known of the token at the pointer, or at a cursor that the arrow keys move. `tokens()` is the list as it is now.
export function inspect(container, tokens) {
  const tip = h("div", { class: "tip", hidden: true });
  const said = h(
    "p",
    { class: "token-said", "aria-live": "polite" },
    "Point at a token, or focus the diff and use the arrow keys left and right.",
  );
  let current = null;

  const mark = (element) => {
    current?.classList.remove("current");
    current = element;
    current?.classList.add("current");
  };
  const tell = (element, near) => {
    const token = tokens()[Number(element.dataset.token)];
    if (!token) return;
    const chance = probability(token.probability);
    replace(
      said,
      h("code", {}, JSON.stringify(token.text)),
      ` ${token.origin}`,
      chance === null ? "" : `, probability ${chance}`,
    );
    if (!near) return;
    replace(tip, h("b", {}, token.origin), chance === null ? "" : ` p = ${chance}`);
    tip.hidden = false;
    const box = element.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left), document.documentElement.clientWidth - tip.offsetWidth - 8);
    sized(tip, { left: `${left}px`, top: `${box.top < 48 ? box.bottom + 6 : box.top - tip.offsetHeight - 6}px` });
  };

  container.addEventListener("pointerover", (event) => {
    const element = event.target.closest?.("[data-token]");
    if (!element) {
      tip.hidden = true;
      return;
    }
    mark(element);
    tell(element, true);
  });
  container.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
  container.addEventListener("scroll", () => {
    tip.hidden = true;
  });
  container.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...container.querySelectorAll("[data-token]")];
    const at = current?.isConnected ? all.indexOf(current) + step : step > 0 ? 0 : all.length - 1;
    if (!all[at]) return;
    event.preventDefault();
    mark(all[at]);
    all[at].scrollIntoView({ block: "nearest", inline: "nearest" });
    tell(all[at], true);
  });
  return { tip, said };
}
