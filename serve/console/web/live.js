// The first page: is it up, how fast, whose requests, what failed.

import { ask } from "./api.js";
import { h, replace } from "./dom.js";
import { bytes, clock, count, lasting, parameters, plural, rate, seconds, share } from "./format.js";
import { Meter, Plot } from "./plot.js";
import { Requests } from "./requests.js";

const EVERY_MS = 2000;
const BUCKET = 5;
const LATENCIES = [
  ["first_token", "First token"],
  ["between_tokens", "Between tokens"],
  ["whole", "Whole answer"],
];

export function mount(root) {
  const view = new Live();
  root.append(view.node);
  view.begin();
  return () => view.end();
}

class Live {
  constructor() {
    this.dot = h("span", { class: "dot" });
    this.state = h("h1", { class: "state", "aria-live": "polite" }, "Asking the server…");
    this.detail = h("p", { class: "lede" });
    this.figures = h("dl", { class: "headline" });
    this.requests = new Requests();
    this.tokens = new Plot("Tokens per second", [["tokens", "tokens"]], {
      unit: "tokens/s",
      format: rate,
      bucket: BUCKET,
    });
    this.ended = new Plot(
      "Requests",
      [
        ["answered", "answered"],
        ["refused", "refused"],
        ["failed", "failed"],
      ],
      { unit: "per s", format: rate, bucket: BUCKET },
    );
    this.flight = new Plot("In flight, at most", [["in flight", "answered"]], {
      unit: "",
      format: count,
      bucket: BUCKET,
      peak: true,
    });
    this.latency = h("tbody", {});
    this.latencyNote = h("p", { class: "hint" });
    this.meters = {
      blocks: new Meter("KV blocks"),
      prefix: new Meter("Prompt tokens from the cache"),
      drafts: new Meter("Draft tokens confirmed"),
      machine: new Meter("This machine"),
      device: new Meter("Accelerator"),
    };
    this.engine = h("dl", { class: "facts" });
    this.models = new Models();
    this.node = this.page();
    this.timer = null;
    this.ends = false;
  }

