// Keys and what was used with them. Keys are changed on the administrators' port alone; elsewhere they are only shown.

import { ask } from "./api.js";
import { copy, empty, field, h, heading, notice, replace, select } from "./dom.js";
import { count, NONE } from "./format.js";

const BY = [
  ["key", "key"],
  ["group", "group"],
  ["model", "model"],
  ["endpoint", "endpoint"],
  ["day", "day"],
  ["hour", "hour"],
];
const SINCE = [
  ["1", "the last day"],
  ["7", "the last 7 days"],
  ["30", "the last 30 days"],
  ["0", "the beginning"],
];

export function mount(root, who) {
  if (!who.keys) {
    root.append(heading("Keys and usage"), none());
    return;
  }
  const keys = new Keys(who);
  const usage = new Usage();
  root.append(heading("Keys and usage"), keys.node, usage.node);
  keys.load();
  usage.load();
}

class Keys {
  constructor(who) {
    this.changes = who.administrators_port;
    this.said = h("div", { role: "status" });
    this.table = h("div", {});
    this.node = h(
      "section",
      { class: "block" },
      h("h2", {}, "Keys"),
      this.said,
      this.changes ? this.form() : this.where(),
      this.table,
    );
  }

  where() {
    return h(
      "p",
      { class: "hint below" },
      "Keys are made and revoked on the administrators' port, where this console is too (",
      h("code", {}, "dovetail serve --admin 127.0.0.1:8001"),
      "), or with ",
      h("code", {}, "dovetail keys"),
      ".",
    );
  }

  form() {
    const name = h("input", { required: true, maxlength: "200", autocomplete: "off" });
    const days = h("input", { type: "number", min: "1", placeholder: "never" });
    const group = h("input", { autocomplete: "off", placeholder: "none" });
    const models = h("input", { autocomplete: "off", placeholder: "*" });
    const admin = h("input", { type: "checkbox" });
    const form = h(
      "form",
      { class: "inline" },
      field("Name", name),
      field("Group", group),
      field("Models", models),
      field("Good for, days", days),
      field("Administrator", admin, null, "check"),
      h("button", { class: "primary", type: "submit" }, "Make a key"),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const scopes = {
        ...(models.value ? { models: models.value.split(/[\s,]+/) } : {}),
        ...(admin.checked ? { admin: true } : {}),
      };
      const body = { name: name.value, scopes };
      if (group.value) body.group = group.value;
      if (days.value) body.expires_seconds = Number(days.value) * 86_400;
      const made = await this.change("/keys", { method: "POST", body });
      if (made) {
        this.shown(made);
        form.reset();
      }
    });
    return form;
  }

  shown(made) {
    const text = h("code", { class: "secret" }, made.key);
    const button = h("button", { type: "button", onclick: () => copy(made.key, button) }, "Copy");
    replace(this.said, notice("good", `The key of ${made.name}.`, "It is shown once: ", text, " ", button));
  }

  async change(path, options) {
    try {
      const made = await ask(path, options);
      replace(this.said);
      this.load();
      return made;
    } catch (error) {
      replace(this.said, notice("bad", "Not changed.", error.message));
      return null;
    }
  }

  async load() {
    try {
      const { keys } = await ask("/console/api/keys");
      replace(
        this.table,
        keys === null
          ? none()
          : keys.length
            ? this.list(keys)
            : empty("No keys yet.", h("p", {}, "Make the first: ", h("code", {}, "dovetail keys create NAME"))),
      );
    } catch (error) {
      replace(this.table, notice("bad", "The keys cannot be shown.", error.message));
    }
  }

  list(keys) {
    const head = ["Name", "Id", "Group", "State", "Made", "Expires", "May", ...(this.changes ? [""] : [])];
    return h(
      "div",
      { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Keys" },
      h(
        "table",
        { class: "stacked" },
        h("caption", { class: "sr" }, "Keys"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            head.map((name) => h(name ? "th" : "td", name ? { scope: "col" } : {}, name)),
          ),
        ),
        h(
          "tbody",
          {},
          keys.map((key) => this.row(key)),
        ),
      ),
    );
  }

  row(key) {
    const cell = (label, ...inside) => h("td", { "data-label": label }, ...inside);
    const live = key.standing === "live";
    return h(
      "tr",
      { class: live ? "" : "over" },
      cell("Name", h("b", {}, key.name)),
      cell("Id", h("code", {}, key.id)),
      cell("Group", key.group ?? NONE),
      cell("State", h("span", { class: `outcome ${live ? "answered" : "refused"}` }, key.standing)),
      cell("Made", day(key.created)),
      cell("Expires", key.expires ? day(key.expires) : "never"),
      cell("May", may(key)),
      this.changes ? cell("", live ? this.tools(key) : null) : null,
    );
  }

  tools(key) {
    const rotate = async () => {
      const made = await this.change(`/keys/${encodeURIComponent(key.id)}/rotate`, {
        method: "POST",
        body: { grace_seconds: 86_400 },
      });
      if (made) this.shown(made);
    };
    const revoke = () => {
      if (confirm(`Revoke the key of ${key.name}? Whoever uses it is refused from now on.`))
        this.change(`/keys/${encodeURIComponent(key.id)}`, { method: "DELETE" });
    };
    return [
      h(
        "button",
        { type: "button", class: "quiet", "aria-label": `New secret for ${key.name}`, onclick: rotate },
        "New secret",
      ),
      " ",
      h(
        "button",
        { type: "button", class: "quiet danger", "aria-label": `Revoke ${key.name}`, onclick: revoke },
        "Revoke",
      ),
    ];
  }
}

