// The system card as a page, with what was said before, and its other forms to take away. The server says what is in it, block by block.

import { ask, askText } from "./api.js";
import { copy, h, heading, notice, replace, select } from "./dom.js";

const CARD = "/v1/system-card";
const FORMS = [
  ["markdown", "Markdown", "md"],
  ["html", "Page (HTML)", "html"],
  ["json", "JSON", "json"],
  ["cyclonedx", "CycloneDX", "cdx.json"],
  ["dsse", "Signed (DSSE)", "dsse.json"],
];

export function mount(root) {
  const view = new CardView();
  root.append(heading("System card", view.tools), view.said, view.body);
  view.show("");
}

class CardView {
  constructor() {
    this.name = "";
    this.tools = h("div", { class: "row-tools" });
    this.said = h("div", { role: "status" });
    this.body = h("article", { class: "card" });
  }

  // `name`: of an earlier card; empty: the present one.
  async show(name) {
    replace(this.said, h("p", { class: "run-said" }, "Asking for the card…"));
    try {
      const [card, history] = await Promise.all([this.ask(name, "blocks"), ask(`${CARD}/history`)]);
      this.name = name;
      this.id = JSON.parse(card.text).id;
      this.draw(JSON.parse(card.text));
      this.choices(history.data);
      replace(this.said);
    } catch (error) {
      const none = error.status === 404 && !name;
      replace(this.said, notice(none ? "warn" : "bad", none ? "This server keeps no system card." : error.message));
    }
  }

  ask(name, form) {
    return askText(`${CARD}${name ? `/${name}` : ""}?format=${form}`);
  }

  choices(history) {
    const earlier = history.filter((each) => each.id !== this.id || this.name).reverse();
    const when = select(
      [["", "As of now"], ...earlier.map((each) => [each.id, `${each.generated}, ${each.id.slice(0, 13)}…`])],
      this.name,
      (name) => this.show(name),
    );
    when.setAttribute("aria-label", "Which card");
    const take = select([["", "Download…"], ...FORMS.map(([form, title]) => [form, title])], "", (form) => {
      take.value = "";
      if (form) this.take(form);
    });
    take.setAttribute("aria-label", "Download the card");
    const button = h("button", { type: "button", class: "quiet", onclick: () => this.copy(button) }, "Copy the JSON");
    replace(this.tools, when, take, button);
  }

  async copy(button) {
    try {
      await copy((await this.ask(this.name, "json")).text, button);
    } catch (error) {
      replace(this.said, notice("bad", error.message));
    }
  }

  async take(form) {
    try {
      const { text, type } = await this.ask(this.name, form);
      const url = URL.createObjectURL(new Blob([text], { type }));
      const ending = FORMS.find(([each]) => each === form)[2];
      h("a", { href: url, download: `${this.id}.${ending}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      replace(this.said);
    } catch (error) {
      replace(this.said, notice("bad", "This form cannot be had:", error.message));
    }
  }

  draw({ blocks, stale }) {
    this.body.classList.toggle("stale", stale);
    replace(this.body);
    let title = "System card";
    for (const [kind, content] of blocks) {
      if (kind === "h2" || kind === "h3") title = content;
      this.body.append(SHOWN[kind](content, title));
    }
  }
}

const SHOWN = {
  h1: (text) => h("p", { class: "card-title" }, text),
  h2: (text) => h("h2", {}, text),
  h3: (text) => h("h3", {}, text),
  p: (text) => h("p", {}, code(text)),
  list: (lines) => (lines.length ? h("ul", {}, lines.map((each) => h("li", {}, code(each)))) : h("p", {}, "None.")),
  quote: (text, title) => h("pre", { class: "patch", tabindex: "0", "aria-label": `${title}: the model's own words` }, text),
  table: ([head, rows], title) =>
    h(
      "div",
      { class: "table-wrap", tabindex: "0", role: "region", "aria-label": title },
      h(
        "table",
        // Columns of whole sentences need room; those of figures do not.
        { class: head.length > 2 && rows.some((each) => each.at(-1).length > 40) ? "texts" : null },
        h("thead", {}, h("tr", {}, head.map((each) => h("th", { scope: "col" }, each)))),
        h("tbody", {}, rows.map(row)),
      ),
    ),
};

function row([first, ...others]) {
  return h("tr", {}, h("th", { scope: "row" }, first), others.map((each) => h("td", {}, each)));
}

// What stands between backticks is code.
function code(text) {
  return text.split("`").map((each, at) => (at % 2 ? h("code", {}, each) : each));
}
