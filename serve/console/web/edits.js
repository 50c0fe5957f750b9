// The edit playground: files and an instruction on one side, the edit as it is decoded on the other.

import { ask, stream } from "./api.js";
import { BlockReader, rowsOfPatch, TextReader } from "./blocks.js";
import { DiffView } from "./diff.js";
import { choice, copy, empty, field, h, heading, notice, replace, select } from "./dom.js";
import { count, plural, rate, seconds, share } from "./format.js";
import { checklist, guarantees } from "./guarantees.js";
import { inspect, legend, OriginCounts } from "./tokens.js";

const EXAMPLES = {
  "Rename a function": {
    instruction: "Rename the function add to plus",
    files: [{ path: "calc.py", content: "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return add(a, a)\n" }],
  },
  "Change a default": {
    instruction: "Change the default of retries from 3 to 5",
    files: [{ path: "fetch.py", content: 'def fetch(url, retries=3, timeout=10):\n    """Get a page."""\n    for attempt in range(retries):\n        page = load(url, timeout)\n        if page is not None:\n            return page\n    return None\n' }],
  },
};
const FORMATS = ["blocks", "apply_patch", "unified_diff", "whole_file", "str_replace"].map((name) => [name, name]);
const SYNTAX = [["each", "after every edit"], ["final", "when the output ends"], ["off", "not at all"]];

const RESTARTING = new Map([
  ["engine_died", "The engine stopped, and is being started again."],
  ["out_of_memory", "The engine stopped, and is being started again."],
  ["model_loading", "The engine is not ready."],
  ["not_ready", "The engine is not ready."],
]);

// What was typed stays while the page is open, whichever view is shown.
const kept = { ...structuredClone(EXAMPLES["Rename a function"]), format: "blocks", syntax: "each", max_tokens: "", temperature: "0", seed: "" };

export function mount(root, who) {
  const view = new EditPlayground();
  root.append(heading("Edit playground", h("p", { class: "lede" }, "Every edit is held to the files below while it is decoded. Nothing is written anywhere.")), view.node);
  if (who.capabilities && !who.capabilities.includes("edits")) root.prepend(notice("warn", `${who.model} cannot make edits:`, "it has neither an edit template nor a chat template."));
  return () => view.stop();
}

class EditPlayground {
  constructor() {
    this.files = h("div", { class: "files" });
    this.result = new Result();
    this.go = h("button", { class: "primary", type: "submit" }, "Make the edit");
    this.form = this.inputs();
    this.node = h("div", { class: "bench" }, this.form, this.result.node);
    this.running = null;
    this.list();
  }

