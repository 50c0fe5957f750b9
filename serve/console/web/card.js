// The system card, as the server itself tells it.

import { askText } from "./api.js";
import { copy, empty, h, heading, notice, replace } from "./dom.js";

export function mount(root) {
  const body = h("div", {}, h("p", { class: "run-said" }, "Asking for the card…"));
  root.append(heading("System card"), body);
  load(body);
}

async function load(body) {
  try {
    const { text, type } = await askText("/v1/system-card");
    if (!type.startsWith("application/json")) {
      replace(body, h("pre", { class: "patch", tabindex: "0", "aria-label": "System card" }, text));
      return;
    }
    const button = h("button", { type: "button", class: "quiet", onclick: () => copy(text, button) }, "Copy the JSON");
    replace(body, h("div", { class: "actions" }, button), h("div", { class: "card" }, shown(JSON.parse(text))));
  } catch (error) {
    if (error.status === 404)
      replace(
        body,
        empty(
          "This server writes no system card yet.",
          "A later version measures itself and answers GET /v1/system-card; it is shown here then.",
        ),
      );
    else replace(body, notice("bad", "The card cannot be shown.", error.message));
  }
}

// Any JSON value as an outline: names on the left, values on the right.
function shown(value) {
  if (Array.isArray(value))
    return value.length
      ? h(
          "ol",
          { class: "card-list" },
          value.map((each) => h("li", {}, shown(each))),
        )
      : h("span", { class: "soft" }, "none");
  if (value !== null && typeof value === "object") {
    return h(
      "dl",
      { class: "card-table" },
      Object.entries(value).map(([name, each]) =>
        h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, shown(each))),
      ),
    );
  }
  return value === null ? h("span", { class: "soft" }, "not told") : String(value);
}
