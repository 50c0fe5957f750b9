// The edit as it grows, and what is said of it once it is complete.

import { ask } from "./api.js";
import { BlockReader, rowsOfPatch, TextReader } from "./blocks.js";
import { DiffView } from "./diff.js";
import { choice, copy, empty, h, notice, replace } from "./dom.js";
import { count, plural, rate, seconds, share } from "./format.js";
import { checklist, guarantees } from "./guarantees.js";
import { inspect, legend, OriginCounts } from "./tokens.js";

const RESTARTING = new Map([
  ["engine_died", "The engine stopped, and is being started again."],
  ["out_of_memory", "The engine stopped, and is being started again."],
  ["model_loading", "The engine is not ready."],
  ["not_ready", "The engine is not ready."],
]);

// From the request's start to its end: tokens, the diff, and what came of it.
export class Result {
  constructor() {
    this.tokens = [];
    this.diff = new DiffView("The edit");
    this.said = h("p", { class: "run-said", role: "status" });
    this.problem = h("div", {});
    this.counts = new OriginCounts();
    this.checks = h("div", {});
    this.figures = h("dl", { class: "figures" });
    this.inspector = inspect(this.diff.node, () => this.tokens);
    this.tabs = choice(
      "What to show",
      [
        ["diff", "Diff"],
        ["output", "Model output"],
        ["patch", "Patch"],
      ],
      "diff",
      (value) => this.turn(value),
    );
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
        h(
          "p",
          {},
          "Press ",
          h("b", {}, "Make the edit"),
          ". Each token is coloured by how it came to be; its probability shows under the pointer.",
        ),
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
      this.reader =
        data.markers && this.asked.format === "blocks"
          ? new BlockReader(data.markers, new Map(this.asked.files.map((file) => [file.path, file.content])))
          : new TextReader();
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
    else if (answer.finish_reason === "content_filter")
      replace(this.problem, notice("warn", "Withheld:", "the edit had a finding that is blocked (docs/findings.md)."));
    replace(
      this.said,
      changed
        ? `${plural(changed, "edit")} in ${plural(answer.files.length, "file")}, ${seconds(took)}`
        : nothing(answer),
    );
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
    const title =
      RESTARTING.get(error.code) ?? (error.status === 401 ? "The key is not taken any more." : "The edit failed.");
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
      replace(
        this.body,
        patch
          ? [
              h("div", { class: "patch-head" }, h("code", {}, "git apply"), button),
              h("pre", { class: "patch", tabindex: "0", "aria-label": "Patch" }, patch),
            ]
          : empty("No patch yet.", "It is here once the edit is complete."),
      );
      return;
    }
    replace(this.body, this.diff.node);
    if (value === "output") this.diff.show(this.output?.rows ?? [], this.tokens);
    else if (this.answer && (!(this.reader instanceof BlockReader) || !this.tokens.length))
      this.diff.show(rowsOfPatch(this.answer.patch), this.tokens);
    else this.diff.show(this.reader?.rows ?? [], this.tokens);
  }
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function nothing(answer) {
  if (answer.refusal) return "Nothing was decoded.";
  if (answer.constraint.truncated)
    return "Nothing changed: the answer ended inside an edit, which was dropped. Allow more tokens.";
  if (answer.constraint.rollbacks)
    return "Nothing changed: no edit that the model wanted would have left the files parsing.";
  return "The model left the files as they are.";
}

function mass(least) {
  if (least === null) return "–"; // an engine that does not know
  return least < 0.001 ? least.toExponential(1) : least.toFixed(3);
}

function figures(answer, took, first) {
  const { constraint, usage } = answer;
  const made = usage.completion_tokens;
  const all = [
    ["Prompt", plural(usage.prompt_tokens, "token")],
    ["Output", plural(made, "token")],
    ["First token", seconds(first)],
    ["Speed", first === null || took <= first ? "–" : `${rate(made / (took - first))} tokens/s`],
    [
      "Drafts confirmed",
      `${count(constraint.accepted)} of ${count(constraint.drafted)}${constraint.drafted ? `, ${share(constraint.accepted / constraint.drafted)}` : ""}`,
    ],
    ["Taken back", plural(constraint.rollbacks, "time")],
    ["Least mass left", mass(constraint.min_z)],
  ];
  return all.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}
