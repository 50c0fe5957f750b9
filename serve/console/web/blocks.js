// From the tokens of a growing output to the rows of a diff, without losing which token each character came in.
// Reads the search/replace blocks that the model writes; other formats are shown as they are written.

const MOST_COMPARED = 1_000_000;
const AROUND = 3;

// A row: kind (file, del, add, same, text), segs [{ text, token }], and line numbers once they are known.
function row(kind, segs) {
  return { kind, segs, before: null, after: null };
}

const textOf = (segs) => segs.map((seg) => seg.text).join("");

// Lines of a text with their ends.
export function linesOf(text) {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

export class TextReader {
  constructor() {
    this.rows = [];
    this.begin();
  }

  begin() {
    this.rows.length = 0;
    this.count = 0;
    this.line = null;
  }

  // Take tokens; the number of the first row that is different now.
  feed(tokens) {
    let from = Math.max(0, this.rows.length - 1);
    for (const token of tokens) {
      const at = this.count++;
      token.text.split("\n").forEach((piece, index) => {
        if (index > 0) from = Math.min(from, this.ended());
        if (piece) from = Math.min(from, this.piece({ text: piece, token: at }));
      });
    }
    return from;
  }

  // Only `kept` are left.
  restart(kept) {
    this.begin();
    this.feed(kept);
    return 0;
  }

  piece(seg) {
    if (!this.line) this.rows.push((this.line = row("text", [])));
    this.line.segs.push(seg);
    return this.rows.length - 1;
  }

  ended() {
    if (!this.line) this.rows.push(row("text", []));
    this.line = null;
    return this.rows.length - 1;
  }
}

export class BlockReader extends TextReader {
  // `contents`: of the given files, by path.
  constructor(markers, contents) {
    super();
    this.markers = markers;
    this.contents = contents;
  }

  begin() {
    super.begin();
    this.zone = "path";
    this.held = [];
    this.blocks = [];
  }

  piece(seg) {
    if (this.line) {
      this.line.segs.push(seg);
      return this.rows.length - 1;
    }
    this.held.push(seg);
    return this.mayBeMarker(textOf(this.held)) ? this.rows.length : this.show();
  }

  // A line that may still become a marker is held back.
  mayBeMarker(line) {
    if (this.zone === "path" || this.zone === "marker") return true;
    return (this.zone === "search" ? this.markers.divider : this.markers.replace).startsWith(line);
  }

  show() {
    const block = this.blocks.at(-1);
    this.line = row(this.zone === "search" ? "del" : "add", this.held);
    block[this.zone].push(this.line);
    this.rows.push(this.line);
    this.held = [];
    return this.rows.length - 1;
  }

  ended() {
    const line = textOf(this.held);
    const from = this.rows.length;
    if (this.zone === "path") {
      if (line) this.open(line);
    } else if (this.zone === "marker") {
      this.zone = "search";
    } else if (!this.line && this.zone === "search" && line === this.markers.divider) {
      this.zone = "replace";
      return this.place(this.blocks.at(-1));
    } else if (!this.line && this.zone === "replace" && line === this.markers.replace) {
      this.held = [];
      this.zone = "path";
      return this.settle(this.blocks.at(-1));
    } else {
      if (!this.line) this.show();
      this.line = null;
    }
    this.held = [];
    return Math.max(0, from - 1);
  }

  open(path) {
    const earlier = this.blocks.at(-1);
    if (earlier?.path !== path) this.rows.push(row("file", this.held));
    else this.rows.push(row("gap", []));
    this.blocks.push({ path, from: this.rows.length, search: [], replace: [], start: null });
    this.zone = "marker";
  }

  // The quoted lines are complete: where they stand in the file.
  place(block) {
    this.held = [];
    const quoted = block.search.map((each) => `${textOf(each.segs)}\n`).join("");
    const content = (this.contents.get(block.path) ?? "").replaceAll("\r\n", "\n");
    const at = quoted ? `${content}\n`.indexOf(quoted) : -1;
    if (at >= 0) {
      block.start = linesOf(content.slice(0, at)).length + 1;
      block.search.forEach((each, index) => {
        each.before = block.start + index;
      });
    }
    return block.from;
  }

  // The block is complete: lines that stay are shown once.
  settle(block) {
    const rows = merged(block.search, block.replace);
    this.rows.splice(block.from, this.rows.length - block.from, ...rows);
    this.number(block.path);
    return this.blocks
      .filter((each) => each.path === block.path)
      .reduce((least, each) => Math.min(least, each.from), block.from);
  }

  // All of the output is there: the rows in the files' own order, with the lines around each edit.
  landed() {
    const rows = [];
    for (const path of new Set(this.blocks.map((each) => each.path))) {
      const own = this.blocks
        .filter((each) => each.path === path && each.start !== null)
        .sort((a, b) => a.start - b.start);
      const unplaced = this.blocks.filter((each) => each.path === path && each.start === null);
      const lines = (this.contents.get(path) ?? "").split(/\r*\n/);
      if (lines.at(-1) === "") lines.pop();
      rows.push(this.rows[this.blocks.find((each) => each.path === path).from - 1]);
      let [shown, moved] = [0, 0];
      const around = (from, to) => {
        for (let at = Math.max(from, shown + 1); at <= Math.min(to, lines.length); at += 1) {
          rows.push({ ...row("around", [{ text: lines[at - 1], token: null }]), before: at, after: at + moved });
          shown = at;
        }
      };
      for (const block of own) {
        if (rows.at(-1).kind !== "file" && block.start - AROUND > shown + 1) rows.push(row("gap", []));
        around(block.start - AROUND, block.start - 1);
        rows.push(...this.rowsOf(block));
        shown = block.start + block.search.length - 1;
        moved += block.replace.length - block.search.length;
        const next = own[own.indexOf(block) + 1];
        around(shown + 1, Math.min(shown + AROUND, (next?.start ?? Infinity) - 1));
      }
      for (const block of unplaced) rows.push(...this.rowsOf(block));
    }
    this.rows.splice(0, this.rows.length, ...rows);
    return 0;
  }

  rowsOf(block) {
    const next = this.blocks[this.blocks.indexOf(block) + 1];
    return this.rows.slice(block.from, next ? next.from - 1 : this.rows.length);
  }

  // Line numbers after all complete edits of a file.
  number(path) {
    const placed = this.blocks
      .filter((each) => each.path === path && each.start !== null)
      .sort((a, b) => a.start - b.start);
    let moved = 0;
    for (const block of placed) {
      let after = block.start + moved;
      for (const each of this.rowsOf(block)) {
        if (each.kind !== "same" && each.kind !== "add") continue;
        each.after = after++;
      }
      moved += block.replace.length - block.search.length;
    }
  }
}

// Rows of both sides in the order of a diff. A line that stays is shown with the tokens that wrote it anew.
function merged(before, after) {
  const a = before.map((each) => textOf(each.segs));
  const b = after.map((each) => textOf(each.segs));
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail])
    tail += 1;
  const rows = [];
  const same = (i, j) => rows.push({ ...after[j], kind: "same", before: before[i].before });
  for (let i = 0; i < head; i += 1) same(i, i);
  const middle = pairs(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  let [i, j] = [head, head];
  for (const [x, y] of [...middle.map(([x, y]) => [x + head, y + head]), [a.length - tail, b.length - tail]]) {
    while (i < x) rows.push(before[i++]);
    while (j < y) rows.push(after[j++]);
    if (i < a.length - tail) same(i++, j++);
  }
  for (; i < a.length; i += 1, j += 1) same(i, j);
  return rows;
}

