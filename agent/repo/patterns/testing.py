"""How the project tests: where tests lie, what they are called, which framework they use."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from dovetail.agent.repo.facts import FileFacts
from dovetail.agent.repo.patterns.convention import CLEAR, Convention, prevailing
from dovetail.agent.repo.testfiles import is_test

_FEW = 3
_FRAMEWORKS = {
    "pytest": "pytest", "unittest": "unittest", "hypothesis": "hypothesis", "vitest": "vitest", "@jest/globals": "jest",
    "node:test": "node:test", "mocha": "mocha", "chai": "chai", "@testing-library/react": "testing-library",
    "@playwright/test": "playwright", "testing": "testing", "github.com/stretchr/testify": "testify", "org.junit": "JUnit",
    "org.assertj": "AssertJ", "org.mockito": "Mockito", "Xunit": "xUnit", "NUnit.Framework": "NUnit", "rspec": "RSpec",
    "minitest": "minitest", "PHPUnit": "PHPUnit", "gtest": "GoogleTest", "<gtest": "GoogleTest", "catch2": "Catch2",
}  # fmt: skip


def testing(files: Mapping[str, FileFacts], all_paths: Collection[str]) -> Iterator[Convention]:
    """Layout, file names, framework, functions or classes."""
    tests = [facts for path, facts in files.items() if is_test(path, facts.language)]
    if len(tests) < _FEW:
        return
    yield from prevailing("tests", "test files lie in {}", Counter(_folder(facts.path) for facts in tests))
    yield from prevailing("tests", "test files are named {}", Counter(_shape(facts.path) for facts in tests))
    used: Counter[str] = Counter()
    for facts in tests:
        used.update({label for made in facts.imports for key, label in _FRAMEWORKS.items() if _is(made.module, key)})
    for label, count in sorted(used.items(), key=lambda entry: (-entry[1], entry[0]))[:3]:
        yield Convention("tests", f"tests import {label}", count, len(tests))
    written = Counter(
        "methods of classes" if symbol.parent else "plain functions"
        for facts in tests
        for symbol in facts.definitions
        if facts.language == "python" and symbol.name.startswith("test") and symbol.kind in {"function", "method"}
    )
    yield from prevailing("tests", "tests are {}", written)
    yield from _mirrored(files, tests, all_paths)


def _mirrored(
    files: Mapping[str, FileFacts], tests: list[FileFacts], all_paths: Collection[str]
) -> Iterator[Convention]:
    """Whether tests/a/test_b.py is the test of a/b.py."""
    sources = {path for path in all_paths if path in files and not is_test(path, files[path].language)}
    stems = {posixpath.splitext(path)[0] for path in sources}
    hits, example = 0, ""
    for facts in tests:
        folder, name = posixpath.split(posixpath.splitext(facts.path)[0])
        bare = name.removeprefix("test_").removesuffix("_test").removesuffix(".test").removesuffix(".spec")
        inner = folder.partition("/")[2] if folder.split("/")[0] in {"tests", "test", "spec"} else folder
        ending = f"{inner}/{bare}" if inner else bare
        same = next((stem for stem in sorted(stems) if stem == ending or stem.endswith("/" + ending)), None)
        if same is not None:
            hits += 1
            example = example or f"{facts.path} tests {same}"
    if hits >= CLEAR * len(tests):
        yield Convention("tests", f"tests mirror the sources: {example}", hits, len(tests))


def _is(module: str, key: str) -> bool:
    return module == key or module.startswith((f"{key}.", f"{key}/", f"{key}\\"))


def _folder(path: str) -> str:
    parts = path.split("/")
    for depth, part in enumerate(parts[:-1]):
        if part in {"tests", "test", "spec", "__tests__"}:
            return f"{part}/" if depth == 0 else f"{part}/ beside the sources"
    return "the folder of what they test"


def _shape(path: str) -> str:
    name = posixpath.basename(path)
    stem, suffix = posixpath.splitext(name)
    for head in ("test_",):
        if stem.startswith(head):
            return f"{head}*{suffix}"
    for tail in ("_test", ".test", ".spec", "_spec", "Test", "Tests"):
        if stem.endswith(tail):
            return f"*{tail}{suffix}"
    return f"*{suffix}"
