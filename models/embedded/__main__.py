"""The one command: `python -m dovetail.models.embedded train --preset cpu --out DIR`, and `evaluate DIR`."""

import argparse
import json
import os
from pathlib import Path

from dovetail.models.embedded import WEIGHTS
from dovetail.models.embedded.presets import PRESETS
from dovetail.models.embedded.sources import DEFAULT_CACHE


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m dovetail.models.embedded", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="fetch the data, train, evaluate, write a Hugging Face directory")
    train.add_argument("--preset", choices=sorted(PRESETS), default="cpu", help="size, rows and budget (presets.py)")
    train.add_argument(
        "--minutes", type=float, default=None, help="time budget of the training loop; default: the preset's"
    )
    train.add_argument("--out", type=Path, default=WEIGHTS)
    train.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where the pinned wheels are kept")
    train.add_argument("--seed", type=int, default=1)
    train.add_argument("--steps", type=int, default=None, help="a number of steps in place of the time budget")
    train.add_argument("--threads", type=int, default=2)
    train.add_argument(
        "--no-compile", action="store_true", help="do not use torch.compile (no C++ compiler needed then)"
    )
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --cache")
    evaluate = commands.add_parser("evaluate", help="evaluate a written directory on the held-out packages")
    evaluate.add_argument("directory", type=Path, nargs="?", default=WEIGHTS)
    evaluate.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    return top


def main() -> None:
    arguments = parser().parse_args()
    if arguments.command == "evaluate":
        from dovetail.models.embedded.report import evaluate_directory

        print(json.dumps(evaluate_directory(arguments.directory, arguments.cache), indent=2))
        return
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # on a shared machine, waiting threads must not spin for long
    from dovetail.models.embedded import train

    plan = train.Plan(
        out=arguments.out,
        preset=arguments.preset,
        minutes=arguments.minutes or PRESETS[arguments.preset].minutes,
        cache=arguments.cache,
        seed=arguments.seed,
        steps=arguments.steps,
        threads=arguments.threads,
        compile=not arguments.no_compile,
        resume=arguments.resume,
    )
    run = train.execute(plan)
    from dovetail.models.embedded.report import finish

    finish(run)


if __name__ == "__main__":
    main()
