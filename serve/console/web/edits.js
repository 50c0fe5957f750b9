// The edit playground: files and an instruction on one side, the edit as it is decoded on the other.

import { stream } from "./api.js";
import { empty, field, h, heading, replace, select } from "./dom.js";
import { chooser, model, warn } from "./models.js";
import { Result } from "./result.js";

const EXAMPLES = {
  "Rename a function": {
    instruction: "Rename the function add to plus",
    files: [
      { path: "calc.py", content: "def add(a, b):\n    return a + b\n\n\ndef area(width, height):\n    return width * height\n" },
    ],
  },
  "Change a default": {
    instruction: "Change the default of retries from 3 to 5",
    files: [
      {
        path: "fetch.py",
        content:
          'def fetch(url, retries=3, timeout=10):\n    """Get a page."""\n    for attempt in range(retries):\n        page = load(url, timeout)\n        if page is not None:\n            return page\n    return None\n',
      },
    ],
  },
};
const FORMATS = ["blocks", "apply_patch", "unified_diff", "whole_file", "str_replace"].map((name) => [name, name]);
const SYNTAX = [
  ["each", "after every edit"],
  ["final", "when the output ends"],
  ["off", "not at all"],
];

// What was typed stays while the page is open, whichever view is shown.
const kept = {
  ...structuredClone(EXAMPLES["Rename a function"]),
  format: "blocks",
  syntax: "each",
  max_tokens: "",
  temperature: "0",
  seed: "",
};

export function mount(root, who) {
  const view = new EditPlayground(who);
  root.append(
    heading(
      "Edit playground",
      h(
        "p",
        { class: "lede" },
        "Every edit is held to the files below while it is decoded. Nothing is written anywhere.",
      ),
    ),
    view.node,
  );
  return () => view.stop();
}

class EditPlayground {
  constructor(who) {
    this.who = who;
    this.able = h("div", {});
    this.files = h("div", { class: "files" });
    this.result = new Result();
    this.go = h("button", { class: "primary", type: "submit" }, "Make the edit");
    this.form = this.inputs();
    this.node = h("div", { class: "bench" }, this.form, this.result.node);
    this.running = null;
    this.list();
    warn(this.able, who, "edits");
  }

  inputs() {
    const which = chooser(this.who, () => {
      this.stop();
      warn(this.able, this.who, "edits");
    });
    const instruction = h("textarea", {
      rows: "2",
      required: true,
      value: kept.instruction,
      oninput: () => {
        kept.instruction = instruction.value;
      },
    });
    this.instruction = instruction;
    const number = (name, attributes) => {
      const input = h("input", {
        type: "number",
        ...attributes,
        value: kept[name],
        oninput: () => {
          kept[name] = input.value;
        },
      });
      return input;
    };
    const example = select(
      [["", "Load an example…"], ...Object.keys(EXAMPLES).map((name) => [name, name])],
      "",
      (name) => this.load(name, example),
    );
    example.setAttribute("aria-label", "Load an example");
    const opener = h("input", { type: "file", multiple: true, hidden: true, onchange: () => this.open(opener) });
    const form = h(
      "form",
      { class: "bench-in", "aria-label": "What to edit" },
      this.able,
      which,
      h(
        "div",
        { class: "row-head" },
        h("h2", {}, "Files"),
        h(
          "div",
          { class: "row-tools" },
          example,
          h("button", { type: "button", class: "quiet", onclick: () => opener.click() }, "Open…"),
          h("button", { type: "button", class: "quiet", onclick: () => this.add() }, "Add"),
          opener,
        ),
      ),
      this.files,
      field("Instruction", instruction),
      h(
        "details",
        {},
        h("summary", {}, "Settings"),
        h(
          "div",
          { class: "settings" },
          field(
            "Format",
            select(FORMATS, kept.format, (value) => {
              kept.format = value;
            }),
          ),
          field(
            "Files must parse",
            select(SYNTAX, kept.syntax, (value) => {
              kept.syntax = value;
            }),
          ),
          field("Most tokens", number("max_tokens", { min: "1", placeholder: "as needed" })),
          field("Temperature", number("temperature", { min: "0", max: "2", step: "0.1" })),
          field("Seed", number("seed", { step: "1", placeholder: "random" })),
        ),
      ),
      h("div", { class: "actions" }, this.go, h("span", { class: "hint" }, "Ctrl + Enter")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) this.stop();
      else this.run();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.running) form.requestSubmit();
    });
    return form;
  }

  list() {
    replace(
      this.files,
      kept.files.length
        ? kept.files.map((file, index) => this.file(file, index))
        : empty("No files.", "Add one, or open some from your disk: they go to this server alone."),
    );
  }

  file(file, index) {
    const path = h("input", {
      class: "path",
      value: file.path,
      "aria-label": `Path of file ${index + 1}`,
      required: true,
      spellcheck: "false",
      oninput: () => {
        file.path = path.value;
      },
    });
    const content = h("textarea", {
      class: "source",
      rows: Math.min(14, Math.max(5, file.content.split("\n").length)),
      value: file.content,
      "aria-label": `Content of file ${index + 1}`,
      spellcheck: "false",
      wrap: "off",
      oninput: () => {
        file.content = content.value;
      },
    });
    const remove = h(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-label": `Remove ${file.path}`,
        onclick: () => {
          kept.files.splice(index, 1);
          this.list();
        },
      },
      "Remove",
    );
    return h("div", { class: "source-file" }, h("div", { class: "file-head" }, path, remove), content);
  }

  add() {
    kept.files.push({ path: `new${kept.files.length + 1}.py`, content: "" });
    this.list();
    this.files.lastElementChild.querySelector("textarea").focus();
  }

  async open(opener) {
    for (const file of opener.files)
      kept.files.push({ path: file.webkitRelativePath || file.name, content: await file.text() });
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
    const body = {
      instruction: kept.instruction,
      files,
      format: kept.format,
      syntax: kept.syntax,
      stream: true,
      trace: true,
    };
    if (model(this.who) !== null) body.model = model(this.who);
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
