// Shows rows of a diff, of any number: only those near the visible part are in the page.

import { h } from "./dom.js";

const CHUNK = 60;
const SIGNS = { add: "+", del: "−", same: "", around: "", file: "", gap: "⋯", text: "" };

export class DiffView {
  constructor(label) {
    this.lines = h("div", { class: "diff-lines" });
    this.node = h("div", { class: "diff", tabindex: "0", role: "region", "aria-label": label }, this.lines);
    this.rows = [];
    this.tokens = [];
    this.chunks = [];
    this.pending = null;
    this.follows = true;
    this.observer = new IntersectionObserver((entries) => this.seen(entries), {
      root: this.node,
      rootMargin: "900px 0px",
    });
    this.node.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.node;
      this.follows = scrollHeight - scrollTop - clientHeight < 40;
    });
  }

  // Show these rows from now on; `tokens` says how each came to be. Both may grow.
  show(rows, tokens) {
    this.rows = rows;
    this.tokens = tokens;
    this.changed(0);
  }

  // Rows from this one on are different; drawn with the next frame.
  changed(from) {
    if (this.pending === null) requestAnimationFrame(() => this.draw());
    this.pending = Math.min(this.pending ?? from, from);
  }

  draw() {
    const from = this.pending ?? 0;
    this.pending = null;
    const wanted = Math.ceil(this.rows.length / CHUNK);
    while (this.chunks.length > wanted) {
      const chunk = this.chunks.pop();
      this.observer.unobserve(chunk.node);
      chunk.node.remove();
    }
    while (this.chunks.length < wanted) {
      const chunk = { node: h("div", { class: "chunk" }), near: this.chunks.length < 2 };
      this.chunks.push(chunk);
      this.lines.append(chunk.node);
      this.observer.observe(chunk.node);
    }
    for (let index = Math.floor(from / CHUNK); index < wanted; index += 1) this.fill(index);
    if (this.follows && this.rows.length) this.node.scrollTop = this.node.scrollHeight;
  }

  seen(entries) {
    for (const entry of entries) {
      const index = this.chunks.findIndex((chunk) => chunk.node === entry.target);
      if (index < 0 || this.chunks[index].near === entry.isIntersecting) continue;
      this.chunks[index].near = entry.isIntersecting;
      this.fill(index);
    }
  }

  fill(index) {
    const chunk = this.chunks[index];
    const rows = this.rows.slice(index * CHUNK, (index + 1) * CHUNK);
    chunk.node.style.setProperty("--rows", String(rows.length));
    chunk.node.replaceChildren(...(chunk.near ? rows.map((row) => this.line(row)) : []));
  }

  line(row) {
    const code = h(
      "span",
      { class: "code" },
      row.segs.map((seg) => this.token(seg)),
    );
    if (row.kind === "file" || row.kind === "gap" || row.kind === "text") {
      return h(
        "div",
        { class: `row ${row.kind}` },
        h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[row.kind]),
        code,
      );
    }
    return h(
      "div",
      { class: `row ${row.kind}` },
      h("span", { class: "no" }, row.kind === "add" ? "" : (row.before ?? "")),
      h("span", { class: "no" }, row.kind === "del" ? "" : (row.after ?? "")),
      h("span", { class: "sign" }, SIGNS[row.kind]),
      code,
    );
  }

  token(seg) {
    const token = seg.token === null ? null : this.tokens[seg.token];
    if (!token) return seg.text;
    return h("span", { class: `t ${token.origin}`, "data-token": seg.token }, seg.text);
  }
}
