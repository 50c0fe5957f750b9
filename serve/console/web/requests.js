// The latest requests, those being answered first: who asked what, what came of it, how long it took.

import { choice, empty, h, replace } from "./dom.js";
import { clock, count, NONE, seconds } from "./format.js";

const OUTCOMES = {
  running: "running",
  answered: "answered",
  refused: "refused",
  left: "client left",
  failed: "failed",
};
const FILTERS = [
  ["all", "All"],
  ["running", "Running"],
  ["trouble", "Failed or refused"],
];
const MOST = 60;
const FEW = 12;

export class Requests {
  constructor() {
    this.filter = "all";
    this.told = [];
    this.body = h("tbody", {});
    this.none = h("div", {});
    this.all = false;
    this.more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.showAll() });
    this.table = h(
      "table",
      { class: "requests" },
      h("caption", { class: "sr" }, "Latest requests"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Time", "Who", "Asked", "Result", "First token", "Took", "Tokens in", "out", "Request id"].map(
            (name, index) => h("th", { scope: "col", class: index >= 4 && index <= 7 ? "num" : "" }, name),
          ),
        ),
      ),
      this.body,
    );
    this.node = h(
      "section",
      { class: "block" },
      h(
        "div",
        { class: "row-head" },
        h("h2", {}, "Requests"),
        choice("Which requests", FILTERS, this.filter, (value) => {
          this.filter = value;
          this.draw();
        }),
      ),
      h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Requests" }, this.table),
      this.none,
      h("div", { class: "actions" }, this.more),
    );
  }

  show(told, now) {
    this.told = told;
    this.now = now;
    this.draw();
  }

  draw() {
    const wanted = this.told.filter(
      (each) =>
        this.filter === "all" ||
        (this.filter === "running" ? each.outcome === "running" : ["failed", "refused", "left"].includes(each.outcome)),
    );
    this.table.hidden = !wanted.length;
    this.more.hidden = this.all || wanted.length <= FEW;
    this.more.textContent = `Show ${Math.min(MOST, wanted.length) - FEW} more`;
    replace(
      this.body,
      wanted.slice(0, this.all ? MOST : FEW).map((each) => this.row(each)),
    );
    replace(this.none, wanted.length ? null : this.empty());
  }

  showAll() {
    this.all = true;
    this.draw();
  }

  empty() {
    if (this.filter === "trouble")
      return empty(
        "Nothing has failed.",
        "Failed and refused requests since the server's start stand here, with their ids for the log.",
      );
    if (this.filter === "running") return empty("Nobody is being answered right now.");
    return empty(
      "No request yet.",
      h(
        "p",
        {},
        "Try the ",
        h("a", { href: "#/edits" }, "edit playground"),
        ", or from a shell: ",
        h("code", {}, `curl ${location.origin}/v1/models`),
      ),
    );
  }

  row(each) {
    const said = each.outcome === "running" ? OUTCOMES.running : `${each.status} ${OUTCOMES[each.outcome]}`;
    const cell = (label, text, kind = "") => h("td", { "data-label": label, class: kind }, text);
    return h(
      "tr",
      { class: each.outcome },
      cell("Time", clock(each.began)),
      cell(
        "Who",
        each.who ? h("span", { title: each.who }, each.who) : h("span", { class: "soft" }, each.client || "unknown"),
        "who",
      ),
      cell("Asked", h("code", {}, each.path), "asked"),
      cell("Result", [
        h("span", { class: `outcome ${each.outcome}` }, said),
        each.code ? h("span", { class: "soft code-name" }, ` ${each.code}`) : null,
      ]),
      cell("First token", each.first_token_s === null ? NONE : seconds(each.first_token_s), "num"),
      cell("Took", each.seconds === null ? seconds(Math.max(0, this.now - each.began)) : seconds(each.seconds), "num"),
      cell("Tokens in", each.prompt_tokens ? count(each.prompt_tokens) : NONE, "num"),
      cell("Tokens out", each.completion_tokens ? count(each.completion_tokens) : NONE, "num"),
      cell("Request id", h("code", { class: "id", title: each.request_id }, each.request_id.slice(0, 12)), "soft"),
    );
  }
}
