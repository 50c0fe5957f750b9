"""The definitions of a file and how they nest, from the matches of its structure query."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tree_sitter import Node

from dovetail.agent.repo.facts import CALLABLE, CONTAINERS
from dovetail.agent.repo.imports import Captures

_KINDS = (
    "function",
    "method",
    "class",
    "interface",
    "struct",
    "enum",
    "trait",
    "type",
    "constant",
    "variable",
    "field",
    "macro",
    "namespace",
    "prototype",
    "scope",
)
_LONGEST_SIGNATURE = 240
_LONGEST_VALUE = 100
_VALUES = frozenset({"constant", "variable", "field"})
_KEYWORDS = {"type_spec": "type ", "type_alias": "type ", "const_spec": "const ", "var_spec": "var "}
_CONSTANT = re.compile(r"_*[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Scope:
    """A stretch of the file that belongs to a definition: ``index`` among the definitions, -1 for an ``impl``."""

    start: int
    end: int
    index: int
    callable: bool


@dataclass
class Outline:
    """Definitions in the order of the file, the stretches they cover, and where their own names stand."""

    definitions: list[tuple[str, str, int, int, str, str, bool]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    name_starts: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Found:
    node: Node
    name: Node
    kind: str
    parent: Node | None


def outline(content: bytes, language: str, matches: list[tuple[int, Captures]]) -> Outline:
    """Definitions with kind, lines, parent and signature."""
    exported = {_text(content, node) for _, captures in matches for node in captures.get("exported", ())}
    made = Outline()
    open_: list[tuple[int, str, str]] = []
    for found in _definitions(matches):
        start, end = found.node.start_byte, found.node.end_byte
        while open_ and open_[-1][0] <= start:
            open_.pop()
        around = open_[-1] if open_ else (0, "", "")
        name = _text(content, found.name)
        parent = _parent(content, found.parent, found.name) if found.parent is not None else around[1]
        qualified = f"{parent}.{name}" if parent else name
        if found.kind == "scope":
            open_.append((end, qualified, "class"))
            made.scopes.append(Scope(start, end, -1, False))
            continue
        kind = _kind(found, name, around[2])
        index = len(made.definitions)
        signature = _signature(content, found, kind)
        visible = name in exported or _visible(language, name, signature, found.node, bool(parent))
        first, last = found.node.start_point[0] + 1, found.node.end_point[0] + (found.node.end_point[1] > 0)
        made.definitions.append((name, kind, first, max(first, last), parent, signature, visible))
        made.name_starts.add(found.name.start_byte)
        if kind in CALLABLE or kind in CONTAINERS:
            open_.append((end, qualified, kind))
        made.scopes.append(Scope(start, end, index, kind in CALLABLE))
    return made


def _definitions(matches: list[tuple[int, Captures]]) -> list[_Found]:
    """One definition for each name in the text: by the earliest pattern where several match. Outer ones first."""
    found: dict[int, tuple[int, _Found]] = {}
    for pattern, captures in matches:
        kind = next((kind for kind in _KINDS if kind in captures), None)
        if kind is None or "name" not in captures:
            continue
        name = captures["name"][0]
        if name.start_byte == name.end_byte:
            continue
        made = _Found(captures[kind][0], name, kind, captures["parent"][0] if "parent" in captures else None)
        known = found.get(name.start_byte)
        if known is None or pattern < known[0]:
            found[name.start_byte] = (pattern, made)
    order = [made for _, made in found.values()]
    return sorted(order, key=lambda made: (made.node.start_byte, -made.node.end_byte, made.name.start_byte))


def _kind(found: _Found, name: str, around: str) -> str:
    if found.kind == "function" and (found.parent is not None or around in CONTAINERS - {"namespace"}):
        return "method"
    if found.kind == "function" and around == "namespace" and found.node.type in {"method", "singleton_method"}:
        return "method"
    if found.kind == "variable" and _CONSTANT.fullmatch(name):
        return "constant"
    return found.kind


def _parent(content: bytes, node: Node, name: Node) -> str:
    """The dotted name that ``node`` spells; of a qualified name, what stands before its last part."""
    end = name.start_byte if node.start_byte <= name.start_byte < node.end_byte else node.end_byte
    text = re.sub(r"<.*?>|\s", "", content[node.start_byte : end].decode("utf-8", "replace"))
    return text.removesuffix("::").replace("::", ".")


def _signature(content: bytes, found: _Found, kind: str) -> str:
    """The definition's head on one line, without its body; of a value, what fits."""
    node = found.node
    body = node.child_by_field_name("body")
    value = node.child_by_field_name("value")
    if body is None and value is not None and kind in CALLABLE | CONTAINERS:
        body = value.child_by_field_name("body")
    end = body.start_byte if body is not None and body.start_byte > found.name.end_byte else node.end_byte
    text = content[node.start_byte : min(end, node.start_byte + 4 * _LONGEST_SIGNATURE)].decode("utf-8", "replace")
    if node.type == "type_definition":
        head, brace, _ = text.partition("{")
        text = f"{head}{{…}} {_text(content, found.name)}" if brace else text
    elif body is None and kind not in _VALUES:
        text = text.split("{", 1)[0]
    if kind in _VALUES or node.type in {"method", "singleton_method", "preproc_def"}:
        text = text.split("\n", 1)[0]
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"(?<=[(\[]) |,? (?=[)\]])", "", text)
    text = re.sub(r"\s*(=>|[{:;=]|\bwhere)$", "", text).rstrip()
    longest = _LONGEST_VALUE if kind in _VALUES else _LONGEST_SIGNATURE
    text = _KEYWORDS.get(node.type, "") + text
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _visible(language: str, name: str, signature: str, node: Node, nested: bool) -> bool:
    """Whether other files may use it, by the rules of the language as far as the definition itself tells."""
    words = set(re.split(r"\W+", signature.split(name, 1)[0]))
    if language == "python":
        return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))
    if language == "go":
        return name[:1].isupper()
    if language == "rust":
        return "pub" in words or node.type in {"function_signature_item", "macro_definition"}
    if language in {"javascript", "typescript", "tsx"}:
        if nested:
            return not (name.startswith("#") or "private" in words)
        around = node.parent
        return any(
            seen is not None and seen.type == "export_statement" for seen in (around, around.parent if around else None)
        )
    if language in {"java", "c-sharp", "php"}:
        return "private" not in words
    return "static" not in words or language == "cpp"


def _text(content: bytes, node: Node) -> str:
    return content[node.start_byte : node.end_byte].decode("utf-8", "replace")
