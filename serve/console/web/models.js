// Which of the server's models and adapters is asked: one choice for all views, kept while the page is open.

import { field, notice, replace, select } from "./dom.js";

const WHY = {
  chat: "it has no chat template.",
  edits: "it has neither an edit template nor a chat template.",
  infill: "its tokenizer has no tokens for it.",
  completions: "it writes no text.",
};
let chosen = null;

function models(who) {
  return who.models ?? [];
}

// The name that requests give; null: there is none that this caller may use.
export function model(who) {
  const names = models(who).map((each) => each.name);
  return names.includes(chosen) ? chosen : (names[0] ?? null);
}

// A control for it, where there is something to choose. `changed` is told of every choice.
export function chooser(who, changed) {
  if (models(who).length < 2) return null;
  const options = models(who).map(({ name, parent }) => [name, parent ? `${name} (adapter of ${parent})` : name]);
  const control = select(options, model(who), (name) => {
    chosen = name;
    changed();
  });
  return field("Model", control);
}

// Says in `place` what the chosen model cannot do.
export function warn(place, who, needed) {
  const found = models(who).find((each) => each.name === model(who)) ?? models(who)[0];
  const able = !found || found.capabilities.includes(needed);
  replace(place, able ? null : notice("warn", `${found.name} cannot do this:`, WHY[needed]));
}