  inputs() {
    const instruction = h("textarea", { rows: "2", required: true, value: kept.instruction, oninput: () => { kept.instruction = instruction.value; } });
    this.instruction = instruction;
    const number = (name, attributes) => {
      const input = h("input", { type: "number", ...attributes, value: kept[name], oninput: () => { kept[name] = input.value; } });
      return input;
    };
    const example = select([["", "Load an example…"], ...Object.keys(EXAMPLES).map((name) => [name, name])], "", (name) => this.load(name, example));
    example.setAttribute("aria-label", "Load an example");
    const opener = h("input", { type: "file", multiple: true, hidden: true, onchange: () => this.open(opener) });
    const form = h(
      "form",
      { class: "bench-in", "aria-label": "What to edit" },
      h("div", { class: "row-head" }, h("h2", {}, "Files"), h("div", { class: "row-tools" }, example, h("button", { type: "button", class: "quiet", onclick: () => opener.click() }, "Open…"), h("button", { type: "button", class: "quiet", onclick: () => this.add() }, "Add"), opener)),
      this.files,
      field("Instruction", instruction),
      h(
        "details",
        {},
        h("summary", {}, "Settings"),
        h(
          "div",
          { class: "settings" },
          field("Format", select(FORMATS, kept.format, (value) => { kept.format = value; })),
          field("Files must parse", select(SYNTAX, kept.syntax, (value) => { kept.syntax = value; })),
          field("Most tokens", number("max_tokens", { min: "1", placeholder: "as needed" })),
          field("Temperature", number("temperature", { min: "0", max: "2", step: "0.1" })),
          field("Seed", number("seed", { step: "1", placeholder: "random" })),
        ),
      ),
      h("div", { class: "actions" }, this.go, h("span", { class: "hint" }, "Ctrl + Enter")),
    );
    form.addEventListener("submit", (event) => { event.preventDefault(); if (this.running) this.stop(); else this.run(); });
    form.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.running) form.requestSubmit(); });
    return form;
  }

  list() {
    replace(
      this.files,
      kept.files.length ? kept.files.map((file, index) => this.file(file, index)) : empty("No files.", "Add one, or open some from your disk: they go to this server alone."),
    );
  }

  file(file, index) {
    const path = h("input", { class: "path", value: file.path, "aria-label": `Path of file ${index + 1}`, required: true, spellcheck: "false", oninput: () => { file.path = path.value; } });
    const content = h("textarea", { class: "source", rows: Math.min(14, Math.max(5, file.content.split("\n").length)), value: file.content, "aria-label": `Content of file ${index + 1}`, spellcheck: "false", wrap: "off", oninput: () => { file.content = content.value; } });
    const remove = h("button", { type: "button", class: "quiet", "aria-label": `Remove ${file.path}`, onclick: () => { kept.files.splice(index, 1); this.list(); } }, "Remove");
    return h("div", { class: "source-file" }, h("div", { class: "file-head" }, path, remove), content);
  }

  add() {
    kept.files.push({ path: `new${kept.files.length + 1}.py`, content: "" });
    this.list();
    this.files.lastElementChild.querySelector("textarea").focus();
  }

  async open(opener) {
    for (const file of opener.files) kept.files.push({ path: file.webkitRelativePath || file.name, content: await file.text() });
    opener.value = "";
    this.list();
  }

  load(name, example) {
    if (!name) return;
    Object.assign(kept, structuredClone(EXAMPLES[name]));
    this.instruction.value = kept.instruction;
    example.value = "";
    this.list();
  }

  stop() {
    this.running?.abort();
  }

  body() {
    const files = kept.files.map((file) => ({ path: file.path, content: file.content }));
    const body = { instruction: kept.instruction, files, format: kept.format, syntax: kept.syntax, stream: true, trace: true };
    for (const name of ["max_tokens", "temperature", "seed"]) if (kept[name] !== "") body[name] = Number(kept[name]);
    return body;
  }

  async run() {
    const body = this.body();
    this.running = new AbortController();
    this.go.textContent = "Stop";
    this.result.begin(body);
    try {
      for await (const event of stream("/v1/edits", body, this.running.signal)) this.result.take(event);
      this.result.ended();
    } catch (error) {
      this.result.failed(error);
    } finally {
      this.running = null;
      this.go.textContent = "Make the edit";
    }
  }
}

class Result {
  constructor() {
    this.tokens = [];
    this.diff = new DiffView("The edit");
    this.said = h("p", { class: "run-said", role: "status" });
    this.problem = h("div", {});
    this.counts = new OriginCounts();
    this.checks = h("div", {});
    this.figures = h("dl", { class: "figures" });
    this.inspector = inspect(this.diff.node, () => this.tokens);
    this.tabs = choice("What to show", [["diff", "Diff"], ["output", "Model output"], ["patch", "Patch"]], "diff", (value) => this.turn(value));
    this.body = h("div", { class: "result-body" });
    this.node = h("section", { class: "bench-out", "aria-label": "The edit" });
    this.blank();
  }

  blank() {
    replace(
      this.node,
      h(
        "div",
        { class: "empty" },
        h("p", { class: "empty-title" }, "The edit appears here, token by token."),
        h("p", {}, "Press ", h("b", {}, "Make the edit"), ". Each token is coloured by how it came to be; its probability shows under the pointer."),
        legend(),
      ),
    );
  }

  begin(body) {
    this.asked = body;
    this.answer = null;
    this.tokens = [];
    this.began = performance.now();
    this.first = null;
    this.markers = null;
    this.reader = null;
    this.shown = "diff";
    this.tabs.firstChild.click();
    this.diff.follows = true;
    this.diff.show([], this.tokens);
    this.counts.show([]);
    replace(this.problem);
    replace(this.checks);
    replace(this.figures);
    replace(this.said, "Reading the files…");
    replace(
      this.node,
      h("div", { class: "row-head" }, this.said, this.tabs),
      this.problem,
      legend(),
      this.body,
      this.inspector.said,
      this.counts.node,
      this.checks,
      this.figures,
      this.inspector.tip,
    );
  }

  take({ event, data }) {
    if (event === "edits.started") {
      this.reader = data.markers && this.asked.format === "blocks" ? new BlockReader(data.markers, new Map(this.asked.files.map((file) => [file.path, file.content]))) : new TextReader();
      this.output = new TextReader();
      this.turn(this.shown);
    } else if (event === "edits.tokens") {
      this.first ??= performance.now();
      this.tokens.push(...data.tokens);
      this.grown(this.reader.feed(data.tokens), this.output.feed(data.tokens));
    } else if (event === "edits.tokens.rollback") {
      this.tokens.length = data.keep_tokens;
      this.grown(this.reader.restart(this.tokens), this.output.restart(this.tokens));
    } else if (event === "edits.completed") {
      this.complete(data);
    }
  }

