"""Values from requests, followed by name within a function: what is found, what is in order, and what is too much to follow."""

from __future__ import annotations

import pytest

from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.edit.policy.document import PatternRule, PolicyError
from dovetail.serve.edit.policy.matching import Span
from dovetail.serve.edit.policy.patterns import check_pattern, pattern_matches

SOURCE = "\\\\b(req|request)[.](args|query)\\\\b|[.]read[(]"
QUERIES = {
    "python": f'((call function: (identifier) @f arguments: (argument_list . (_) @a)) @match (#eq? @f "use") (#from? @a "{SOURCE}"))',
    "javascript": f'((call_expression function: (identifier) @f arguments: (arguments . (_) @a)) @match (#eq? @f "use") (#from? @a "{SOURCE}"))',
}


def found(language: str, text: str) -> bool:
    rule = PatternRule("x", (language,), QUERIES[language], "m")
    data = text.encode()
    return any(True for _ in pattern_matches(rule, language, parse(language, data), Span(0, len(data))))


@pytest.mark.parametrize(
    "text",
    [
        "use(request.args['a'])",
        "a = request.args['a']\nuse(a)",
        "a = request.args.get('a', '')\nb = f'{a}.txt'\nc = base + b.strip()\nuse(os.path.join(root, c))",
        "a = socket.read()\nuse(a)",
        "data = request.args\nuse(data['a'])",
        "def f():\n    a = request.args['a']\n    if not a:\n        return\n    use(a)",
        "a = request.args['a']\nif a is None:\n    fail()\nuse(a)",
        "a = 'x'\na = request.args['a']\nuse(a)",
        "if (a := request.args['a']):\n    use(a)",
    ],
)
def test_found_in_python(text: str) -> None:
    assert found("python", text)


@pytest.mark.parametrize(
    "text",
    [
        "use(a)",
        "use(a)\na = request.args['a']",
        "a = request.args['a']\na = 'x'\nuse(a)",
        "a = clean(request.args['a'])\nuse(a)",
        "a = int(request.args['a'])\nuse(str(a))",
        "a = request.args['a']\nif a not in KNOWN:\n    fail()\nuse(a)",
        "a = request.args['a']\nassert is_plain(a)\nuse(a)",
        "a = request.args['a']\nuse(FILES[a])",
        "a = request.args['a']\nuse(FILES.get(a))",
        "a = FILES[request.args['a']]\nuse(a)",
        "a = request.args['a'] == 'yes'\nuse(a)",
        "def f():\n    a = request.args['a']\ndef g(a):\n    use(a)",
        "a = request.args['a']\nuse(lambda: a)",
        "a = request.args['a']\nuse(x, a)",
        "a = request.args['a']\nuse(of(key=a))",
    ],
)
def test_in_order_in_python(text: str) -> None:
    assert not found("python", text)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("const a = req.query.a; use(a);", True),
        ("const { a } = req.query; use(`${root}/${a}`);", True),
        ("let a; a = req.query.a || 'x'; use(root + a);", True),
        ("const a = req.query.a; if (!a) { return; } use(a);", True),
        ("const a = req.query; use(a.b);", True),
        ("const a = req.query.a; if (a.includes('..')) { return; } use(a);", False),
        ("const a = FILES[req.query.a]; use(a);", False),
        ("const a = Number(req.query.a); use(a);", False),
        ("const a = req.query.a === 'x'; use(a);", False),
        ("const a = req.query.a; function f(a) { use(a); }", False),
        ("use(() => req.body);", False),
    ],
)
def test_javascript(text: str, is_found: bool) -> None:
    assert found("javascript", text) == is_found


def test_texts_built_to_be_followed_for_long() -> None:
    doubled = "a0 = x\n" + "".join(f"a{n} = a{n - 1} + a{n - 1}\n" for n in range(1, 400)) + "use(a399)\n"
    wide = (
        "".join(f"a{n} = [{', '.join(f'a{m}' for m in range(max(0, n - 40), n))}]\n" for n in range(300))
        + "use(a299)\n"
    )
    deep = "use(" + "a + " * 3000 + "a)\n"
    nested = "a = x\nuse(" + "str(" * 500 + "a" + ")" * 500 + ")\n"
    for text in (doubled, wide, deep, nested):
        assert not found("python", text)


@pytest.mark.parametrize(
    ("asked", "said"), [('@a "("', "no regular expression"), ("@a", "it takes a capture"), ('"x" @a', "it takes")]
)
def test_sources_that_are_none_are_refused(asked: str, said: str) -> None:
    query = f"((call arguments: (argument_list (_) @a)) @match (#from? {asked}))"
    with pytest.raises(PolicyError, match=said):
        check_pattern(PatternRule("x", ("python",), query, "m", bad=("f(a)",)), "patterns[0]")
