"""Token samples of every share of the mix, and their packing into rows.

A sample is one prefix and several branches that continue it independently: a file and several
tasks on it. In a row, a branch sees its own prefix and itself and nothing else, at the positions
it would have alone, so a packed row trains exactly the prompts that are served while the file is
paid for once. Knows nothing of the network.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import jinja2
import torch
from tokenizers import Tokenizer

from dovetail.models.embedded import CHAT_TEMPLATE, EDIT_TEMPLATE
from dovetail.models.embedded.chats import chat_turn
from dovetail.models.embedded.gaps import Parts, fill_parts, stretch
from dovetail.models.embedded.sources import Shelf, SourceFile
from dovetail.models.embedded.tasks import Document, DocumentMaker
from dovetail.models.embedded.tokenizer import EDIT, END, FILE_SEP, FIM_PREFIX, FIM_SUFFIX, TASK, ids_of

IGNORE: Final = -100
PREFIX_WEIGHT: Final = 0.15  # loss on the files of an edit prompt
AFTER_WEIGHT: Final = 0.2  # loss on what stands behind a gap; none on what stands before it: see the README
TEXT_WEIGHT: Final = 0.3  # loss on plain code
FILL_WEIGHT: Final = 2.0  # loss on the middle of a fill-in-the-middle sample
MADE_UP: Final = 0.45  # share of made-up files among those of edits
SHARES: Final = (("edit", 0.56), ("complete", 0.06), ("fill", 0.34), ("chat", 0.04))


@dataclass(frozen=True)
class Branch:
    """Prompt ids that carry no loss, then answer ids that do."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Sample:
    """A shared prefix and the branches that continue it. ``weighed``: how many tokens of the prefix have its weight; None: all."""

    prefix: tuple[int, ...]
    branches: tuple[Branch, ...]
    prefix_weight: float
    weighed: int | None = None

    def __len__(self) -> int:
        return len(self.prefix) + sum(len(b.prompt) + len(b.answer) for b in self.branches)


@dataclass(frozen=True)
class Batch:
    """Rows of one length: ids, positions, targets, weights are (rows, length); allowed is (rows, 1, length, length)."""

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    allowed: torch.Tensor

    def to(self, device: str) -> "Batch":
        """The same on another device."""
        parts = (self.ids, self.positions, self.targets, self.weights, self.allowed)
        return Batch(*(part.to(device) for part in parts))


def templates() -> tuple[jinja2.Template, jinja2.Template]:
    """The edit and chat templates, compiled as a server compiles them."""
    environment = jinja2.Environment(keep_trailing_newline=True)
    return environment.from_string(EDIT_TEMPLATE.read_text()), environment.from_string(CHAT_TEMPLATE.read_text())


def edit_prompt(files: Sequence[tuple[str, str]], instruction: str) -> str:
    """The prompt of an edit request; equals what edit_template.jinja renders."""
    shown = "".join(f"{FILE_SEP}{path}\n{text if text.endswith(chr(10)) else text + chr(10)}" for path, text in files)
    return f"{shown}{TASK}{instruction}\n{EDIT}"


