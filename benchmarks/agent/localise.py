"""How well a bug is localised without any model: one operator of this project's own code changed, its tests as the failing command.

Each mutant changes one expression of one function (comparison, arithmetic, constant, and/or, not). Those that the tests notice
are handed to `dovetail agent --fix --plan-only`'s own code; the rank of the changed function is what counts. Prints one JSON
object as its last line. Runs contained; `--mutants 20` takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dovetail.agent.debug.fix import Fixer
from dovetail.agent.debug.settings import FixSettings

ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = {
    "agent/debug/changes.py": "tests/agent/debug/test_shrink.py",
    "agent/debug/minimise.py": "tests/agent/debug/test_shrink.py",
    "agent/debug/spectrum.py": "tests/agent/debug/test_spectrum.py",
    "agent/debug/traces/frames.py": "tests/agent/debug/test_traces.py",
    "agent/debug/traces/place.py": "tests/agent/debug/test_traces.py",
    "agent/patches.py": "tests/agent/test_patches.py",
}
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change of one function."""

    path: str
    function: str
    line: int
    what: str
    text: str


def mutants(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a file, in the order of its syntax tree."""
    tree = ast.parse(text)
    for function, owner in _functions(tree, ""):
        for node in ast.walk(function):
            if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
                old = node.ops[0]
                node.ops[0] = _COMPARED[type(old)]()
                yield Mutant(path, owner, node.lineno, f"{type(old).__name__} changed", ast.unparse(tree))
                node.ops[0] = old
            elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
                sign = node.op
                node.op = ast.Sub() if isinstance(sign, ast.Add) else ast.Add()
                yield Mutant(path, owner, node.lineno, "sign changed", ast.unparse(tree))
                node.op = sign
            elif isinstance(node, ast.Constant) and type(node.value) is int:
                value = node.value
                node.value = value + 1
                yield Mutant(path, owner, node.lineno, "constant plus one", ast.unparse(tree))
                node.value = value
            elif isinstance(node, ast.BoolOp):
                joined = node.op
                node.op = ast.Or() if isinstance(joined, ast.And) else ast.And()
                yield Mutant(path, owner, node.lineno, "and/or changed", ast.unparse(tree))
                node.op = joined


def _functions(tree: ast.AST, owner: str) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node, f"{owner}{node.name}"
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{owner}{node.name}.")


def measure(mutant: Mutant, folder: Path) -> tuple[str, int]:
    """What became of the failing command, and the rank of the changed function (0: not among the suspects)."""
    tree = folder / "project"
    for name in (
        "dovetail",
        "agent",
        "tests/agent/debug",
        "pyproject.toml",
        "tests/repositories.py",
        "tests/scripted_edits.py",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "test_fix*")
            )
        else:
            shutil.copy(ROOT / name, tree / name)
    shutil.copy(ROOT / "tests/agent/test_patches.py", tree / "tests/agent/test_patches.py")
    (tree / mutant.path).write_text(mutant.text, "utf-8")
    command = f"python -m pytest -q -x --hypothesis-seed=1 -p no:cacheprovider {SUBJECTS[mutant.path]}"
    settings = FixSettings(command, tree, repeats=1, explain_only=True, check_seconds=120)
    report = Fixer(settings, None, folder / "run.jsonl").run()
    names = [(each.path, each.name) for each in report.suspects]
    place = (mutant.path, mutant.function)
    return report.outcome, names.index(place) + 1 if place in names else 0


def main() -> None:
    """Measure a sample of mutants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    everything = [each for path in SUBJECTS for each in mutants(path, (ROOT / path).read_text("utf-8"))]
    chosen = random.Random(options.seed).sample(everything, min(options.mutants, len(everything)))
    ranks, unnoticed, start = [], 0, time.monotonic()
    for mutant in chosen:
        with tempfile.TemporaryDirectory(prefix="dovetail-localise-") as folder:
            outcome, rank = measure(mutant, Path(folder))
        print(f"{mutant.path}:{mutant.line} {mutant.function}: {mutant.what}: {outcome}, rank {rank}", flush=True)
        if outcome == "explained":
            ranks.append(rank)
        else:
            unnoticed += 1
    share = {f"top_{most}": sum(0 < rank <= most for rank in ranks) for most in (1, 3, 5)}
    told = {"mutants": len(chosen), "noticed": len(ranks), "unnoticed": unnoticed, **share}
    print(json.dumps({**told, "missed": ranks.count(0), "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    main()
