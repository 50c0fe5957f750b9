"""Do real edits pass, and how fast? Teacher-forced replay of true edits through the real engine.

    python benchmarks/edit_replay.py [--data FILE.jsonl[.gz]] [--format blocks] [--draft-limit 32]
    python benchmarks/edit_replay.py --timed-shape 0.5b         times on a model as large as Qwen2.5-0.5B

A model that writes exactly the true edit: the forward pass is computed, the sampler is told the next token, the constraint
and the drafters do what they always do. ``--data``: JSON lines with the fields path, before, after and message; without it,
edits of standard library modules are made up. Passes are counted on a tiny model with drafts as long as they may be; wall
time against decoding without drafts is taken on a larger one (see code_model.py) with drafts as long as they pay, edit by
edit in turn, prompts excluded. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import msgspec
import torch
from code_model import COUNTING, TIMING, VOCABULARY, write_code_model
from rich.console import Console
from rich.table import Table
from teacher import Classroom, Run
from true_edits import CONTEXT_LINES, TrueEdit, made_edits, output_text, read_edits, specification

from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.gate_worker import edit_gates
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import read_policy
from dovetail.serve.types import EditSpec

MADE_EDITS = 100
TIMED_TOKENS = 2_000


@dataclass(frozen=True)
class Lesson:
    """One edit as the engine gets it. ``text``: the output; ``tokens``: the same, as the tokenizer writes it."""

    edit: TrueEdit
    spec: EditSpec
    prompt: list[int]
    text: str
    tokens: list[int]


def lesson(edit: TrueEdit, tokenizer: Tokenizer, options: argparse.Namespace) -> Lesson:
    """Render the edit and its prompt."""
    spec = specification(edit, options.format, options.syntax)
    if options.policy:
        spec = msgspec.structs.replace(spec, policy=Policy([read_policy(options.policy)]).texts)
    text = output_text(edit, spec, options.context)
    messages = FORMATS[spec.format].messages(spec.files, edit.message, spec.markers, ())
    prompt = tokenizer.encode("\n\n".join(message["content"] for message in messages) + "\n\n")
    return Lesson(edit, spec, prompt, text, tokenizer.encode(text))


_GATES = edit_gates()
"""As in the server (serve/worker.py): a parse holds up no step."""


def classroom(directory: Path, max_draft: int, *, quantize: str | None = None, eager: bool = False) -> Classroom:
    """An engine on that model, held to edits."""
    tokenizer = Tokenizer.load(directory)
    vocabulary = Vocabulary([tokenizer.token_bytes(token) for token in range(tokenizer.size)], tokenizer.encode)
    return Classroom(
        directory, lambda spec: compile_edit(spec, vocabulary, _GATES), max_draft, quantize=quantize, eager=eager
    )


def zones(work: Lesson) -> list[str]:
    """For every byte of a text in blocks, which part of a block it is in."""
    markers, part, parts = work.spec.markers, "header", []
    for line in work.text.split("\n"):
        here = part
        if line == markers.search:
            here, part = "header", "search, first line"
        elif line == markers.divider and part.startswith("search"):
            here, part = "divider", "replace"
        elif line == markers.replace:
            here, part = "terminator", "header"
        elif part == "search, first line":
            part = "search"
        parts += [here] * (len(line.encode()) + 1)
    return parts


def losses(work: Lesson, run: Run, tokenizer: Tokenizer) -> Counter[str]:
    """Where passes ended: the part of the block that held the token that had to be sampled."""
    parts = zones(work)
    found: Counter[str] = Counter()
    sizes = [len(tokenizer.token_bytes(token) or b"") for token in work.tokens]
    done = position = 0
    for each in run.passes:
        last = min(done + each.tokens, len(sizes)) - 1
        position += sum(sizes[done:last])
        found["end" if done + each.tokens > last + 1 else parts[position]] += 1
        position += sum(sizes[last : done + each.tokens]) if each.tokens else 0
        done += each.tokens
    return found


def count(lessons: Sequence[Lesson], room: Classroom) -> list[Run]:
    """Every edit once, with drafts."""
    return [room.run(work.prompt, work.tokens, constraint=work.spec) for work in lessons]


def race(lessons: Sequence[Lesson], drafted: Classroom, plain: Classroom, most: int) -> tuple[float, float, int]:
    """Seconds with and without drafts for a sample of the edits, in turn, and how many those were."""
    chosen = random.Random(0).sample(list(lessons), len(lessons))
    seconds = [0.0, 0.0]
    tokens = edits = 0
    rooms = (drafted, plain)
    for room in rooms:  # warm up
        room.run(chosen[0].prompt, chosen[0].tokens, constraint=chosen[0].spec)
    for number, work in enumerate(chosen):
        if tokens >= most:
            break
        if len(work.tokens) > most:
            continue
        for which in (0, 1) if number % 2 else (1, 0):
            seconds[which] += rooms[which].run(work.prompt, work.tokens, constraint=work.spec).decode_seconds
        tokens, edits = tokens + len(work.tokens), edits + 1
    return seconds[0], seconds[1], edits


def breaks(edit: TrueEdit) -> bool:
    """Whether the edit as a whole brings a syntax error that the file did not have: it is rightly refused."""
    before, after = edit.before.encode(), edit.after.encode()
    return not SyntaxGate(edit.path, before).holds([Change(0, len(before), after)])


def report(lessons: Sequence[Lesson], runs: Sequence[Run], tokenizer: Tokenizer, options: argparse.Namespace) -> None:
    """What was refused, and a table of where passes were spent."""
    console = Console()
    for work, run in zip(lessons, runs, strict=True):
        if run.refused is not None:
            text = tokenizer.decode(work.tokens[: run.refused])
            token = tokenizer.decode(work.tokens[run.refused : run.refused + 1])
            why = " (the edit itself breaks the file)" if breaks(work.edit) else ""
            console.print(f"refused in {work.edit.path}{why}: {token!r} after {text[-80:]!r}", markup=False)
    if options.format == "blocks":
        spent: Counter[str] = Counter()
        for work, run in zip(lessons, runs, strict=True):
            spent += losses(work, run, tokenizer) if run.refused is None else Counter()
        table = Table("a pass ended in", "passes per edit")
        for part, number in spent.most_common():
            table.add_row(part, f"{number / len(runs):.2f}")
        console.print(table)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="edits to replay (default: made up from the standard library)")
    parser.add_argument("--limit", type=int, help="replay only so many edits")
    parser.add_argument("--format", choices=sorted(FORMATS), default="blocks")
    parser.add_argument("--syntax", choices=["each", "final", "off"], default="each")
    parser.add_argument("--policy", type=Path, help="a policy that holds for every edit, to see what it costs")
    parser.add_argument("--context", type=int, default=CONTEXT_LINES, help="unchanged lines around a change")
    parser.add_argument("--draft-limit", type=int, default=32, help="most tokens in a draft")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="size of the vocabulary to train")
    parser.add_argument("--model", type=Path, help="the model to take times on (default: random weights)")
    parser.add_argument("--timed-shape", choices=sorted(TIMING), default="47m", help="of those weights: parameters")
    parser.add_argument("--quantize", choices=["int8", "int4"], help="of the model that times are taken on")
    parser.add_argument("--timed-tokens", type=int, default=TIMED_TOKENS, help="how much to take times on; 0: nothing")
    parser.add_argument("--threads", type=int)
    return parser.parse_args(arguments)


def main() -> int:
    """Replay, print, and exit with 1 if a token was refused of an edit that leaves its file sound."""
    options = options_of()
    if options.threads:
        torch.set_num_threads(options.threads)
    edits = read_edits(options.data) if options.data else made_edits(MADE_EDITS)
    edits = edits[: options.limit]
    speedup = None
    with tempfile.TemporaryDirectory() as folder:
        tiny = write_code_model(Path(folder) / "counting", COUNTING, options.vocabulary)
        room = classroom(tiny, options.draft_limit, eager=True)
        lessons = [lesson(edit, room.tokenizer, options) for edit in edits]
        runs = count(lessons, room)
        report(lessons, runs, room.tokenizer, options)
        if options.timed_tokens:
            directory = options.model or write_code_model(
                Path(folder) / "timing", TIMING[options.timed_shape], options.vocabulary
            )
            rooms = [classroom(directory, draft, quantize=options.quantize) for draft in (options.draft_limit, 0)]
            timed = [lesson(edit, rooms[0].tokenizer, options) for edit in edits]
            fast, slow, number = race(timed, rooms[0], rooms[1], options.timed_tokens)
            speedup = round(slow / fast, 2)
            print(f"decoding {number} edits: {fast:.1f} s with drafts, {slow:.1f} s without")
    whole = [run for run in runs if run.refused is None]
    broken = sum(breaks(work.edit) for work, run in zip(lessons, runs, strict=True) if run.refused is not None)
    passes = [len(run.passes) for run in whole]
    shares = sorted(
        each.constraint_seconds / max(1, each.tokens)
        for run in whole
        for each in run.passes
        for _ in range(each.tokens)
    )
    print(
        f"{len(runs)} edits, {statistics.mean(run.tokens for run in runs):.0f} tokens each; passes per edit: "
        f"median {statistics.median(passes):.0f}, mean {statistics.mean(passes):.1f}"
    )
    print(
        json.dumps(
            {
                "benchmark": "edit_replay",
                "format": options.format,
                "syntax": options.syntax,
                "draft_limit": options.draft_limit,
                "vocabulary": options.vocabulary,
                "tokens": sum(run.tokens for run in whole),
                "edits": len(runs),
                "refused_tokens": len(runs) - len(whole),
                "refused_breaking": broken,
                "tokens_per_pass": round(sum(run.tokens for run in whole) / sum(passes), 2),
                "passes_per_edit": round(sum(passes) / len(whole), 2),
                "speedup": speedup,
                "timed_on": None if speedup is None else options.model.name if options.model else options.timed_shape,
                "constraint_us_p50": round(1e6 * shares[len(shares) // 2], 1),
                "constraint_us_p99": round(1e6 * shares[len(shares) * 99 // 100], 1),
                "constraint_us_p999": round(1e6 * shares[len(shares) * 999 // 1000], 1),
            }
        )
    )
    return int(len(whole) + broken < len(runs))


if __name__ == "__main__":
    raise SystemExit(main())
