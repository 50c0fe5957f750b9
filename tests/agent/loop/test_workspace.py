"""The copies that a run works in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import everything, make_shop

from dovetail.agent.checks.case import Grants
from dovetail.agent.loop.workspace import Workspace

PATHS = ("shop/domain/prices.py", "shop/web/page.py", "shop/new/one.py", "README.md")
edits = st.lists(
    st.dictionaries(st.sampled_from(PATHS), st.none() | st.sampled_from(["a = 1\n", "b = 2\n", ""])), max_size=5
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace") / "shop"
    make_shop(root)
    (root / "link.py").symlink_to("shop/domain/prices.py")
    (root / "out.py").symlink_to("/etc/hostname")
    (root / "linked").symlink_to("shop/domain")
    return root


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits, st.integers(0, 4))
def test_what_is_shown_is_the_accepted_edits_and_this_one(
    shop: Path, made: list[dict[str, str | None]], take: int
) -> None:
    before = everything(shop)
    with Workspace.open(shop) as workspace:
        accepted: dict[str, str | None] = {}
        for number, edit in enumerate(made):
            case = workspace.show(edit, frozenset(edit), Grants())
            wanted = {**accepted, **edit}
            tree = workspace.tried(edit)
            for path in PATHS:
                text = wanted.get(path, workspace.original(path))
                assert (path in case.after.files) == (text is not None) == (tree / path).exists()
                assert text is None or (tree / path).read_text() == text
            assert set(case.changes) == {path for path in wanted if wanted[path] != workspace.original(path)}
            assert set(case.before.files) >= {"shop/domain/prices.py", "README.md"}
            if number % 5 == take:
                workspace.accept(edit)
                accepted.update(edit)
            assert {path: workspace.current(path) for path in accepted} == accepted
        assert not (workspace.base() / "shop/new").exists()
    assert everything(shop) == before


def test_links_are_no_files_to_edit_and_never_lead_out(shop: Path) -> None:
    with Workspace.open(shop) as workspace:
        assert workspace.original("link.py") is None and not workspace.is_plain("linked/new.py")
        assert workspace.is_plain("shop/domain/prices.py") and workspace.is_plain("shop/fresh/x.py")
        tree = workspace.tried({})
        assert os.path.lexists(tree / "link.py") and not os.path.lexists(tree / "out.py")
        kept = tree.parent
    assert not kept.exists()


def test_what_a_command_does_to_its_copy_is_gone_in_the_next(shop: Path) -> None:
    with Workspace.open(shop) as workspace:
        tree = workspace.tried({})
        (tree / "README.md").write_text("spoilt")
        (tree / "made").mkdir(mode=0o500)
        again = workspace.tried({})
        assert (again / "README.md").read_text() != "spoilt" and not (again / "made").exists()
        assert workspace.original("README.md") != "spoilt"
