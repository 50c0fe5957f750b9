"""The page of recipes and the pinned clients agree; runs no client."""

from __future__ import annotations

import json
from pathlib import Path

from e2e.recipes import ADDRESS, PAGE, recipes

CLIENTS = Path(__file__).parent / "clients"


def test_every_section_is_run() -> None:
    """A recipe that no test names would be one that nobody runs."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    for heading in recipes():
        assert f'"{heading}"' in tests, heading


def test_every_recipe_speaks_to_the_one_server() -> None:
    for heading, recipe in recipes().items():
        parts = [*recipe.files.values(), *recipe.commands, *recipe.programs]
        assert any(ADDRESS in part for part in parts), heading


def test_the_page_names_the_versions_that_are_run() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    packages = json.loads((CLIENTS / "package.json").read_text())["dependencies"]
    names = {
        "@openai/codex": "Codex CLI",
        "@anthropic-ai/claude-code": "Claude Code",
        "opencode-ai": "opencode",
        "@qwen-code/qwen-code": "qwen-code",
        "@continuedev/cli": "Continue (command line)",
    }
    assert set(packages) == set(names)
    pins = [f"{names[package]} {version}" for package, version in packages.items()]
    for file, wanted in (("aider", ("aider-chat",)), ("sdks", ("openai", "openai-agents", "anthropic"))):
        lines = dict(
            line.split("==") for line in (CLIENTS / f"{file}.txt").read_text().splitlines() if not line.startswith("#")
        )
        pins += [f"{package.removesuffix('-chat')} {lines[package]}" for package in wanted]
    for pin in pins:
        assert pin in page, pin


def test_the_lock_holds_no_address_and_the_pinned_versions() -> None:
    lock = json.loads((CLIENTS / "package-lock.json").read_text())["packages"]
    packages = json.loads((CLIENTS / "package.json").read_text())
    for name, version in {**packages["dependencies"], **packages["optionalDependencies"]}.items():
        assert lock[f"node_modules/{name}"]["version"] == version
    assert not any("resolved" in entry for entry in lock.values())
