// Looks for records of the audit log, the latest first. Texts stay sealed: what is shown of them is their digest.

import { ask } from "./api.js";
import { empty, field, h, heading, notice, replace, select } from "./dom.js";
import { count, NONE } from "./format.js";

const DECISIONS = [
  ["", "any"],
  ...["answered", "refused", "quota", "overloaded", "invalid", "policy", "decline", "failed", "left"].map((name) => [
    name,
    name,
  ]),
];

export function mount(root, who) {
  root.append(heading("Audit"));
  if (who.open) {
    root.append(
      empty(
        "The audit log is shown to administrators with a key.",
        h(
          "p",
          {},
          "This server asks nobody for one. Read the log with ",
          h("code", {}, "dovetail audit show DIR"),
          ", or serve with ",
          h("code", {}, "--keys FILE"),
          ".",
        ),
      ),
    );
    return;
  }
  if (!who.audit) {
    root.append(
      empty(
        "This server keeps no audit log.",
        h(
          "p",
          {},
          "Serve with ",
          h("code", {}, "--audit DIR"),
          ": every request then leaves a record in a chain that shows each later change.",
        ),
      ),
    );
    return;
  }
  const view = new Audit();
  root.append(view.node);
  view.search();
}

class Audit {
  constructor() {
    this.text = h("input", { type: "search", placeholder: "a request id, a path, a digest", autocomplete: "off" });
    this.caller = h("input", { placeholder: "name or id", autocomplete: "off" });
    this.since = h("input", { type: "date" });
    this.endpoint = h("input", { placeholder: "/v1/edits", autocomplete: "off" });
    this.decision = select(DECISIONS, "", () => this.search());
    this.said = h("p", { class: "run-said", role: "status" });
    this.body = h("tbody", {});
    this.older = h(
      "button",
      { type: "button", hidden: true, onclick: () => this.search(this.before) },
      "Older records",
    );
    this.table = h(
      "table",
      { class: "stacked records" },
      h("caption", { class: "sr" }, "Records"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["No.", "Time (UTC)", "Kind", "Who", "Endpoint", "Decision", "Tokens", "Details"].map((name) =>
            h("th", { scope: "col", class: name === "Tokens" || name === "No." ? "num" : "" }, name),
          ),
        ),
      ),
      this.body,
    );
    this.wrap = h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Records" }, this.table);
    this.none = h("div", {});
    const form = h(
      "form",
      { class: "inline", role: "search" },
      field("Holds", this.text),
      field("Who", this.caller),
      field("Since", this.since),
      field("Endpoint", this.endpoint),
      field("Decision", this.decision),
      h("button", { class: "primary", type: "submit" }, "Search"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.node = h(
      "div",
      {},
      form,
      this.said,
      this.wrap,
      this.none,
      h("div", { class: "actions" }, this.older),
      h(
        "p",
        { class: "hint" },
        "This page searches; it proves nothing. ",
        h("code", {}, "dovetail audit verify DIR"),
        " checks every record and the anchor.",
      ),
    );
  }

  async search(before = null) {
    const query = new URLSearchParams({ limit: "100" });
    const wanted = {
      text: this.text.value,
      who: this.caller.value,
      since: this.since.value,
      endpoint: this.endpoint.value,
      decision: this.decision.value,
      before,
    };
    for (const [name, value] of Object.entries(wanted)) if (value) query.set(name, value);
    replace(this.said, "Searching…");
    try {
      const page = await ask(`/console/api/audit?${query}`);
      if (!before) replace(this.body);
      this.body.append(...page.records.flatMap((record) => rows(record)));
      this.before = page.before;
      this.older.hidden = page.before === null;
      const shown = this.body.querySelectorAll("tr.record").length;
      this.wrap.hidden = !shown;
      replace(
        this.said,
        shown ? `${count(shown)} records${page.before ? "" : ", back to the beginning of the log"}` : "",
      );
      replace(
        this.none,
        shown || page.before ? null : empty("No record fits.", "Take a condition away, or look further back."),
      );
    } catch (error) {
      replace(this.said);
      replace(this.none, notice("bad", "The log cannot be searched.", error.message));
    }
  }
}

function rows(record) {
  const details = h(
    "tr",
    { class: "details", hidden: true },
    h("td", { colspan: "8" }, h("pre", {}, JSON.stringify(record, null, 2))),
  );
  const opener = h(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-expanded": "false",
      onclick: () => {
        details.hidden = !details.hidden;
        opener.setAttribute("aria-expanded", String(!details.hidden));
      },
    },
    "Show",
  );
  const usage = record.usage ? `${count(record.usage.prompt ?? 0)} + ${count(record.usage.completion ?? 0)}` : NONE;
  const cell = (label, inside, kind = "") => h("td", { "data-label": label, class: kind }, inside);
  const good = ["answered", undefined].includes(record.decision);
  return [
    h(
      "tr",
      { class: "record" },
      cell("No.", record.log ? `${record.log} ${record.seq}` : record.seq, "num"),
      cell("Time", (record.time ?? "").replace("T", " ").replace(/\.\d+Z?$/, "")),
      cell("Kind", record.kind),
      cell("Who", record.who?.name ?? NONE),
      cell("Endpoint", record.endpoint ? h("code", {}, record.endpoint) : NONE),
      cell(
        "Decision",
        record.decision
          ? h(
              "span",
              { class: `outcome ${good ? "answered" : "refused"}` },
              `${record.decision}${record.status ? ` ${record.status}` : ""}`,
            )
          : NONE,
      ),
      cell("Tokens", usage, "num"),
      cell("Details", opener),
    ),
    details,
  ];
}
