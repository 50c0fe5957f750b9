"""The tools of other languages, really run in the sandbox: what they object to before and after an edit is read and compared."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from repositories import git, write

from dovetail.agent.checks.case import Grants
from dovetail.agent.checks.commands.run import SandboxRunner
from dovetail.agent.checks.commands.tools import find_tools
from dovetail.agent.loop.ladder import Climb, Commands, command_climb
from dovetail.agent.loop.limits import Budget, RunLimits
from dovetail.agent.loop.trajectory import Trajectory
from dovetail.agent.loop.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NODE_TOOLS = Path(__file__).resolve().parents[3] / ".e2e" / "node-tools"
PINNED = {"typescript": "5.6.3", "eslint": "9.14.0", "@types/node": "22.9.0"}

TYPESCRIPT = {
    "package.json": '{"name": "box", "type": "module", "scripts": {"test": "node --test --test-reporter=tap"}}\n',
    "tsconfig.json": '{"compilerOptions": {"strict": true, "module": "nodenext", "checkJs": true}, "include": ["*.js", "*.ts"]}\n',
    "eslint.config.js": 'export default [{files: ["*.js"], rules: {"no-unused-vars": "error", "eqeqeq": "error"}}];\n',
    "sum.js": "/** @param {number} a @param {number} b */\nexport function sum(a, b) {\n  return a + b;\n}\n",
    "sum.test.js": "import test from 'node:test';\nimport assert from 'node:assert';\nimport { sum } from './sum.js';\n\n"
    "test('sums', () => assert.equal(sum(1, 2), 3));\n",
    "box.ts": "export const size: number = 1;\n",
}
GO = {
    "go.mod": "module box\n\ngo 1.19\n",
    "sum.go": "package box\n\nfunc Sum(a, b int) int {\n\treturn a + b\n}\n",
    "sum_test.go": 'package box\n\nimport "testing"\n\nfunc TestSum(t *testing.T) {\n\tif Sum(1, 2) != 3 {\n\t\tt.Error("wrong")\n\t}\n}\n',
}
RUST = {
    "Cargo.toml": '[package]\nname = "crate_box"\nversion = "0.1.0"\nedition = "2021"\n',
    "src/lib.rs": "pub fn sum(a: i32, b: i32) -> i32 {\n    a + b\n}\n\n#[cfg(test)]\nmod tests {\n"
    "    #[test]\n    fn sums() {\n        assert_eq!(super::sum(1, 2), 3);\n    }\n}\n",
}


class Wrong(NamedTuple):
    """An edit, the rung that objects, and a part of what it says."""

    files: Mapping[str, str]
    path: str
    old: str
    new: str
    rung: str
    said: str


WRONG = {
    "tsc": Wrong(TYPESCRIPT, "box.ts", "number = 1", "number = 'one'", "tsc", "TS2322"),
    "eslint": Wrong(TYPESCRIPT, "sum.js", "  return", "  const c = 1;\n  return", "eslint", "'c' is assigned a value but never used"),
    "npm test": Wrong(TYPESCRIPT, "sum.js", "a + b", "a - b", "all tests", "sums fails"),
    "go vet": Wrong(GO, "sum.go", "\treturn", '\tfmt.Printf("%d", "x")\n\treturn', "go vet", "sum.go"),
    "go test": Wrong(GO, "sum.go", "a + b", "a - b", "all tests", "TestSum fails"),
    "cargo check": Wrong(RUST, "src/lib.rs", "a + b\n", '"a"\n', "cargo check", "mismatched types"),
    "cargo test": Wrong(RUST, "src/lib.rs", "a + b\n", "a - b\n", "all tests", "tests::sums fails"),
}  # fmt: skip


def made(files: Mapping[str, str], root: Path) -> Path:
    """The project, with its tools where they can be had."""
    write(root, files)
    program = "npm" if files is TYPESCRIPT else "go" if files is GO else "cargo"
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    if files is TYPESCRIPT:
        if not (NODE_TOOLS / "node_modules" / ".bin" / "tsc").exists():
            NODE_TOOLS.mkdir(parents=True, exist_ok=True)
            command = [
                "npm",
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
                str(NODE_TOOLS),
            ]
            subprocess.run([*command, *(f"{name}@{version}" for name, version in PINNED.items())], check=True)
        shutil.copytree(NODE_TOOLS / "node_modules", root / "node_modules", symlinks=True)
    write(root, {".gitignore": "node_modules\ntarget\n"})
    git(root, "init", "-q")
    return root


def climbed(root: Path, edit: Mapping[str, str], folder: Path) -> Climb:
    """What the project's tools say of an edit."""
    with Workspace.open(root) as workspace:
        trajectory = Trajectory.start(folder / "run.jsonl", {})
        tools = find_tools(root, workspace.before.files)
        commands = Commands(SandboxRunner(root), tools, workspace.base, trajectory, Budget(RunLimits()), 300)
        assert commands.tools and not commands.missing
        climb = Climb()
        command_climb(climb, workspace.show(edit, frozenset(edit), Grants()), commands, workspace.tried(edit))
        trajectory.close()
        return climb


@pytest.mark.parametrize("tool", WRONG)
def test_what_the_tool_says_of_a_wrong_edit(tool: str, tmp_path: Path) -> None:
    wrong = WRONG[tool]
    root = made(wrong.files, tmp_path / "box")
    assert wrong.old in wrong.files[wrong.path]
    climb = climbed(root, {wrong.path: wrong.files[wrong.path].replace(wrong.old, wrong.new, 1)}, tmp_path)
    objecting = [verdict for verdict in climb.verdicts if verdict.findings]
    assert [verdict.rung for verdict in objecting] == [wrong.rung]
    assert wrong.said in str(objecting[0].findings[0])


@pytest.mark.parametrize("files", [TYPESCRIPT, GO, RUST], ids=["node", "go", "cargo"])
def test_a_sound_edit_passes_every_tool(files: Mapping[str, str], tmp_path: Path) -> None:
    root = made(files, tmp_path / "box")
    path = next(name for name in files if "sum." in name or name.endswith("lib.rs"))
    climb = climbed(root, {path: files[path].replace("a + b", "b + a")}, tmp_path)
    assert climb.passed and not [verdict for verdict in climb.verdicts if verdict.skipped]
    assert climb.tests is not None and climb.tests.passed