class Usage {
  constructor() {
    this.by = "key";
    this.days = "7";
    this.body = h("div", {});
    this.node = h(
      "section",
      { class: "block" },
      h("h2", {}, "Usage"),
      h(
        "div",
        { class: "inline" },
        field(
          "By",
          select(BY, this.by, (value) => {
            this.by = value;
            this.load();
          }),
        ),
        field(
          "Since",
          select(SINCE, this.days, (value) => {
            this.days = value;
            this.load();
          }),
        ),
      ),
      this.body,
    );
  }

  async load() {
    const since = this.days === "0" ? 0 : Math.floor(Date.now() / 1000) - Number(this.days) * 86_400;
    try {
      const { usage } = await ask(`/console/api/usage?by=${this.by}&since=${since}`);
      replace(
        this.body,
        usage === null
          ? none()
          : usage.length
            ? this.table(usage)
            : empty("Nothing was used in this time.", "Usage is counted per hour, for callers with a key."),
      );
    } catch (error) {
      replace(this.body, notice("bad", "The usage cannot be shown.", error.message));
    }
  }

  table(lines) {
    const sorted =
      this.by === "day" || this.by === "hour"
        ? lines.toReversed()
        : lines.toSorted((a, b) => b.prompt_tokens + b.completion_tokens - a.prompt_tokens - a.completion_tokens);
    const most = Math.max(1, ...lines.map((line) => line.prompt_tokens + line.completion_tokens));
    const title = BY.find(([value]) => value === this.by)[1];
    const numbers = ["Requests", "Refused", "Tokens in", "Tokens out"];
    return h(
      "div",
      { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Usage" },
      h(
        "table",
        { class: "stacked" },
        h("caption", { class: "sr" }, "Usage"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, title[0].toUpperCase() + title.slice(1)),
            numbers.map((name) => h("th", { scope: "col", class: "num" }, name)),
            h("td", { class: "wide" }),
          ),
        ),
        h(
          "tbody",
          {},
          sorted.map((line) =>
            h(
              "tr",
              {},
              h(
                "td",
                { "data-label": title },
                h("b", {}, line.name || line.what || "none"),
                line.name ? h("span", { class: "soft" }, ` ${line.what}`) : null,
              ),
              [line.requests, line.refused, line.prompt_tokens, line.completion_tokens].map((value, index) =>
                h("td", { class: "num", "data-label": numbers[index] }, count(value)),
              ),
              h(
                "td",
                { class: "wide", "aria-hidden": "true" },
                h("progress", {
                  max: String(most),
                  value: String(line.prompt_tokens + line.completion_tokens),
                  tabindex: "-1",
                  "aria-label": "Share of tokens",
                }),
              ),
            ),
          ),
        ),
      ),
    );
  }
}

function none() {
  return empty(
    "This server asks nobody for a key, so it counts for nobody.",
    h(
      "p",
      {},
      "Make a key with ",
      h("code", {}, "dovetail keys create NAME --keys FILE"),
      " and serve with ",
      h("code", {}, "--keys FILE"),
      ".",
    ),
  );
}

function may(key) {
  const parts = [];
  if (key.scopes.admin) parts.push("administer");
  for (const [name, patterns] of Object.entries(key.scopes))
    if (Array.isArray(patterns) && patterns.join() !== "*") parts.push(`${name} ${patterns.join(" ")}`);
  for (const [name, value] of Object.entries(key.quota))
    if (value) parts.push(`${name.replaceAll("_", " ")} ${count(value)}`);
  return parts.join("; ") || "everything";
}

function day(text) {
  return text ? text.slice(0, 10) : NONE;
}