// Index pairs of a longest common subsequence; of very long texts none.
function pairs(a, b) {
  if (!a.length || !b.length || a.length * b.length > MOST_COMPARED) return [];
  const width = b.length + 1;
  const best = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      best[i * width + j] =
        a[i] === b[j]
          ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const found = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) found.push([i++, j++]);
    else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}

// Rows of a finished patch, for formats whose output is no diff of its own. No tokens.
export function rowsOfPatch(patch) {
  const rows = [];
  let [before, after] = [0, 0];
  for (const line of patch.split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)/.exec(line);
    const segs = (text) => [{ text, token: null }];
    if (hunk) {
      [before, after] = [Number(hunk[1]), Number(hunk[2])];
      rows.push(row("gap", segs(line)));
    } else if (line.startsWith("diff --git ")) {
      rows.push(row("file", segs(line.slice(11))));
    } else if (line.startsWith("+++ ") || line.startsWith("--- ") || line.startsWith("index ")) {
      continue;
    } else if (line[0] === "+") {
      rows.push({ ...row("add", segs(line.slice(1))), after: after++ });
    } else if (line[0] === "-") {
      rows.push({ ...row("del", segs(line.slice(1))), before: before++ });
    } else if (line[0] === " ") {
      rows.push({ ...row("same", segs(line.slice(1))), before: before++, after: after++ });
    } else if (line) {
      rows.push(row("gap", segs(line)));
    }
  }
  return rows;
}
