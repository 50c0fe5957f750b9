// What an edit is held to, as check marks. What this page can check by itself it does, by plain string search, without the server.

import { linesOf } from "./blocks.js";
import { h } from "./dom.js";
import { plural } from "./format.js";

const MARKS = { yes: "✓", no: "✗", off: "–" };
const WORDS = { yes: "holds", no: "does not hold", off: "not checked" };
const PARSERS = {
  compiler: "by the language's own parser",
  "tree-sitter": "by tree-sitter",
  off: "not checked: no grammar for it, or switched off",
};

// The given file with the answer's edits in it, line by line; null where an edit does not fit.
function applied(content, edits) {
  const lines = linesOf(content);
  const sorted = edits.toSorted((a, b) => b.start_line - a.start_line);
  for (const edit of sorted) {
    const found = lines
      .slice(edit.start_line - 1, edit.end_line)
      .join("")
      .replace(/^\ufeff/, "");
    if (found !== edit.search.replace(/^\ufeff/, "")) return null;
    const mark =
      edit.start_line === 1 && content.startsWith("\ufeff") && !edit.replace.startsWith("\ufeff") ? "\ufeff" : "";
    lines.splice(edit.start_line - 1, Math.max(0, edit.end_line - edit.start_line + 1), mark + edit.replace);
  }
  return lines.join("");
}

function occurrences(content, text) {
  let found = 0;
  for (let at = content.indexOf(text); at >= 0; at = content.indexOf(text, at + 1)) found += 1;
  return found;
}

function overlap(edits) {
  const sorted = edits
    .filter((edit) => edit.search)
    .toSorted((a, b) => a.path.localeCompare(b.path) || a.start_line - b.start_line);
  return sorted.some(
    (edit, index) => index > 0 && sorted[index - 1].path === edit.path && sorted[index - 1].end_line >= edit.start_line,
  );
}

// [{ mark, title, detail, here }] of an answer to a request over `files`; `here`: checked by this page.
export function guarantees(answer, files) {
  const given = new Map(files.map((file) => [file.path, file.content]));
  const { edits, constraint } = answer;
  const created = new Set(answer.operations.filter((each) => each.kind === "create").map((each) => each.path));
  const found = [];
  const add = (mark, title, detail, here = false) => found.push({ mark, title, detail, here });

  const strange = edits.filter((edit) => !given.has(edit.path) && !created.has(edit.path));
  add(
    strange.length ? "no" : "yes",
    "Only given files",
    strange.length ? strange[0].path : `${plural(new Set(edits.map((edit) => edit.path)).size, "file")} changed`,
    true,
  );

  const quoted = answer.format === "whole_file" ? [] : edits.filter((edit) => edit.search && given.has(edit.path));
  const wrong = quoted.filter((edit) => occurrences(given.get(edit.path), edit.search) !== 1);
  if (answer.format !== "whole_file")
    add(
      wrong.length ? "no" : "yes",
      "Quotes verbatim, and what is there once",
      wrong.length ? `not so: line ${wrong[0].start_line} of ${wrong[0].path}` : plural(quoted.length, "quotation"),
      true,
    );

  add(overlap(edits) ? "no" : "yes", "No line changed twice", plural(edits.length, "edit"), true);

  const plain = answer.files.filter(
    (file) =>
      given.has(file.path) && !answer.operations.some((each) => each.path === file.path || each.to === file.path),
  );
  const broken = plain.filter(
    (file) =>
      applied(
        given.get(file.path),
        edits.filter((edit) => edit.path === file.path),
      ) !== file.content,
  );
  add(
    broken.length ? "no" : "yes",
    "All other lines keep their bytes",
    broken.length ? broken[0].path : "the edits, applied here, give the same files",
    true,
  );

  for (const [path, parser] of Object.entries(constraint.syntax ?? {})) {
    const why = constraint.unchecked?.[path];
    add(parser === "off" ? "off" : "yes", `${path} parses as before`, why ?? PARSERS[parser] ?? parser);
  }
  add(
    "yes",
    "Complete",
    answer.finish_reason === "length"
      ? constraint.truncated
        ? "the budget ended inside an edit, which was dropped; the others stand"
        : "the budget ended between edits"
      : "the model ended it",
  );
  if (answer.policy) {
    const refused = answer.policy.refused?.length ?? 0;
    add(
      "yes",
      "The policy holds",
      `${answer.policy.digest.slice(0, 19)}…${refused ? `, which kept the model from ${plural(refused, "thing")}` : ""}`,
    );
  }
  if (constraint.distorted)
    add("off", "Its place", "the model hardly wanted to edit there, and no other place served it better");
  return found;
}

export function checklist(items) {
  return h(
    "ul",
    { class: "checks" },
    items.map(({ mark, title, detail, here }) =>
      h(
        "li",
        { class: mark },
        h("span", { class: "mark", role: "img", "aria-label": WORDS[mark] }, MARKS[mark]),
        h("span", { class: "check-title" }, title),
        h(
          "span",
          { class: "check-detail" },
          detail,
          here ? h("span", { class: "here" }, " checked in this page") : null,
        ),
      ),
    ),
  );
}
