"""How near to its limits does Dovetail run on this GPU? Checks all kernels, then measures kernels and whole models.

    python benchmarks/gpu/run.py [--only streams:7b --only edits] [--seconds 560] [--out FILE]
    python benchmarks/gpu/run.py --device cpu --shape tiny

One call measures what it has time for, the most important first, each part in a process of its own: what crashes, or hangs, takes
nothing with it. --list names the parts. FILE is written anew after every figure. Weights are random and made on the device. The two
ceilings (bytes per second of a large copy, operations per second of a large matrix product) are measured in the same run, and
everything is said as a share of the one that binds it. The last line is one JSON object. Ends with 1 if a kernel computes something
else than its reference or a part failed, with 2 where there is no such device. On a CPU it only shows that the script itself works:
figures of tiny shapes mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from targets import verdicts

SHAPES = ("7b", "0.5b", "30b-a3b")
TINY_SHAPES = ("tiny", "tiny-experts")
ORDER = (
    "ceilings", "operators", "streams:7b", "edits:7b", "tests", "streams:30b-a3b", "quantised:7b", "transformers:7b",
    "returning:7b", "streams:0.5b", "edits:0.5b", "deterministic:7b", "quantised:30b-a3b", "edits:30b-a3b", "transformers:0.5b",
    "vllm:7b", "vllm:0.5b", "transformers:30b-a3b", "vllm:30b-a3b",
)  # fmt: skip
ON_A_CPU = ("ceilings", "operators", "streams", "edits", "quantised", "transformers", "returning")
AGAIN = {"operators": 8}
"""How often a part is started again, without the figure at which it ended, before it is given up; others: once."""
GRACE_S = 10
HERE = Path(__file__).parent


class Report:
    """All figures so far, and the file that holds them."""

    def __init__(self, command: list[str], out: Path | None) -> None:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
        )
        self.values: dict[str, Any] = {
            "machine": "",
            "commit": commit.stdout.strip(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "command": " ".join(["benchmarks/gpu/run.py", *command]),
            "benchmark": "gpu",
            "parts": {},
            "failed": {},
            "not measured": [],
        }
        self._out = out

    def add(self, part: str, key: str, value: Any) -> None:
        """One figure."""
        self.values["parts"].setdefault(part, {})[key] = value
        if part == "ceilings":
            self.values["machine"] = f"{value['device']}, torch {value['torch']}"
        self.write()

    def write(self) -> None:
        """Keep what there is."""
        if self._out is not None:
            self._out.write_text(json.dumps(self.values) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Choose the parts, run them in turn, print."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--shape", action="append", choices=(*SHAPES, *TINY_SHAPES), help="repeatable; default: all large ones"
    )
    parser.add_argument(
        "--only", action="append", help="parts to run, in this order, such as operators, streams or streams:7b"
    )
    parser.add_argument("--seconds", type=float, default=560.0, help="for all of it; what has no time left is named")
    parser.add_argument("--batches", help="streams at once, such as 1,8,64")
    parser.add_argument("--out", type=Path, help="the JSON object goes to this file, too, after every figure")
    parser.add_argument("--list", action="store_true", help="name the parts and stop")
    options = parser.parse_args(given)
    if options.device == "cpu" and any(shape in SHAPES for shape in options.shape or SHAPES):
        parser.error("on a CPU there are only --shape tiny and --shape tiny-experts")
    parts = chosen(options)
    if options.list or not parts:
        print("\n".join(parts))
        return 0 if parts else 2
    report = Report(given, options.out)
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            if end - time.monotonic() < GRACE_S:
                report.values["not measured"].append(part)
                continue
            if run_part(part, options, report, end, Path(folder)) == 2 and part == "ceilings":
                print(report.values["failed"][part], file=sys.stderr)
                return 2
    return finished(report, options.device)


def chosen(options: argparse.Namespace) -> list[str]:
    """Names of parts, in the order in which they are run. The ceilings are always among them, for shares are of these."""
    shapes = options.shape or list(SHAPES)
    if options.device == "cpu":
        names = [f"{kind}:{shape}" for kind in ON_A_CPU[2:] for shape in shapes]
        names = ["ceilings", "operators", *names]
    else:
        names = [name for name in ORDER if ":" not in name or name.partition(":")[2] in shapes]
    if not options.only:
        return names
    wanted = [name for only in options.only for name in names if only in (name, name.partition(":")[0])]
    return list(dict.fromkeys(["ceilings", *wanted])) if wanted else []


def run_part(part: str, options: argparse.Namespace, report: Report, end: float, folder: Path) -> int:
    """Run one part until it is done, given up, or out of time; the last exit status."""
    begun: list[str] = []
    status = 0
    for _ in range(1 + AGAIN.get(part, 1)):
        status, said = _run_once(part, options, report, end, folder, begun)
        if status == 0:
            return 0
        if status == 2 and not begun:
            report.values["failed"][part] = said
            return 2
        report.values["failed"].setdefault(part, {})[begun[-1] if begun else "start"] = said[-2000:]
        print(f"  {part}, {begun[-1] if begun else 'start'}: FAILED\n{said[-600:]}", flush=True)
        report.write()
        if not begun or end - time.monotonic() < GRACE_S:
            break
    return status


def _run_once(
    part: str, options: argparse.Namespace, report: Report, end: float, folder: Path, begun: list[str]
) -> tuple[int, str]:
    """One process. ``begun``: the keys of its figures, which it is told to leave out; those it begins are added."""
    ceilings = report.values["parts"].get("ceilings", {}).get("measured", {})
    command = [sys.executable, str(HERE / "part.py"), part, "--device", options.device, "--skip", json.dumps(begun)]
    command += ["--ceilings", json.dumps([ceilings.get("bytes_per_s", 1.0), ceilings.get("operations_per_s", 1.0)])]
    command += ["--batches", options.batches] if options.batches else []
    errors = folder / "errors"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with errors.open("w") as stderr, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment) as process:  # fmt: skip
        timer = threading.Timer(max(1.0, end - time.monotonic()), process.kill)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith('{"key"'):
                print("   ", line, end="")
                continue
            told = json.loads(line)
            if "value" not in told:
                begun.append(told["key"])
                continue
            report.add(part, told["key"], told["value"])
            print(f"  {part}, {told['key']}: {json.dumps(told['value'])}", flush=True)
        status = process.wait()
        timer.cancel()
    said = errors.read_text(errors="replace")
    return status, said if status != -9 else "out of time or memory (killed)\n" + said


def finished(report: Report, device: str) -> int:
    """Print what was wanted and what was found; the exit status."""
    report.values["wanted"] = verdicts(report.values["parts"]) if device == "cuda" else []
    report.write()
    for each in report.values["wanted"]:
        print(f"  {'met   ' if each['met'] else 'MISSED'} {each['wanted']}: {each['found']}")
    for part in report.values["not measured"]:
        print(f"  no time was left for {part} (--only {part})")
    wrong = [name for name, row in report.values["parts"].get("operators", {}).items() if not row["right"]]
    wrong += report.values["parts"].get("tests", {}).get("kernels", {}).get("failed", [])
    print("".join(f"  WRONG: {name}\n" for name in wrong), end="")
    print(json.dumps(report.values))
    return 1 if wrong or report.values["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
