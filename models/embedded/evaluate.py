"""What the model can do on packages it never saw.

Greedy exact match is measured without generating: an answer is produced exactly, end token
included, if and only if every one of its tokens is the most likely one after the true ones. One
packed forward pass gives that for many answers. Unconstrained: the server's grammar is not used.
"""

import ast
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer

from dovetail.models.embedded.gaps import Parts, fill_parts, stretch
from dovetail.models.embedded.network import Network, token_losses
from dovetail.models.embedded.samples import IGNORE, Batch, Row, Sample, SampleMaker, collate
from dovetail.models.embedded.sources import Shelf, SourceFile
from dovetail.models.embedded.tasks import Document, DocumentMaker

Forward = Callable[[Batch], torch.Tensor]
LENGTH: Final = 1024
HELD_OUT_SEED: Final = 20_240


@dataclass(frozen=True)
class Set:
    """Labelled samples, each with one label per branch."""

    samples: tuple[Sample, ...]
    labels: tuple[tuple[str, ...], ...]


def network_forward(network: Network, device: str = "cpu") -> Forward:
    """Run the training network in bf16."""

    def forward(given: Batch) -> torch.Tensor:
        batch = given.to(device)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            logits: torch.Tensor = network(batch.ids, batch.positions, batch.allowed)
            return logits.float().cpu()

    return forward


def edit_set(tokenizer: Tokenizer, sources: tuple[SourceFile, ...], documents: int, made_up: float, limit: int) -> Set:
    """Instructed edits on held-out files, or on made-up ones with an unseen seed."""
    maker = SampleMaker(tokenizer, sources, HELD_OUT_SEED)
    maker.documents = DocumentMaker(Shelf(sources), made_up)
    rng = random.Random(HELD_OUT_SEED)
    samples: list[Sample] = []
    labels: list[tuple[str, ...]] = []
    while len(samples) < documents:
        document = maker.documents.document(rng, limit, 4)
        if document is None:
            continue
        sample = maker.edit_sample(document)
        if len(sample) <= LENGTH:
            samples.append(sample)
            labels.append(tuple(b.kind for b in document.branches))
    return Set(tuple(samples), tuple(labels))


def documents(sources: tuple[SourceFile, ...], seed: int, limit: int) -> Iterator[Document]:
    """Endless documents on held-out files."""
    maker, rng = DocumentMaker(Shelf(sources), made_up=0.0), random.Random(seed)
    while True:
        document = maker.document(rng, limit, 2)
        if document is not None:
            yield document


def parses(text: str) -> bool:
    """Whether a text is Python."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def gaps(sources: tuple[SourceFile, ...], count: int) -> Iterator[Parts]:
    """Gaps of one line in held-out files: half whole lines, half the rest of a line from anywhere."""
    rng, shelf = random.Random(HELD_OUT_SEED), Shelf(sources)
    found = 0
    while found < count:
        parts = fill_parts(stretch(shelf, rng, 900)[0], rng, one_line=True)
        if parts is not None:
            found += 1
            yield parts


def fill_set(tokenizer: Tokenizer, sources: tuple[SourceFile, ...], count: int) -> Set:
    """The gaps as samples."""
    maker = SampleMaker(tokenizer, sources, HELD_OUT_SEED)
    samples: list[Sample] = []
    labels: list[tuple[str, ...]] = []
    for parts in gaps(sources, count):
        sample = maker.fill_sample(parts)
        if len(sample) <= LENGTH:
            samples.append(sample)
            labels.append(("rest of a line" if parts[0].rpartition("\n")[2].strip() else "whole line",))
    return Set(tuple(samples), tuple(labels))


def exact_matches(forward: Forward, chosen: Set) -> dict[str, list[bool]]:
    """Per label, which answers greedy decoding produces exactly."""
    results: dict[str, list[bool]] = defaultdict(list)
    rows: list[tuple[Row, list[str]]] = []
    for sample, labels in zip(chosen.samples, chosen.labels, strict=True):
        if not rows or rows[-1][0].space() < len(sample):
            rows.append((Row(LENGTH), []))
        rows[-1][0].add(sample)
        rows[-1][1].extend(labels)
    for start in range(0, len(rows), 8):
        part = rows[start : start + 8]
        batch = collate([row for row, _ in part], LENGTH)
        right = forward(batch).argmax(-1) == batch.targets
        for number, (row, kinds) in enumerate(part):
            for (place, length), label in zip(row.spans, kinds, strict=True):
                results[label].append(bool(right[number, place : place + length].all()))
    return results


def perplexity(
    forward: Forward, tokenizer: Tokenizer, sources: Sequence[SourceFile], characters: int = 150_000
) -> dict[str, float]:
    """Loss on held-out code, in windows of one row's length."""
    text = "".join(s.text for s in sources)[:characters]
    ids = tokenizer.encode(text).ids
    rows = []
    for start in range(0, len(ids) - LENGTH, LENGTH):
        row = Row(LENGTH)
        row.add(Sample(tuple(ids[start : start + LENGTH]), (), 1.0))
        rows.append(row)
    total = count = 0.0
    for start in range(0, len(rows), 8):
        batch = collate(rows[start : start + 8], LENGTH)
        losses = token_losses(forward(batch), batch.targets)
        total += losses.sum().item()
        count += int((batch.targets != IGNORE).sum())
    loss = total / count
    per_byte = len(text.encode()) / len(ids)
    return {
        "loss_per_token": loss,
        "perplexity": float(torch.tensor(loss).exp()),
        "bits_per_byte": loss / 0.6931 / per_byte,
    }


def mean(results: dict[str, list[bool]]) -> float:
    """Share of exact answers over all labels."""
    every = [x for values in results.values() for x in values]
    return sum(every) / len(every)
