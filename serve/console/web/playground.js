// Talk to the model, let it go on, or let it fill a gap. What is sent and what comes is shown as text, never as markup.

import { stream } from "./api.js";
import { choice, empty, field, h, heading, notice, replace } from "./dom.js";
import { plural, rate, seconds } from "./format.js";
import { chooser, model, warn } from "./models.js";

const MODES = [
  ["chat", "Chat"],
  ["completion", "Completion"],
  ["infill", "Fill in the middle"],
];
const kept = {
  mode: "chat",
  messages: [],
  system: "",
  said: "",
  prompt: "def is_even(n):\n",
  prefix: "def mean(numbers):\n    ",
  suffix: "\n    return total / len(numbers)\n",
  temperature: "0",
  max_tokens: "256",
};

export function mount(root, who) {
  const view = new Playground(who);
  root.append(
    heading(
      "Playground",
      choice("What to do", MODES, kept.mode, (mode) => view.turn(mode)),
    ),
    view.node,
  );
  view.turn(kept.mode);
  return () => view.stop();
}

class Playground {
  constructor(who) {
    this.who = who;
    this.running = null;
    this.node = h("div", { class: "play" });
  }

  stop() {
    this.running?.abort();
  }

  turn(mode) {
    this.stop();
    kept.mode = mode;
    this.said = h("p", { class: "run-said", role: "status" });
    this.problem = h("div", {});
    this.go = h(
      "button",
      { class: "primary", type: "submit" },
      { chat: "Send", completion: "Go on", infill: "Fill the gap" }[mode],
    );
    this.label = this.go.textContent;
    const needed = { chat: "chat", completion: "completions", infill: "infill" }[mode];
    const able = h("div", {});
    const which = chooser(this.who, () => {
      this.stop();
      warn(able, this.who, needed);
    });
    replace(this.node, able, which, this[mode]());
    warn(able, this.who, needed);
  }

  settings() {
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
    return h(
      "div",
      { class: "settings" },
      field("Temperature", number("temperature", { min: "0", max: "2", step: "0.1" })),
      field("Most tokens", number("max_tokens", { min: "1" })),
    );
  }

