"""How many passes do true edits take with the constraint and the drafters alone, no model at all?

    python benchmarks/draft_passes.py [--data FILE.jsonl[.gz]] [--every N] [--first K] [--draft-limit 32] [--no-branches]

What edit_replay.py counts through the engine, minutes faster, to try drafters on: the same tokenizer, constraint, drafter and
tree, and the true text for a model. ``--every 2 --first 1`` takes the odd half. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from code_model import COUNTING, VOCABULARY, write_code_model
from edit_replay import Lesson, lesson, options_of
from true_edits import made_edits, read_edits

from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Draft
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.engine.native.draft import ConstraintDrafter
from dovetail.serve.engine.native.pace import Acceptance
from dovetail.serve.engine.native.sprout import Budget, Sprouting
from dovetail.serve.engine.native.usual import Usual, count_sources


def followed(draft: Draft, truth: list[int]) -> tuple[int, int]:
    """How many tokens of ``truth`` the draft and its branches hold, and how many of these the main draft does."""
    tokens, behind = list(draft.tokens), list(range(-1, len(draft.tokens) - 1))
    for branch in draft.branches:
        behind += [branch.behind, *range(len(tokens), len(tokens) + len(branch.tokens) - 1)]
        tokens += branch.tokens
    nodes = {pair: node for node, pair in enumerate(zip(behind, tokens, strict=True))}
    at, held, main = -1, 0, 0
    while held < len(truth) and (at, truth[held]) in nodes:
        at = nodes[at, truth[held]]
        held += 1
        main += at < len(draft.tokens)
    return held, main


def passes(work: Lesson, vocabulary: Vocabulary, usual: Usual | None, usually: Acceptance, limit: int) -> int | None:
    """Of one edit; None: a true token is refused."""
    drafter = ConstraintDrafter(compile_edit(work.spec, vocabulary), work.prompt, usual)
    acceptance = Acceptance(usually)
    count = at = 0
    while True:
        count += 1
        room = min(limit, len(work.tokens) - at)
        draft = drafter.propose(room) if room else Draft(())
        if usual is not None and room:
            chances = acceptance.chances(len(draft.tokens), draft.forced, draft.evidence)
            sprouting = Sprouting(draft, chances, drafter.followers, drafter.state)
            draft = sprouting.grown(Budget(room, draft.forced))
        held, main = followed(draft, work.tokens[at:])
        acceptance.observe(len(draft.tokens) - draft.forced, max(0, main - draft.forced), draft.evidence)
        if at + held >= len(work.tokens):
            return count
        new = work.tokens[at : at + held + 1]
        for token in new:
            if not drafter.state.allows(token):
                return None
            drafter.state = drafter.state.advance(token)
        drafter.observe(new)
        at += len(new)


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="edits to count (default: made up from the standard library)")
    parser.add_argument("--every", type=int, default=1, help="one of so many edits")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    parser.add_argument("--draft-limit", type=int, default=32, help="most tokens in a draft")
    parser.add_argument("--no-branches", action="store_true")
    options = parser.parse_args()
    edits = read_edits(options.data) if options.data else made_edits(100)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer.load(write_code_model(Path(folder) / "model", COUNTING, VOCABULARY))
    spellings = [tokenizer.token_bytes(token) for token in range(tokenizer.size)]
    vocabulary = Vocabulary(spellings, tokenizer.encode)
    usual = None if options.no_branches else count_sources(tokenizer.encode, spellings)
    usually = Acceptance(forget=0.99)
    began, counts, tokens = time.process_time(), [], 0
    for edit in edits[options.first :: options.every]:
        work = lesson(edit, tokenizer, options_of([]))
        count = passes(work, vocabulary, usual, usually, options.draft_limit)
        if count is not None:
            counts.append(count)
            tokens += len(work.tokens) + 1
    result = {
        "benchmark": "draft_passes",
        "edits": len(counts),
        "passes_per_edit": round(sum(counts) / len(counts), 2),
        "tokens_per_pass": round(tokens / sum(counts), 2),
        "ms_per_pass": round(1e3 * (time.process_time() - began) / sum(counts), 2),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