  grown(from, outputFrom) {
    this.diff.changed(this.shown === "output" ? outputFrom : from);
    this.counts.show(this.tokens);
    replace(this.said, `Decoding: ${plural(this.tokens.length, "token")}`);
  }

  complete(answer) {
    this.answer = answer;
    const took = (performance.now() - this.began) / 1000;
    const changed = answer.edits.length + answer.operations.length;
    if (answer.refusal) replace(this.problem, notice("warn", "Declined.", answer.refusal));
    else if (answer.finish_reason === "content_filter") replace(this.problem, notice("warn", "Withheld:", "the edit had a finding that is blocked (docs/findings.md)."));
    replace(this.said, changed ? `${plural(changed, "edit")} in ${plural(answer.files.length, "file")}, ${seconds(took)}` : nothing(answer));
    if (this.reader instanceof BlockReader && this.tokens.length) this.reader.landed();
    this.diff.follows = false;
    this.turn(this.shown);
    if (changed) replace(this.checks, h("h2", {}, "Guarantees"), checklist(guarantees(answer, this.asked.files)));
    replace(this.figures, figures(answer, took, this.first === null ? null : (this.first - this.began) / 1000));
  }

  ended() {
    if (!this.answer) this.failed({ message: "The stream ended without an answer.", code: "broken_off" });
  }

  failed(error) {
    if (error.name === "AbortError") {
      replace(this.said, "Stopped. Nothing of it stands.");
      return;
    }
    if (!this.reader) this.turn("diff");
    const restarting = RESTARTING.has(error.code);
    const title = RESTARTING.get(error.code) ?? (error.status === 401 ? "The key is not taken any more." : "The edit failed.");
    const wait = h("span", { class: "waiting" });
    const id = error.requestId ? h("span", { class: "soft" }, " Request ", h("code", {}, error.requestId), ".") : null;
    replace(this.problem, notice("bad", title, sentence(error.message), id, " ", wait));
    replace(this.said, "No edit. Nothing of it stands.");
    if (restarting) this.watch(wait);
  }

  // Say when the engine is back, so that nobody has to guess.
  async watch(wait) {
    const problem = this.problem.firstChild;
    replace(wait, "Waiting for it…");
    while (problem.isConnected) {
      await new Promise((done) => setTimeout(done, 700));
      const state = await ask("/ready", { quiet: true }).catch(() => null);
      if (state?.status === "ready") {
        replace(wait, h("b", {}, "It is ready again: make the edit once more."));
        return;
      }
    }
  }

  turn(value) {
    this.shown = value;
    if (value === "patch") {
      const patch = this.answer?.patch ?? "";
      const button = h("button", { type: "button", class: "quiet", onclick: () => copy(patch, button) }, "Copy");
      replace(this.body, patch ? [h("div", { class: "patch-head" }, h("code", {}, "git apply"), button), h("pre", { class: "patch", tabindex: "0", "aria-label": "Patch" }, patch)] : empty("No patch yet.", "It is here once the edit is complete."));
      return;
    }
    replace(this.body, this.diff.node);
    if (value === "output") this.diff.show(this.output?.rows ?? [], this.tokens);
    else if (this.answer && (!(this.reader instanceof BlockReader) || !this.tokens.length)) this.diff.show(rowsOfPatch(this.answer.patch), this.tokens);
    else this.diff.show(this.reader?.rows ?? [], this.tokens);
  }
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function nothing(answer) {
  if (answer.refusal) return "Nothing was decoded.";
  if (answer.constraint.truncated) return "Nothing changed: the answer ended inside an edit, which was dropped. Allow more tokens.";
  if (answer.constraint.rollbacks) return "Nothing changed: no edit that the model wanted would have left the files parsing.";
  return "The model left the files as they are.";
}

function figures(answer, took, first) {
  const { constraint, usage } = answer;
  const made = usage.completion_tokens;
  const all = [
    ["Prompt", plural(usage.prompt_tokens, "token")],
    ["Output", plural(made, "token")],
    ["First token", seconds(first)],
    ["Speed", first === null || took <= first ? "–" : `${rate(made / (took - first))} tokens/s`],
    ["Drafts confirmed", `${count(constraint.accepted)} of ${count(constraint.drafted)}${constraint.drafted ? `, ${share(constraint.accepted / constraint.drafted)}` : ""}`],
    ["Taken back", plural(constraint.rollbacks, "time")],
    ["Least mass left", constraint.min_z < 0.001 ? constraint.min_z.toExponential(1) : constraint.min_z.toFixed(3)],
  ];
  return all.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}