  text(name, label, rows, attributes = {}) {
    const area = h("textarea", {
      rows: String(rows),
      value: kept[name],
      spellcheck: "false",
      ...attributes,
      oninput: () => {
        kept[name] = area.value;
      },
    });
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !this.running) area.form.requestSubmit();
    });
    return { area, node: field(label, area) };
  }

  form(inside, run, more = [], button = null) {
    const settings = h("details", {}, h("summary", {}, "Settings"), ...more, this.settings());
    const actions = h(
      "div",
      { class: "actions" },
      this.go,
      h("span", { class: "hint" }, "Ctrl + Enter"),
      button,
      this.said,
    );
    const form = h("form", { class: "play-form" }, ...inside, settings, actions);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) this.stop();
      else run();
    });
    return form;
  }

  chat() {
    const list = h("ol", { class: "talk", "aria-label": "Conversation" });
    const said = this.text("said", "Your message", 3, { required: true });
    const system = this.text("system", "System message", 2);
    const again = h(
      "button",
      {
        type: "button",
        class: "quiet",
        onclick: () => {
          this.stop();
          kept.messages.length = 0;
          draw();
          said.area.focus();
        },
      },
      "Begin anew",
    );
    const draw = () => {
      replace(
        list,
        kept.messages.map((each) => message(each).node),
      );
      list.hidden = again.hidden = !kept.messages.length;
      nobody.hidden = Boolean(kept.messages.length);
    };
    const nobody = empty(
      "Nothing has been said yet.",
      "The conversation stays in this page, and is sent to this server with every message.",
    );
    draw();
    const run = async () => {
      kept.messages.push({ role: "user", content: kept.said });
      kept.said = said.area.value = "";
      draw();
      const answer = { role: "assistant", content: "", reasoning: "" };
      const shown = message(answer);
      list.append(shown.node);
      const head = kept.system ? [{ role: "system", content: kept.system }] : [];
      const messages = [...head, ...kept.messages.map(({ role, content }) => ({ role, content }))];
      await this.run("/v1/chat/completions", { messages, stream_options: { include_usage: true } }, ({ choices }) => {
        const delta = choices?.[0]?.delta ?? {};
        answer.content += delta.content ?? "";
        answer.reasoning += delta.reasoning_content ?? "";
        shown.show();
        return Boolean(delta.content || delta.reasoning_content);
      });
      if (answer.content)
        kept.messages.push({ role: "assistant", content: answer.content, reasoning: answer.reasoning });
      else shown.node.remove();
    };
    return h("div", { class: "chat" }, nobody, list, this.problem, this.form([said.node], run, [system.node], again));
  }

  completion() {
    const prompt = this.text("prompt", "Text to go on from", 8, { class: "source", required: true });
    const made = h("pre", { class: "made", tabindex: "0", "aria-label": "Completion" });
    const run = async () => {
      const written = h("mark", {});
      replace(made, kept.prompt, written);
      await this.run(
        "/v1/completions",
        { prompt: kept.prompt, stream_options: { include_usage: true } },
        ({ choices }) => grow(written, choices?.[0]?.text),
      );
    };
    return h("div", { class: "two" }, this.form([prompt.node], run), h("div", {}, this.problem, made));
  }

  infill() {
    const prefix = this.text("prefix", "Before the gap", 6, { class: "source" });
    const suffix = this.text("suffix", "Behind the gap", 6, { class: "source" });
    const made = h("pre", { class: "made", tabindex: "0", "aria-label": "The text with the gap filled" });
    const run = async () => {
      const written = h("mark", {});
      replace(made, kept.prefix, written, kept.suffix);
      await this.run(
        "/v1/completions",
        { prompt: kept.prefix, suffix: kept.suffix, stream_options: { include_usage: true } },
        ({ choices }) => grow(written, choices?.[0]?.text),
      );
    };
    return h("div", { class: "two" }, this.form([prefix.node, suffix.node], run), h("div", {}, this.problem, made));
  }

  // `take` is given each chunk, and says whether it brought text.
  async run(path, body, take) {
    this.running = new AbortController();
    this.go.textContent = "Stop";
    replace(this.problem);
    replace(this.said, "Waiting for the first token…");
    const began = performance.now();
    let first = null;
    let usage = null;
    const wanted = { ...body, stream: true, temperature: Number(kept.temperature) || 0 };
    if (model(this.who) !== null) wanted.model = model(this.who);
    if (kept.max_tokens) wanted.max_tokens = Number(kept.max_tokens);
    try {
      for await (const { data } of stream(path, wanted, this.running.signal)) {
        if (take(data)) first ??= performance.now();
        usage = data.usage ?? usage;
      }
      replace(this.said, outcome(usage, began, first));
    } catch (error) {
      replace(this.said, error.name === "AbortError" ? "Stopped." : "");
      if (error.name !== "AbortError") replace(this.problem, notice("bad", "No answer.", error.message));
    } finally {
      this.running = null;
      this.go.textContent = this.label;
    }
  }
}

function grow(element, text) {
  if (!text) return false;
  element.append(text);
  return true;
}

function message(each) {
  const content = h("p", { class: "talk-text" }, each.content);
  const thoughts = h("p", { class: "talk-text" }, each.reasoning ?? "");
  const reasoning = h("details", { hidden: !each.reasoning }, h("summary", {}, "Reasoning"), thoughts);
  const node = h(
    "li",
    { class: each.role },
    h("span", { class: "talk-who" }, each.role === "user" ? "You" : "Model"),
    reasoning,
    content,
  );
  const show = () => {
    content.textContent = each.content;
    thoughts.textContent = each.reasoning;
    reasoning.hidden = !each.reasoning;
  };
  return { node, show };
}

function outcome(usage, began, first) {
  if (!usage) return "Done.";
  const made = usage.completion_tokens;
  const end = performance.now();
  const speed = first && end > first ? `, ${rate((made * 1000) / (end - first))} tokens/s` : "";
  return `${plural(made, "token")} in ${seconds((end - began) / 1000)}, the first after ${seconds(first === null ? null : (first - began) / 1000)}${speed}.`;
}