  page() {
    const { blocks, prefix, drafts, machine, device } = this.meters;
    device.node.hidden = true;
    const group = (title, ...inside) => h("section", { class: "block" }, h("h2", {}, title), ...inside);
    const latency = h(
      "table",
      { class: "latency" },
      h("caption", { class: "sr" }, "Latency percentiles"),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td", {}),
          ["p50", "p95", "p99"].map((name) => h("th", { scope: "col", class: "num" }, name)),
        ),
      ),
      this.latency,
    );
    return h(
      "div",
      {},
      h("div", { class: "status" }, this.dot, h("div", {}, this.state, this.detail)),
      this.figures,
      h("div", { class: "plots" }, this.tokens.node, this.ended.node, this.flight.node),
      this.requests.node,
      h(
        "div",
        { class: "columns" },
        h(
          "div",
          {},
          group("Latency", latency, this.latencyNote),
          group("Cache and drafts", h("dl", { class: "meters" }, blocks.node, prefix.node, drafts.node)),
          group("Memory", h("dl", { class: "meters" }, machine.node, device.node)),
        ),
        h("div", {}, this.models.node, group("Engine", this.engine)),
      ),
    );
  }

  begin() {
    this.seen = () => {
      if (!document.hidden) this.again(0);
    };
    document.addEventListener("visibilitychange", this.seen);
    addEventListener("dovetail:signed-in", this.seen);
    this.again(0);
  }

  end() {
    this.ends = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
    removeEventListener("dovetail:signed-in", this.seen);
  }

  again(wait) {
    clearTimeout(this.timer);
    if (!this.ends && !document.hidden) this.timer = setTimeout(() => this.tick(), wait);
  }

  async tick() {
    try {
      const told = await ask("/console/api/live");
      if (!this.ends) this.show(told);
    } catch (error) {
      if (error.status === 401 || this.ends) return;
      this.unreachable(error);
    }
    this.again(EVERY_MS);
  }

  unreachable(error) {
    this.dot.className = "dot bad";
    replace(this.state, error.status === 0 ? "No answer from the server" : "The server does not say how it is");
    const since = this.last ? ` The figures below are of ${clock(this.last)}.` : "";
    replace(this.detail, `${error.message}${since} Trying again every ${EVERY_MS / 1000} seconds.`);
  }

  show(told) {
    this.last = told.time;
    const { engine, server, seconds: rates, latency } = told;
    this.status(told);
    this.headline(told);
    const until = Math.floor(told.time);
    const refused = rates.refused.map((value, index) => value + rates.left[index]);
    this.tokens.draw([rates.tokens], until);
    this.ended.draw([rates.answered, refused, rates.failed], until);
    this.flight.draw([rates.running], until);
    this.requests.show(told.requests, told.time);
    replace(
      this.latency,
      LATENCIES.map(([name, title]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, title),
          ["p50", "p95", "p99"].map((each) => h("td", { class: "num" }, seconds(latency[name][each]))),
        ),
      ),
    );
    replace(
      this.latencyNote,
      latency.whole.count
        ? `Of ${plural(latency.whole.count, "answer")} in the last ${told.remembered_seconds / 60} minutes.`
        : "No answers in the last 15 minutes.",
    );
    this.fill(told);
    this.models.node.hidden = told.models.length < 2;
    this.models.show(told.models);
    replace(
      this.engine,
      facts(engine, server).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    );
  }

  status({ state, server, engine, since, time }) {
    this.dot.className = `dot ${{ ready: "good", loading: "warn", draining: "warn" }[state]}`;
    const sentence = {
      ready: ["Up, serving ", h("b", {}, server.model)],
      loading: engine.restarts ? ["The engine is being started again"] : ["Loading ", h("b", {}, server.model)],
      draining: ["Shutting down: finishing what is running"],
    }[state];
    replace(this.state, sentence);
    const restarts = engine.restarts
      ? ` The engine was started again ${plural(engine.restarts, "time")}.`
      : " The engine has run since then.";
    replace(
      this.detail,
      `For ${lasting(time - since)}, since ${new Date(since * 1000).toLocaleString("en-GB")}.${state === "ready" ? restarts : ""}`,
    );
  }

  headline({ engine, seconds: rates, latency, ended, remembered_seconds }) {
    const now = rates.tokens.slice(-BUCKET).reduce((sum, value) => sum + value, 0) / BUCKET;
    const bad = ended.failed ?? 0;
    const figures = [
      ["In flight", count(engine.running), engine.waiting ? `${count(engine.waiting)} waiting` : "none waiting", ""],
      ["Tokens per second", rate(now), `${count(engine.generated_tokens)} since the start`, ""],
      [
        "First token, median",
        seconds(latency.first_token.p50),
        `95 of 100 within ${seconds(latency.first_token.p95)}`,
        "",
      ],
      [
        "Failed",
        count(bad),
        `of ${count(Object.values(ended).reduce((sum, value) => sum + value, 0))} in ${remembered_seconds / 60} minutes${ended.refused ? `, ${count(ended.refused)} refused` : ""}`,
        bad ? "bad" : "",
      ],
    ];
    replace(
      this.figures,
      figures.map(([name, value, more, kind]) =>
        h("div", { class: kind }, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "more" }, more)),
      ),
    );
  }

  fill({ engine, memory }) {
    const used = engine.kv_blocks_total - engine.kv_blocks_free;
    const total = engine.kv_blocks_total || 1;
    this.meters.blocks.show(
      engine.kv_blocks_total
        ? `${count(used)} in use, ${count(engine.kv_blocks_cached)} reusable, of ${count(engine.kv_blocks_total)}`
        : "–",
      [
        [used / total, "strong"],
        [Math.min(1 - used / total, engine.kv_blocks_cached / total), "weak"],
      ],
    );
    const prompt = engine.prompt_tokens + engine.cached_tokens;
    this.meters.prefix.show(prompt ? `${share(engine.cached_tokens / prompt)} of ${count(prompt)}` : "no prompt yet", [
      [engine.cached_tokens / prompt, "strong"],
    ]);
    this.meters.drafts.show(
      engine.drafted_tokens
        ? `${share(engine.accepted_tokens / engine.drafted_tokens)} of ${count(engine.drafted_tokens)}`
        : "nothing drafted yet",
      [[engine.accepted_tokens / engine.drafted_tokens, "strong"]],
    );
    const machine = memory.total_bytes;
    const own = memory.api_bytes + memory.engine_bytes;
    const others = machine - memory.available_bytes - own;
    this.meters.machine.show(
      machine
        ? `engine ${bytes(memory.engine_bytes)}, API ${bytes(memory.api_bytes)}, free ${bytes(memory.available_bytes)} of ${bytes(machine)}`
        : "not told by this system",
      machine
        ? [
            [own / machine, "strong"],
            [others / machine, "weak"],
          ]
        : [],
    );
    this.meters.device.node.hidden = !engine.device_total_bytes;
    if (engine.device_total_bytes)
      this.meters.device.show(`${bytes(engine.device_bytes)} of ${bytes(engine.device_total_bytes)}`, [
        [engine.device_bytes / engine.device_total_bytes, "strong"],
      ]);
  }
}

// Beside the first model, whose engine is shown in full, there may be others.
class Models {
  constructor() {
    this.body = h("tbody", {});
    const head = ["Model", "State", "In flight", "Tokens", "Memory"];
    this.node = h(
      "section",
      { class: "block", hidden: true },
      h("h2", {}, "Models"),
      h(
        "table",
        {},
        h("caption", { class: "sr" }, "Models"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            head.map((name, index) => h("th", { scope: "col", class: index > 1 ? "num" : "" }, name)),
          ),
        ),
        this.body,
      ),
    );
  }

  show(models) {
    const numbers = (each) => [
      count(each.running + each.waiting),
      count(each.generated_tokens),
      bytes(each.resident_bytes),
    ];
    replace(
      this.body,
      models.map((each) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, each.name),
          h("td", { class: each.ready ? "" : "soft" }, each.ready ? "ready" : "not loaded"),
          numbers(each).map((text) => h("td", { class: "num" }, text)),
        ),
      ),
    );
  }
}

function facts(engine, server) {
  const { loaded } = server;
  return [
    ["Model", loaded ? `${loaded.architecture}, ${parameters(loaded.parameters)} parameters` : "loading"],
    ["Weights", loaded ? `${loaded.dtype}, ${bytes(loaded.weight_bytes)}` : "–"],
    ["Context", plural(server.context_length, "token")],
    ["Kernels", loaded?.kernels || "–"],
    ["Steps", count(engine.steps)],
    ["Taken back", `${plural(engine.rollbacks, "output")} to its witness`],
    ["Set aside", `${plural(engine.preemptions, "request")} for want of KV blocks`],
    ["In constraints", seconds(engine.constraint_s)],
    ["Policy", server.policy ? h("code", {}, server.policy.slice(0, 19)) : "none"],
    ["Fingerprint", h("code", {}, server.fingerprint)],
  ];
}
