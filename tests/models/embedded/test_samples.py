"""Packing: a branch in a packed row is exactly the prompt that would be served, alone."""

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from dovetail.models import tokenizer as models_tokenizer
from dovetail.models.embedded import chats, gaps, samples, snippets, tokenizer
from dovetail.models.embedded.network import Network
from dovetail.models.embedded.shape import Shape
from dovetail.models.embedded.sources import Shelf
from dovetail.models.embedded.tasks import DocumentMaker
from dovetail.models.fim import FillInMiddle


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    rng = random.Random(1)
    return tokenizer.train((snippets.make_file(rng) for _ in range(200)), vocabulary=600)


def test_template_equals_training_prompt() -> None:
    template = samples.templates()[0]
    files = [("a.py", "x = 1\n"), ("b/c.py", "y = 2")]
    shown = template.render(files=[{"path": p, "content": t} for p, t in files], instruction="Do it")
    assert shown == samples.edit_prompt(files, "Do it")
    assert shown == "<|file_sep|>a.py\nx = 1\n<|file_sep|>b/c.py\ny = 2\n<|task|>Do it\n<|edit|>"


def test_prefix_and_branch_ids_are_the_whole_prompts_ids(words: Tokenizer) -> None:
    maker = samples.SampleMaker(words, (), 0)
    documents, rng = DocumentMaker(Shelf(()), 1.0), random.Random(2)
    for _ in range(30):
        document = documents.document(rng, 700, 3)
        if document is None:
            continue
        sample = maker.edit_sample(document)
        for made, branch in zip(document.branches, sample.branches, strict=True):
            whole = samples.edit_prompt(document.files, made.instruction) + made.answer + tokenizer.END
            assert tuple(words.encode(whole).ids) == sample.prefix + branch.prompt + branch.answer


def test_packed_branches_get_the_logits_they_get_alone(words: Tokenizer) -> None:
    torch.manual_seed(0)
    network = Network(Shape(vocabulary=600, width=32, layers=2, heads=2, kv_heads=1, head=16, hidden=48))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    one = samples.Sample((11, 12, 13), (samples.Branch((14,), (15, 16)), samples.Branch((17, 18), (19,))), 0.1)
    two = samples.Sample((21, 22), (samples.Branch((23,), (24, 25, 26)),), 0.1)
    row = samples.Row(24)
    row.add(one)
    row.add(two)
    batch = samples.collate([row], 24)
    with torch.no_grad():
        packed = network(batch.ids, batch.positions, batch.allowed)[0]
        spans = iter(row.spans)
        for sample in (one, two):
            for branch in sample.branches:
                start, length = next(spans)
                ids = torch.tensor([sample.prefix + branch.prompt + branch.answer])
                size = ids.shape[1]
                rule = torch.ones(size, size, dtype=torch.bool).tril()[None, None]
                alone = network(ids, torch.arange(size)[None], rule)[0]
                assert torch.allclose(packed[start : start + length], alone[-length - 1 : -1], atol=1e-5)
                assert tuple(batch.targets[0, start : start + length].tolist()) == branch.answer


def test_rows_never_overflow_and_answers_weigh_most(words: Tokenizer) -> None:
    maker = samples.SampleMaker(words, (), 4)
    sample = maker._edit(700)
    assert sample is not None
    assert len(sample) <= 700
    row = samples.Row(800)
    row.add(sample)
    assert sum(weight == 1.0 for weight in row.weights) == sum(len(b.answer) for b in sample.branches)


def test_a_gap_is_asked_for_as_the_server_asks(words: Tokenizer, tmp_path: Path) -> None:
    words.save(str(tmp_path / "tokenizer.json"))
    served = FillInMiddle.find(models_tokenizer.Tokenizer.load(tmp_path))
    assert served is not None
    maker = samples.SampleMaker(words, (), 3)
    text = snippets.make_file(random.Random(8)) * 3
    kinds = set()
    for _ in range(200):
        parts = gaps.fill_parts(text, maker.rng, one_line=False)
        if parts is None:
            continue
        before, middle, after = parts
        assert before + middle + after == text
        assert middle
        kinds.add((before.endswith("\n"), "\n" in middle, after.startswith("\n")))
        sample = maker.fill_sample(parts)
        assert served.prompt(before, after) == (list(sample.prefix), False)
        assert words.decode(sample.branches[0].answer) == middle
    assert len(kinds) >= 4


def test_chat_turns_greet_and_refuse() -> None:
    rng = random.Random(6)
    answers = {turn[1] for _ in range(300) if (turn := chats.chat_turn(rng, lambda: "x = 1\n"))}
    assert chats.REFUSAL in answers
    assert any(answer.startswith("Hello") for answer in answers)
