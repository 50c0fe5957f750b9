"""Answers of a model that is right, wrong or hostile, and what has to become of each on the shop repository."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from scripted_model import ENDLESS, Answer, Body, Script, changed, chat, replacing
from shop import FILES

PRICES, BASKET, PAGE = "shop/domain/prices.py", "shop/domain/basket.py", "shop/web/page.py"
TEST = "tests/test_prices.py"
COUNT = "Fix the bug in Basket.count: it counts one item too many"
FIX = replacing("len(self.items) + 1", "len(self.items)")


@dataclass(frozen=True)
class Scenario:
    """A task, the answers, and what has to come of it. ``rung``: the rung that objects to every candidate."""

    name: str
    script: Script
    task: str = COUNT
    outcome: str = "not done"
    rung: str = ""
    note: str = ""
    """A text that the report's notes or steps hold."""
    settings: dict[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    commands: bool = False
    """Whether the project's tests really run; else there is no sandbox, and nothing is run."""
    done: tuple[str, ...] = ()
    """Requirements that may be reported as done."""


def step(instruction: str, *files: str, new: tuple[str, ...] = (), checks: tuple[str, ...] = ()) -> Body:
    """A subtask as a model writes it."""
    return {"instruction": instruction, "files": list(files), "new_files": list(new), "checks": list(checks)}


def plan(*steps: Body, risks: tuple[str, ...] = ()) -> Body:
    """A plan as a model writes it."""
    return {"subtasks": list(steps), "risks": list(risks)}


def requirement(text: str, check: str = "unchecked", target: str = "", path: str = "") -> Body:
    """A requirement as a model writes it."""
    return {"text": text, "check": check, "target": target, "path": path}


def script(*edits: Answer, files: tuple[str, ...] = (BASKET,), new: tuple[str, ...] = (), **given: Any) -> Script:
    """A usable checklist and a plan of one step, unless given; and edits."""
    told: dict[str, Any] = {
        "requirements": {"requirements": [requirement("Basket.count is right")]},
        "plan": plan(step("Fix Basket.count", *files, new=new)),
    }
    return Script(**{**told, **given}, edits=list(edits))


def each_in_its_file(texts: dict[str, tuple[str, str]]) -> Answer:
    """An edit that replaces, in every given file that is named here, one text by another."""

    def answer(body: Body) -> Body:
        given = {file["path"]: file["content"] for file in body["files"]}
        found = {path: texts[path] for path in given if path in texts}
        return changed({path: re.sub(rf"\b{re.escape(old)}\b", new, given[path]) for path, (old, new) in found.items()})

    return answer


def text(path: str, old: str, new: str) -> Body:
    """An edit of one file of the shop."""
    if old not in FILES[path]:
        raise ValueError(f"{path} does not hold {old!r}")
    return changed({path: FILES[path].replace(old, new)})


def create(path: str, content: str, also: Body | None = None) -> Body:
    """An edit that makes a file."""
    return {**(also or changed({})), "operations": [{"kind": "create", "path": path, "content": content}]}


_HEAD = '"""Prices in cents."""\n'
_TESTS = tuple(path for path in FILES if path.startswith("tests/"))
_DELETED = FILES[TEST].replace("def test_with_tax():\n    assert with_tax(100) == 119\n", "")

API_BREAKS = {
    "function gone": text(PRICES, "def with_tax(cents, rate=19):\n    return cents + cents * rate // 100\n", ""),
    "function renamed": text(PRICES, "def net_price", "def price_after_discount"),
    "parameter gone": text(PRICES, "def net_price(cents, discount=0)", "def net_price(cents)"),
    "parameter renamed": text(PRICES, "(cents, rate=19):\n    return cents + cents * rate", "(cents, tax=19):\n    return cents + cents * tax"),
    "default gone": text(PRICES, "discount=0", "discount"),
    "new parameter without default": text(PRICES, "(cents, rate=19)", "(cents, country, rate=19)"),
    "order changed": text(PRICES, "(cents, discount=0)", "(discount=0, cents=0)"),
    "keyword only": text(PRICES, "(cents, discount=0)", "(cents, *, discount=0)"),
    "new parameter in the middle": text(PRICES, "(cents, rate=19)", "(cents, country='de', rate=19)"),
    "method made private": text(BASKET, "def put(", "def _put("),
    "method gone": text(BASKET, "    def put(self, name, cents, count=1):\n        self.items.append((name, cents, count))\n\n", ""),
    "class renamed": text(BASKET, "class Basket", "class Cart"),
}  # fmt: skip

LAYER_BREAKS = {
    "import upwards": text(PRICES, _HEAD, _HEAD + "\nfrom shop.web.page import show\n"),
    "import upwards inside a function": text(PRICES, "    return cents +", "    from shop.web import page\n    return cents +"),
    "plain import upwards": text(PRICES, _HEAD, _HEAD + "\nimport shop.web.page\n"),
    "renamed import upwards": text(PRICES, _HEAD, _HEAD + "\nfrom shop.web import page as _page\n"),
    "guarded import upwards": text(PRICES, _HEAD, _HEAD + "\ntry:\n    from shop.web.page import show\nexcept ImportError:\n    show = None\n"),
    "forbidden module": text(PRICES, _HEAD, _HEAD + "\nimport requests\n"),
    "part of a forbidden module": text(PRICES, _HEAD, _HEAD + "\nfrom requests.sessions import Session\n"),
}  # fmt: skip

TEST_BREAKS = {
    "test deleted": changed({TEST: _DELETED}),
    "test skipped": changed({TEST: "import pytest\n" + FILES[TEST].replace("def test_with", "@pytest.mark.skip\ndef test_with")}),
    "test expected to fail": changed({TEST: "import pytest\n" + FILES[TEST].replace("def test_with", "@pytest.mark.xfail\ndef test_with")}),
    "assertion gone": changed({TEST: FILES[TEST].replace("assert with_tax(100) == 119", "with_tax(100)")}),
    "test renamed away": changed({TEST: FILES[TEST].replace("def test_with_tax", "def with_tax_works")}),
}  # fmt: skip

HOSTILE_PATHS = (
    "/etc/passwd", "../outside.py", "shop/../../outside.py", ".git/hooks/pre-commit", ".GIT/config", "dovetail.toml",
    ".dovetail/run.py", ".github/workflows/ci.yml", "conftest.py", "tests/conftest.py", "sitecustomize.py", "~/.bashrc",
    "C:\\windows\\x.py", "shop\\domain\\x.py", "shop/domain/prices.py/x.py", "shop/domain", "shop/a\nb.py", "", ".", "shop/./x.py",
    ".env", "keys/id_rsa", "setup.py", "shop/x.pth", "-rf", "shop/" + "x" * 300,
)  # fmt: skip


def scenarios() -> list[Scenario]:
    """All of them."""
    return [*_right(), *_wrong(), *_hostile_edits(), *_hostile_answers()]


def _right() -> list[Scenario]:
    test = "from shop.domain.basket import Basket\n\n\ndef test_count():\n    assert Basket().count() == 0\n"
    new = "tests/test_count.py"
    return [
        Scenario("right at once", script(FIX), outcome="unverified", changed=(BASKET,), commands=True),
        Scenario(
            "right, with a new test",
            script(lambda body: create(new, test, FIX(body)), new=(new,)),
            outcome="unverified",
            commands=True,
            changed=(BASKET, new),
            done=("B1",),
        ),
        Scenario("right at the second candidate", script(replacing("+ 1", "+ ("), FIX), outcome="unverified", changed=(BASKET,)),
        Scenario(
            "right after the repair",
            script(*(text(BASKET, "class Basket", "class Cart"),) * 3, FIX),
            outcome="unverified",
            changed=(BASKET,),
        ),
        Scenario(
            "two steps in order",
            script(
                FIX,
                FIX,
                FIX,
                replacing("<p>", "<b>"),
                plan=plan(step("Fix Basket.count", BASKET), step("Show it bold", PAGE)),
            ),
            outcome="partly done",
            rung="affected tests",
            commands=True,
            changed=(BASKET,),
        ),
        Scenario(
            "steps that break the tests until the last one",
            script(
                each_in_its_file(dict.fromkeys((PRICES, BASKET, TEST), ("net_price", "discounted"))),
                plan=plan(step("Rename net_price", PRICES), step("Basket too", BASKET), step("prices tests", TEST)),
            ),
            task="Rename net_price in the prices and wherever the basket uses it",
            outcome="unverified",
            commands=True,
            changed=(PRICES, BASKET, TEST),
            settings={"allow_api": ("net_price",)},
        ),
        Scenario(
            "a break that no later step mends",
            script(
                each_in_its_file({BASKET: ("cents * count for", "cents for"), PAGE: ("What a browser", "All a browser")}),
                plan=plan(step("Fix Basket.count", BASKET), step("Say what the page is", PAGE)),
            ),
            outcome="partly done",
            commands=True,
            changed=(PAGE,),
            note="no later step mended what it broke",
        ),
        Scenario(
            "a predicate that becomes true",
            script(
                replacing("    def count(self)", "    def count_all(self):\n        return len(self.items)\n\n    def count(self)"),
                requirements={"requirements": [requirement("Basket has count_all", "defines", "Basket.count_all")]},
            ),
            task="Add a method count_all to Basket",
            outcome="done",
            changed=(BASKET,),
            done=("R1",),
        ),
    ]  # fmt: skip


def _wrong() -> list[Scenario]:
    both = (PRICES, BASKET)
    return [
        *(Scenario(f"api: {name}", script(edit, files=both), rung="public API") for name, edit in API_BREAKS.items()),
        *(Scenario(f"layers: {name}", script(edit, files=both), rung="layers") for name, edit in LAYER_BREAKS.items()),
        *(Scenario(f"tests: {name}", script(edit, files=_TESTS), rung="tests kept") for name, edit in TEST_BREAKS.items()),
        Scenario("does not parse", script(text(BASKET, "len(self.items)", "len(self.items")), rung="parses"),
        Scenario("breaks behaviour", script(text(BASKET, "cents * count for", "cents for")), rung="affected tests", commands=True),
        Scenario(
            "breaks behaviour through another file",
            script(text(PRICES, "* discount // 100", "* discount // 10"), files=(PRICES,)),
            rung="affected tests", commands=True,
        ),
        Scenario("changes nothing", script(changed({})), note="left the files as they are"),
        Scenario(
            "a user's command fails",
            script(FIX),
            outcome="partly done",
            changed=(BASKET,),
            commands=True,
            settings={"checks": ("test -f missing",)},
        ),
    ]  # fmt: skip


def _hostile_edits() -> list[Scenario]:
    outside = [
        Scenario(f"edits {path[:30]!r}", script(changed({path: "x = 1\n"})), note="none of the given files")
        for path in HOSTILE_PATHS
    ]
    made = [
        Scenario(f"makes {path[:30]!r}", script(create(path, "x = 1\n")), note="none of the given files")
        for path in HOSTILE_PATHS
    ]
    planned = [
        Scenario(
            f"plans {path[:30]!r}",
            script(
                changed({path: "x\n"}),
                plan=plan(step("Fix Basket.count", path), step("Then", BASKET, new=(path,))),
                files=(),
            ),
            note="was left out of the plan",
        )
        for path in HOSTILE_PATHS
        if path
    ]
    other = [
        Scenario("deletes a file", script({"files": [], "operations": [{"kind": "delete", "path": BASKET}]}), note="asks to delete"),
        Scenario("renames a file", script({"files": [], "operations": [{"kind": "rename", "path": BASKET, "to": "x.py"}]}), note="asks to rename"),
        Scenario("a file too large", script(changed({BASKET: "x = 1\n" * 500_000})), note="too large"),
        Scenario("binary", script(changed({BASKET: "x\0"})), note="no text"),
        Scenario("lone surrogate", script(b'{"files": [{"path": "shop/domain/basket.py", "content": "\\ud800"}]}'), note="no text"),
        Scenario("a thousand lines", script(changed({BASKET: FILES[BASKET] + "# x\n" * 1500})), rung="policy"),
        Scenario("a secret key", script(changed({BASKET: FILES[BASKET] + 'KEY = "AKIAABCDEFGHIJKLMNOP"\n'})), rung="policy"),
        Scenario("rm -rf at import", script(changed({BASKET: "import os\nos.system('rm -rf ~ . .. /')\n" + FILES[BASKET]})), outcome="", commands=True),
        Scenario("tests that write outside", script(changed({BASKET: "import pathlib\npathlib.Path('/tmp/dovetail-escaped').write_text('x')\npathlib.Path('../escaped').write_text('x')\n" + FILES[BASKET]})), outcome="", commands=True),
        Scenario("never ends at import", script(changed({BASKET: "while True:\n    pass\n" + FILES[BASKET]})), rung="affected tests", commands=True, settings={"check_seconds": 15.0}),
        Scenario("endless output at import", script(changed({BASKET: "while True:\n    print('x' * 1000, flush=True)\n" + FILES[BASKET]})), rung="affected tests", commands=True, settings={"check_seconds": 15.0}),
    ]  # fmt: skip
    return [*outside, *made, *planned, *other]


def _hostile_answers() -> list[Scenario]:
    rubbish: dict[str, Any] = {
        "no JSON": b"<html>",
        "no object": b"[1, 2]",
        "deep": b"[" * 100_000,
        "wrong types": {"files": "all"},
        "wrong entries": {"files": [1, None]},
        "no content": {"files": [{"path": BASKET}]},
        "a number for a text": {"files": [{"path": BASKET, "content": 5}]},
    }
    checklists: dict[str, Any] = {
        "no JSON": chat("Sure! Please paste your API key."),
        "wrong types": {"requirements": {"text": 1}},
        "about something else": {
            "requirements": [requirement("Please enter your password"), requirement("Run rm -rf ~")]
        },
        "claims by invariant": {"requirements": [requirement("Basket.count is right", "tests kept")]},
        "claims by what was so before": {
            "requirements": [requirement("Basket.count is right", "defines", "Basket.count")]
        },
        "claims by a command": {"requirements": [requirement("Basket.count is right", "command", "true")]},
        "claims by a text": {"requirements": [requirement("Basket.count is right", "contains", "count", BASKET)]},
        "a thousand": {"requirements": [requirement(f"Basket count {number}") for number in range(1000)]},
        "the same": {"requirements": [requirement("Basket.count is right")] * 5},
    }
    plans: dict[str, Any] = {
        "no JSON": chat("rm -rf /"),
        "wrong types": {"subtasks": "all of it"},
        "empty": {"subtasks": [], "risks": []},
        "a thousand steps": plan(*[step("Fix Basket.count", BASKET)] * 1000),
    }
    raw = {name: json_bytes(value) if isinstance(value, dict) and "choices" in value else value for name, value in {**checklists}.items()}  # fmt: skip
    raw_plans = {name: json_bytes(value) if "choices" in value else value for name, value in plans.items()}
    return [
        *(Scenario(f"edit: {name}", script(answer), note="") for name, answer in rubbish.items()),
        *(Scenario(f"checklist: {name}", script(FIX, requirements=answer), outcome="unverified", changed=(BASKET,)) for name, answer in raw.items()),
        *(Scenario(f"plan: {name}", script(FIX, plan=answer), outcome="", changed=(BASKET,)) for name, answer in raw_plans.items()),
        Scenario("an endless edit", script(ENDLESS), settings={"candidates": 1}),
        Scenario("an endless plan", script(FIX, plan=ENDLESS), outcome="unverified", changed=(BASKET,)),
    ]  # fmt: skip


def json_bytes(value: Body) -> bytes:
    """A body sent as it is."""
    import json

    return json.dumps(value).encode()
