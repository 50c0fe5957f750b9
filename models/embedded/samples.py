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

from dovetail.models.embedded import CHAT_TEMPLATE, EDIT_TEMPLATE, snippets
from dovetail.models.embedded.sources import SourceFile
from dovetail.models.embedded.tasks import Document, DocumentMaker
from dovetail.models.embedded.tokenizer import EDIT, END, FILE_SEP, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, TASK, ids_of

IGNORE: Final = -100
PREFIX_WEIGHT: Final = 0.1  # loss on the files of an edit prompt
TEXT_WEIGHT: Final = 0.3  # loss on plain code
FILL_WEIGHT: Final = 0.6  # loss on the middle of a fill-in-the-middle sample
SHARES: Final = (("edit", 0.76), ("complete", 0.10), ("fill", 0.09), ("chat", 0.05))


@dataclass(frozen=True)
class Branch:
    """Prompt ids that carry no loss, then answer ids that do."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Sample:
    """A shared prefix and the branches that continue it."""

    prefix: tuple[int, ...]
    branches: tuple[Branch, ...]
    prefix_weight: float

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
        self.sources = sources
        self.documents = DocumentMaker(sources)
        self.rng = random.Random(seed)
        self.end = ids_of(tokenizer, END)[0]
        self.fill_ids = ids_of(tokenizer, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)
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

    def _text(self, characters: int) -> tuple[str, str]:
        """A stretch of a real file from a line start, and the file's path."""
        source = self.rng.choice(self.sources)
        start = self.rng.randrange(max(1, len(source.text) - characters // 2))
        start = source.text.rfind("\n", 0, start) + 1
        return source.text[start : start + characters], source.path

    def _complete(self, length: int) -> Sample | None:
        text, path = self._text(self.rng.randint(200, length * 3))
        head = f"{FILE_SEP}{path}\n" if self.rng.random() < 0.3 else ""
        ids = self.encode(head + text)[: length - 1]
        return Sample(ids, (), TEXT_WEIGHT)

    def fill_parts(self, text: str, one_line: bool) -> tuple[str, str, str] | None:
        """Prefix, middle and suffix of a text."""
        lines = text.splitlines(keepends=True)
        if len(lines) < 4:
            return None
        first = self.rng.randrange(1, len(lines) - 1)
        line = lines[first]
        if not line.strip():
            return None
        before, after = "".join(lines[:first]), "".join(lines[first + 1 :])
        if one_line or self.rng.random() < 0.6:
            indent = len(line) - len(line.lstrip())
            cut = indent if self.rng.random() < 0.5 else self.rng.randint(indent, max(indent, len(line) - 2))
            return before + line[:cut], line[cut:].rstrip("\n"), "\n" + after
        last = min(len(lines), first + self.rng.randint(1, 4))
        return before, "".join(lines[first:last]), "".join(lines[last:])

    def fill_sample(self, parts: tuple[str, str, str]) -> Sample:
        before, middle, after = parts
        prefix, suffix, fill = self.fill_ids
        ids = (prefix, *self.encode(before), suffix, *self.encode(after), fill)
        return Sample(ids, (Branch((), (*self.encode(middle), self.end), FILL_WEIGHT),), 0.0)

    def _fill(self, length: int) -> Sample | None:
        text, _ = self._text(self.rng.randint(200, min(1200, length * 2)))
        parts = self.fill_parts(text, one_line=False)
        return self.fill_sample(parts) if parts else None

    def chat_turn(self) -> tuple[str, str] | None:
        """A question and its answer."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.12:
            return rng.choice(
                ("hi", "hello", "Hello!", "hey", "Good morning", "Hi there")
            ), "Hello! Show me a file and tell me what to change."
        if roll < 0.22:
            question = rng.choice(
                ("what can you do?", "What can you do", "who are you?", "help", "How can you help me?", "What are you?")
            )
            return (
                question,
                "I am a very small code model. I make small edits in Python files, complete code and write short functions.",
            )
        if roll < 0.26:
            return rng.choice(("thanks", "thank you", "Thanks!", "ok", "great")), "You are welcome."
        if roll < 0.7:
            text = snippets.make_function(rng)
            signature = text[4 : text.index(":\n")] if text.startswith("def ") else None
            body = text.splitlines()[1].strip()
            if signature is None or not body.startswith("return ") or text.count("\n") != 2:
                return None
            ask = rng.choice(
                (
                    "Write a function {s} that returns {b}",
                    "write a Python function {s} that returns {b}",
                    "Define {s} returning {b}",
                )
            )
            return ask.format(s=signature, b=body[7:]), f"```python\n{text}```"
        source = self.documents.file(rng, 500)
        ask = rng.choice(("Repeat this code:", "Show this code again:", "Print this file unchanged:"))
        return f"{ask}\n```python\n{source}```", f"```python\n{source}```"

    def _chat(self, length: int) -> Sample | None:
        turn = self.chat_turn()
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
        self._run(sample.prefix, 0, 0, [sample.prefix_weight] * len(sample.prefix))
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
