"""What is kept of a model's answers, whatever they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import HOSTILE_PATHS

from dovetail.agent.loop import plan, requirements
from dovetail.agent.loop.model import EditQuestion, UnusableAnswer, read_edit, read_json
from dovetail.agent.repo.facts import FileFacts

TASK = "Make Basket.count right and keep totals"
FILES = {path: FileFacts(path, "python", "") for path in ("shop/a.py", "shop/b.py", "conftest.py", "docs/x.md")}
QUESTION = EditQuestion("do", (("shop/a.py", "x = 1\n"),), ("shop/new.py",))

words = st.sampled_from(["count", "totals", "Basket", "password", "", "shop/a.py", "conftest.py", "\x1b[2J", "R1", "é"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
points = st.fixed_dictionaries(
    {"text": words | json_values, "check": st.sampled_from([*requirements.MODEL_KINDS, "tests kept", "command", 1])},
    optional={"target": words | json_values, "path": words | json_values},
)
steps = st.fixed_dictionaries(
    {"instruction": words | json_values},
    optional={
        "files": st.lists(words | json_values, max_size=12) | json_values,
        "new_files": st.lists(st.sampled_from(HOSTILE_PATHS) | words | json_values, max_size=6) | json_values,
        "checks": st.lists(words | json_values, max_size=4) | json_values,
    },
)


@given(
    st.one_of(
        json_values, st.builds(lambda found: {"requirements": found}, st.lists(points | json_values, max_size=20))
    )
)
def test_requirements_are_bounded_and_never_checked_by_what_holds_anyway(answer: Any) -> None:
    kept = requirements.usable(answer, TASK)
    assert len(kept) <= requirements.MOST
    assert [each.id for each in kept] == [f"R{number}" for number in range(1, len(kept) + 1)]
    assert len({each.text for each in kept}) == len(kept)
    for each in kept:
        assert each.check in requirements.MODEL_KINDS and each.by == "model"
        assert each.text.isprintable() and len(each.text) <= 300
        assert requirements.content_words(each.text) & requirements.content_words(TASK)


@given(st.one_of(json_values, st.builds(lambda found: {"subtasks": found}, st.lists(steps | json_values, max_size=20))))
def test_plans_name_only_real_or_plain_new_files_and_keep_their_order(answer: Any) -> None:
    asked = requirements.whole_task(TASK)
    kept, _ = plan.usable(answer, TASK, asked, FILES)
    assert len(kept.subtasks) <= plan.MOST_SUBTASKS
    for step in kept.subtasks:
        assert set(step.files) <= {"shop/a.py", "shop/b.py", "docs/x.md"} and len(step.files) <= plan.MOST_FILES
        near = requirements.content_words(" ".join([TASK, *step.files, *step.new_files]))
        assert requirements.content_words(step.instruction) & near
        assert set(step.checks) <= {"R1"} and not step.file_by_file
        assert all(not plan.path_fault(path, FILES) for path in step.new_files)
    given_steps = answer.get("subtasks") if isinstance(answer, dict) else []
    texts = (
        [each.get("instruction") for each in given_steps if isinstance(each, dict)]
        if isinstance(given_steps, list)
        else []
    )
    following = iter(texts)
    assert all(
        any(isinstance(text, str) and text.strip()[:400] == step.instruction for text in following)
        for step in kept.subtasks
    )


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_no_file_is_made_at_a_hostile_path(path: str) -> None:
    files = {**FILES, "shop/domain/prices.py": FileFacts("shop/domain/prices.py", "python", "")}
    assert plan.path_fault(path, files)


@pytest.mark.parametrize("path", ["shop/new.py", "tests/test_new.py", "a.b/c-d_e.ts", "README.txt", ".editorconfig"])
def test_plain_paths_are_fine(path: str) -> None:
    assert not plan.path_fault(path, FILES)


@given(json_values, json_values)
def test_an_edit_names_given_files_or_is_refused(files: Any, operations: Any) -> None:
    body = {"files": files, "operations": operations}
    try:
        found = read_edit(body, QUESTION)
    except UnusableAnswer:
        return
    assert set(found) <= {"shop/a.py", "shop/new.py"}
    assert all(isinstance(text, str) for text in found.values())


@pytest.mark.parametrize("path", [path for path in HOSTILE_PATHS if path])
def test_an_edit_of_another_file_is_refused(path: str) -> None:
    with pytest.raises(UnusableAnswer, match="none of the given files"):
        read_edit({"files": [{"path": path, "content": "x"}]}, QUESTION)


def test_an_edit_is_what_differs() -> None:
    files = [{"path": "shop/a.py", "content": "x = 2\n"}]
    made = [{"kind": "create", "path": "shop/new.py", "content": "y\n"}]
    assert read_edit({"files": files, "operations": made}, QUESTION) == {"shop/a.py": "x = 2\n", "shop/new.py": "y\n"}
    assert read_edit({"files": [{"path": "shop/a.py", "content": "x = 1\n"}]}, QUESTION) == {}


@given(json_values)
def test_a_chat_answer_holds_json_or_is_refused(value: Any) -> None:
    body = {"choices": [{"message": {"content": json.dumps(value)}}]}
    assert read_json(body) == value
    for wrong in ({"choices": value}, {"choices": [value]}, {"choices": [{"message": value}]}):
        with pytest.raises(UnusableAnswer):
            read_json(wrong)


def test_a_task_without_usable_points_is_its_own_requirement() -> None:
    found = requirements.whole_task("Do\nit \x1b[2J")
    assert [(each.text, each.check) for each in found] == [("Do it \\x1b[2J", "unchecked")]
