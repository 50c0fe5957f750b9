// Plots of the last minutes as bars, drawn as SVG. Each says in words what it shows.

import { h, replace, sized, svg } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 600;
const HEIGHT = 132;
const GAP = 2;

// The next round number: axes end where people expect it.
function ceiling(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * size).find((each) => each >= value);
}

function bucketed(values, size, peak) {
  const sums = [];
  for (let at = 0; at < values.length; at += size) {
    const part = values.slice(at, at + size);
    sums.push(peak ? Math.max(...part) : part.reduce((sum, value) => sum + value, 0) / size);
  }
  return sums;
}

export class Plot {
  // `series`: [name, class]; stacked from the first up. `peak`: the most of each stretch instead of its mean.
  constructor(title, series, { unit, format, bucket = 5, peak = false }) {
    Object.assign(this, { title, series, unit, format, bucket, peak });
    this.now = h("span", { class: "plot-now" });
    this.top = h("span", { class: "plot-top", "aria-hidden": "true" });
    this.left = h("span", {});
    this.bars = svg("g", {});
    this.cursor = svg("rect", { class: "plot-cursor", y: 0, height: HEIGHT, width: 1, visibility: "hidden" });
    this.drawing = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: "0" },
      svg("line", { class: "plot-base", x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
      svg("line", { class: "plot-grid", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
      this.cursor,
      this.bars,
    );
    this.said = h("span", { class: "plot-said" });
    this.at = null;
    const key =
      series.length > 1
        ? h(
            "span",
            { class: "plot-key" },
            series.map(([name, kind]) => h("span", {}, h("i", { class: `key ${kind}` }), name)),
          )
        : null;
    this.node = h(
      "figure",
      { class: "plot" },
      h("figcaption", {}, h("span", { class: "plot-title" }, title), key, this.now),
      h("div", { class: "plot-area" }, this.top, this.drawing),
      h("div", { class: "plot-axis" }, this.left, this.said, h("span", {}, "now")),
    );
    this.drawing.addEventListener("pointermove", (event) => {
      const box = this.drawing.getBoundingClientRect();
      this.point(Math.floor(((event.clientX - box.left) / box.width) * this.sums[0].length));
    });
    this.drawing.addEventListener("pointerleave", () => this.point(null));
    this.drawing.addEventListener("blur", () => this.point(null));
    this.drawing.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.point((this.at ?? this.sums[0].length) + step);
    });
    this.sums = [[]];
  }

  // `values`: one list for each series, second by second up to `until`.
  draw(values, until) {
    this.until = until;
    this.sums = values.map((each) => bucketed(each, this.bucket, this.peak));
    const count = this.sums[0].length;
    const totals = this.sums[0].map((_, index) => this.sums.reduce((sum, each) => sum + each[index], 0));
    const top = ceiling(Math.max(...totals));
    const width = WIDTH / count;
    const bars = [];
    for (let index = 0; index < count; index += 1) {
      let y = HEIGHT;
      this.sums.forEach((each, which) => {
        const height = (each[index] / top) * HEIGHT;
        if (!height) return;
        y -= height;
        bars.push(
          svg("rect", { class: `bar ${this.series[which][1]}`, x: index * width, y, width: width - GAP, height }),
        );
      });
    }
    replace(this.bars, bars);
    replace(this.top, `${this.format(top)} ${this.unit}`);
    replace(this.left, `${Math.round((count * this.bucket) / 60)} min ago`);
    const last = totals.at(-1);
    replace(this.now, this.format(last), h("span", { class: "unit" }, ` ${this.unit}`));
    this.drawing.setAttribute(
      "aria-label",
      `${this.title}, last ${Math.round((count * this.bucket) / 60)} minutes: now ${this.format(last)}, most ${this.format(Math.max(...totals))} ${this.unit}`,
    );
    this.point(this.at);
  }

  point(index) {
    const count = this.sums[0].length;
    this.at = index === null || !count ? null : Math.min(count - 1, Math.max(0, index));
    if (this.at === null) {
      this.cursor.setAttribute("visibility", "hidden");
      replace(this.said);
      return;
    }
    const width = WIDTH / count;
    this.cursor.setAttribute("visibility", "visible");
    this.cursor.setAttribute("x", this.at * width);
    this.cursor.setAttribute("width", width - GAP);
    const time = clock(this.until - (count - this.at) * this.bucket);
    const parts = this.series.map(
      ([name], which) => `${this.series.length > 1 ? `${name} ` : ""}${this.format(this.sums[which][this.at])}`,
    );
    replace(this.said, `${time}  ${parts.join(", ")} ${this.unit}`);
  }
}

// A share as a bar with its words: [share, class] parts of a whole.
export class Meter {
  constructor(title) {
    this.title = title;
    this.value = h("dd", {});
    this.bar = h("span", { class: "meter-bar", "aria-hidden": "true" });
    this.node = h("div", { class: "meter" }, h("dt", {}, title), this.value, this.bar);
  }

  show(text, parts) {
    replace(this.value, text);
    replace(
      this.bar,
      parts.map(([part, kind]) =>
        sized(h("i", { class: kind }), { "inline-size": `${Math.min(1, Math.max(0, part || 0)) * 100}%` }),
      ),
    );
  }
}
