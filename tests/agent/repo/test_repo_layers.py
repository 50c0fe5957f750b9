"""Layers and contexts, declared and inferred, and what goes against them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from dovetail.agent.problems import FileProblem
from dovetail.agent.repo.globs import matches
from dovetail.agent.repo.index import RepoIndex

Make = Callable[[Mapping[str, str | bytes]], RepoIndex]

DECLARED = """
[server]
port = 1

[layers]
order = ["web", "service", "domain"]
web = ["app/web/**"]
service = ["app/service"]
domain = ["app/domain/*.py"]
tools = ["tools/**"]
forbid = [{ from = "tools", import = ["domain", "requests"] }, { from = "app/domain/**", import = ["sqlalchemy"] }]

[contexts.billing]
paths = ["app/service/billing/**"]
public = ["app/service/billing/api.py"]
may_import = []

[contexts.shipping]
paths = ["app/service/shipping/**"]
"""

FILES = {
    "dovetail.toml": DECLARED,
    "app/web/views.py": "from app.service.cart import total\nfrom app.domain.item import Item\n",
    "app/service/cart.py": "from app.domain.item import Item\nfrom app.service.billing import api, inner\n",
    "app/domain/item.py": "import sqlalchemy.orm\nclass Item: pass\ndef late():\n    from app.web import views\n",
    "app/service/billing/api.py": "from app.service.shipping import send\n",
    "app/service/billing/inner.py": "",
    "app/service/shipping/send.py": "from app.service.billing.inner import x\n",
    "tools/make.py": "import requests\nimport requestsx\nfrom app.domain import item\nfrom app.service import cart\n",
}


def test_violations_of_declared_rules(make: Make) -> None:
    layers = make(FILES).layers
    assert layers.declared
    assert [str(violation) for violation in layers.violations()] == [
        "app/domain/item.py:1: imports sqlalchemy.orm: app/domain/** may not import sqlalchemy",
        "app/domain/item.py:4: imports app.web (views): layer domain lies below web",
        "app/service/billing/api.py:1: imports app.service.shipping (send): "
        "context billing may not import context shipping",
        "app/service/cart.py:2: imports app.service.billing (inner): "
        "app/service/billing/inner.py is not public in context billing",
        "app/service/shipping/send.py:1: imports app.service.billing.inner (x): "
        "app/service/billing/inner.py is not public in context billing",
        "tools/make.py:1: imports requests: tools may not import requests",
        "tools/make.py:3: imports app.domain (item): tools may not import domain",
    ]
    described = layers.describe()
    assert "web: 1 files" in described and "tools (beside the order): 1 files" in described


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[layers", "not valid TOML"),
        ("layers = 3", "layers must be a table"),
        ('[layers]\norder = "a"', "layers.order must be a list"),
        ('[layers]\norder = ["a"]', "layers.order names a, which has no files"),
        ("[layers]\na = [3]", "layers.a must be a list of strings"),
        ("[layers]\nforbid = [{from = 'a', to = ['b']}]", r"layers.forbid\[0\].to is not known"),
        ("[layers]\nforbid = [{import = ['b']}]", r"layers.forbid\[0\].from must be"),
        ("[contexts.a]\nfiles = []", "contexts.a.files is not known; the keys are may_import, paths, public"),
        ("[contexts.a]\nmay_import = ['b']", "contexts.a.may_import names b, which is no context"),
    ],
)
def test_a_mistake_in_the_rules_is_named(make: Make, text: str, why: str) -> None:
    index = make({"dovetail.toml": text, "a.py": ""})
    with pytest.raises(FileProblem, match=why):
        _ = index.layers


def test_layers_are_inferred_where_none_are_declared(make: Make) -> None:
    files = {f"app/web/v{number}.py": "from app.core import a\n" for number in range(8)}
    files |= {"app/core/a.py": "from app.store import db\n", "app/core/b.py": "from app.web import v1\n"}
    files |= {
        "app/store/db.py": "",
        "app/left/x.py": "from app.right import y\n",
        "app/right/y.py": "from app.left import x",
    }
    files |= {"tests/test_a.py": "from app.web import v1\nfrom app.core import a"}
    layers = make(files).layers
    assert not layers.declared
    assert layers.inferred.levels == (("app/web/",), ("app/core/",), ("app/left/", "app/right/", "app/store/"))
    assert layers.inferred.knots == (("app/left/", "app/right/"),)
    [violation] = layers.violations()
    assert str(violation).startswith("app/core/b.py:1: imports app.web (v1): inferred:")
    assert "not declared" in layers.describe()


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("a/b/c.py", "a/**", True),
        ("a/b/c.py", "a/*", False),
        ("a/b/c.py", "**/c.py", True),
        ("c.py", "**/c.py", True),
        ("a/b/c.py", "a/b", True),
        ("a/bc/d.py", "a/b", False),
        ("a/b/c.py", "a/?/*.py", True),
        ("a.b", "a?b", True),
        ("a/b", "a?b", False),
        ("a\nb/c", "a\nb/**", True),
    ],
)
def test_path_patterns(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, [pattern]) is expected
