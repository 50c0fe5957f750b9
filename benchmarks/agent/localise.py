"""How well a bug is localised without any model: one operator of this project's own code changed, its tests as the failing command.

Mutants are those of mutate.py. Those that the tests notice
are handed to `dovetail agent --fix --plan-only`'s own code; the rank of the changed function is what counts. Prints one JSON
object as its last line. Runs contained; `--mutants 20` takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from pathlib import Path

from mutate import Mutant, mutants

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