class SampleMaker:
    """Draws samples of all shares. Deterministic for a given seed."""

    def __init__(self, tokenizer: Tokenizer, sources: tuple[SourceFile, ...], seed: int) -> None:
        self.tokenizer = tokenizer
        self.shelf = Shelf(sources, by_package=True)
        self.documents = DocumentMaker(self.shelf, MADE_UP)
        self.rng = random.Random(seed)
        self.end = ids_of(tokenizer, END)[0]
        self.fill_ids = ids_of(tokenizer, FIM_PREFIX, FIM_SUFFIX)
        self.chat_template = templates()[1]

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text).ids)

    def edit_sample(self, document: Document) -> Sample:
        """A document as ids. Prefix and branch meet at a special token, so they are encoded apart."""
        whole = edit_prompt(document.files, "")
        prefix = self.encode(whole[: whole.rindex(TASK)])
        branches = tuple(
            Branch(self.encode(f"{TASK}{b.instruction}\n{EDIT}"), (*self.encode(b.answer), self.end))
            for b in document.branches
        )
        return Sample(prefix, branches, PREFIX_WEIGHT)

    def _edit(self, length: int) -> Sample | None:
        document = self.documents.document(
            self.rng, int(length * self.rng.uniform(0.7, 2.1)), self.rng.choice((4, 5, 6, 7))
        )
        if document is None:
            return None
        sample = self.edit_sample(document)
        kept = list(sample.branches)
        while kept and len(Sample(sample.prefix, tuple(kept), 0.0)) > length:
            kept.pop()
        return Sample(sample.prefix, tuple(kept), PREFIX_WEIGHT) if kept else None

    def _complete(self, length: int) -> Sample | None:
        text, path = stretch(self.shelf, self.rng, self.rng.randint(200, length * 3))
        head = f"{FILE_SEP}{path}\n" if self.rng.random() < 0.3 else ""
        ids = self.encode(head + text)[: length - 1]
        return Sample(ids, (), TEXT_WEIGHT)

    def fill_sample(self, parts: Parts, path: str | None = None) -> Sample:
        """As models/fim.py asks for it; with a path, as where other files are shown."""
        before, middle, after = parts
        prefix, suffix = self.fill_ids
        head = self.encode(f"{FILE_SEP}{path}\n") if path else ()
        behind = (*head, suffix, *self.encode(after), prefix)
        branch = Branch((), (*self.encode(middle), self.end), FILL_WEIGHT)
        return Sample((*behind, *self.encode(before)), (branch,), AFTER_WEIGHT, weighed=len(behind))

    def _fill(self, length: int) -> Sample | None:
        limit = min(1400, length * 2)
        text, path = stretch(self.shelf, self.rng, self.rng.randint(120, self.rng.choice((400, 800, limit))))
        parts = fill_parts(text, self.rng, one_line=False)
        return self.fill_sample(parts, path if self.rng.random() < 0.1 else None) if parts else None

    def _chat(self, length: int) -> Sample | None:
        turn = chat_turn(self.rng, lambda: self.documents.file(self.rng, 500))
        if turn is None:
            return None
        prompt = self.chat_template.render(messages=[{"role": "user", "content": turn[0]}], add_generation_prompt=True)
        answer = self.encode(f"{turn[1]}<|im_end|>")
        return Sample(self.encode(prompt), (Branch((), answer, 0.5),), 0.0)

    def draw(self, length: int) -> Sample:
        """One sample of at most `length` tokens."""
        makers = {"edit": self._edit, "complete": self._complete, "fill": self._fill, "chat": self._chat}
        while True:
            name = self.rng.choices([n for n, _ in SHARES], [w for _, w in SHARES])[0]
            for _ in range(4):
                sample = makers[name](length)
                if sample is not None and 2 <= len(sample) <= length:
                    return sample


class Row:
    """One row being filled."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.targets: list[int] = []
        self.weights: list[float] = []
        self.documents: list[int] = []
        self.branches: list[int] = []
        self.spans: list[tuple[int, int]] = []  # per branch: where its answer is predicted from, and how long it is
        self.count = 0

    def add(self, sample: Sample) -> None:
        self.count += 1
        size = len(sample.prefix)
        weighed = size if sample.weighed is None else sample.weighed
        self._run(sample.prefix, 0, 0, [sample.prefix_weight] * weighed + [0.0] * (size - weighed))
        for number, branch in enumerate(sample.branches, 1):
            weights = [0.0] * len(branch.prompt) + [branch.weight] * len(branch.answer)
            if not branch.prompt:  # the last token of the prefix predicts the first of the answer
                self.targets[-1], self.weights[-1] = branch.answer[0], branch.weight
            self.spans.append((len(self.ids) + len(branch.prompt) - 1, len(branch.answer)))
            self._run(branch.prompt + branch.answer, len(sample.prefix), number, weights)

    def _run(self, ids: Sequence[int], position: int, branch: int, weights: list[float]) -> None:
        """Append a run of tokens; each but the last predicts the next one of the run."""
        self.ids += ids
        self.positions += range(position, position + len(ids))
        self.targets += [*ids[1:], IGNORE]
        self.weights += [*weights[1:], 0.0]
        self.documents += [self.count] * len(ids)
        self.branches += [branch] * len(ids)

    def space(self) -> int:
        return self.length - len(self.ids)


def collate(rows: Sequence[Row], length: int) -> Batch:
    """Pad rows to one length and build the attention rule."""

    def pad(name: str, value: float, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor([[*getattr(r, name), *[value] * r.space()] for r in rows], dtype=dtype)

    documents, branches = pad("documents", 0, torch.long), pad("branches", 0, torch.long)
    same = documents[:, :, None] == documents[:, None, :]
    seen = (branches[:, None, :] == 0) | (branches[:, :, None] == branches[:, None, :])
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return Batch(
        pad("ids", 0, torch.long),
        pad("positions", 0, torch.long),
        pad("targets", IGNORE, torch.long),
        pad("weights", 0.0, torch.float32),
        (same & seen & causal)[:, None],
    )


def batches(maker: SampleMaker, shapes: Sequence[tuple[int, int]], period: int) -> Iterator[Batch]:
    """Endless batches; of every `period` the last has the second shape (rows, length), the others the first."""
    waiting: dict[int, list[Sample]] = {length: [] for _, length in shapes}
    step = 0
    while True:
        step += 1
        count, length = shapes[1] if step % period == 0 else shapes[0]
        pool = waiting[length]
        rows = []
        for _ in range(count):
            row = Row(length)
            while True:
                while len(pool) < 12:
                    pool.append(maker.draw(length))
                fitting = next((i for i, s in enumerate(pool) if len(s) <= row.space()), None)
                if fitting is None:
                    break
                row.add(pool.pop(fitting))
            rows.append(row)
        yield collate(rows, length)
