"""Sampling on the device against the readable version: masks, filters, ties, penalties, and rows that know nothing of each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dovetail.kernels.sampling import reference
from dovetail.kernels.sampling.rows import Adjustments, SampleRows

pytestmark = pytest.mark.triton
SIZES = [300]


def make_rows(
    count: int, size: int, *, masked: bool, seed: int = 0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> SampleRows:
    """Random temperatures (every third row greedy) and uniforms; every other row masked to half of the vocabulary."""
    generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
    temperatures = torch.rand(count, generator=generator) + 0.2
    temperatures[::3] = 0
    words = torch.randint(-(2**31), 2**31 - 1, (count, (size + 31) // 32), generator=generator).to(torch.int32)
    mask_of = torch.where(torch.arange(count) % 2 == 1, torch.arange(count), -1) if masked else torch.full((count,), -1)
    return SampleRows(
        temperatures,
        torch.full((count,), top_k, dtype=torch.int32),
        torch.full((count,), top_p),
        torch.full((count,), min_p),
        torch.rand(count, generator=generator),
        words,
        mask_of.to(torch.int32),
    )


def make_logits(count: int, size: int, *, ties: bool = False, seed: int = 0) -> Tensor:
    """Rows with NaN behind them, as a vocabulary that is padded has."""
    around = torch.full((count, size + 7), float("nan"))
    logits = around[:, :size]
    logits.copy_(torch.randn(count, size, generator=torch.Generator(torch.get_default_device()).manual_seed(seed)) * 3)
    if ties:
        logits.copy_(logits.round())
    return logits


def agree(logits: Tensor, raw: Tensor, rows: SampleRows) -> None:
    from dovetail.kernels.sampling import triton

    found, wanted = triton.draw(logits, raw, rows), reference.draw(logits, raw, rows)
    assert found.counts.tolist() == wanted.counts.tolist()
    torch.testing.assert_close(found.masses, wanted.masses, atol=1e-4, rtol=1e-4)
    drawn = found.counts > 0
    assert found.tokens[drawn].tolist() == wanted.tokens[drawn].tolist()


FILTERS: list[dict[str, float]] = [
    {},
    {"top_k": 1},
    {"top_k": 7},
    {"top_p": 0.5},
    {"top_p": 0.0},
    {"min_p": 0.2},
    {"top_k": 20, "top_p": 0.9, "min_p": 0.01},
]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_agrees_with_the_reference(filters: dict[str, float], masked: bool, ties: bool) -> None:
    for size in SIZES:
        logits = make_logits(3, size, ties=ties)
        agree(logits, logits, make_rows(3, size, masked=masked, seed=size, **filters))  # type: ignore[arg-type]


def test_the_mass_is_of_the_raw_logits() -> None:
    raw = make_logits(5, 300)
    agree(raw + torch.randn(5, 300), raw, make_rows(5, 300, masked=True))


def test_a_mask_that_leaves_hardly_anything() -> None:
    """Far less than float32 can tell from nothing beside the likeliest token."""
    logits = torch.full((1, 64), -200.0)
    logits[0, 3] = 0.0
    words = torch.tensor([[1 << 5, 0]], dtype=torch.int32)
    rows = make_rows(1, 64, masked=False)
    rows = SampleRows(
        rows.temperatures,
        rows.top_ks,
        rows.top_ps,
        rows.min_ps,
        rows.uniforms,
        words,
        torch.zeros(1, dtype=torch.int32),
    )
    agree(logits, logits, rows)


def test_a_mask_that_leaves_nothing_and_forbidden_tokens() -> None:
    logits = make_logits(2, 40)
    logits[:, 3:] = float("-inf")
    words = torch.zeros(1, 2, dtype=torch.int32)
    rows = make_rows(2, 40, masked=False)
    rows = SampleRows(
        torch.ones(2),
        rows.top_ks,
        rows.top_ps,
        rows.min_ps,
        rows.uniforms,
        words,
        torch.tensor([0, -1], dtype=torch.int32),
    )
    from dovetail.kernels.sampling import triton

    found = triton.draw(logits, logits, rows)
    assert found.counts.tolist() == [0, 40] and int(found.tokens[1]) < 3


def test_rows_do_not_depend_on_each_other() -> None:
    from dovetail.kernels.sampling import triton

    logits, rows = make_logits(6, 60), make_rows(6, 60, masked=True, top_p=0.8)
    whole = triton.draw(logits, logits, rows)
    for row in range(6):
        here = slice(row, row + 1)
        alone = SampleRows(*(part[here] for part in (rows.temperatures, rows.top_ks, rows.top_ps, rows.min_ps)),
                           rows.uniforms[here], rows.words, rows.mask_of[here])  # fmt: skip
        found = triton.draw(logits[here], logits[here], alone)
        assert torch.equal(found.tokens, whole.tokens[here]) and torch.equal(found.masses, whole.masses[here])


def test_all_uniforms_together_follow_the_distribution() -> None:
    from dovetail.kernels.sampling import triton

    count = 60
    logits = make_logits(1, 9).expand(count, 9).contiguous()
    nothing = torch.zeros(count)
    rows = SampleRows(
        torch.ones(count), nothing.int(), torch.ones(count), nothing, (torch.arange(count) + 0.5) / count,
        torch.zeros(1, 1, dtype=torch.int32), torch.full((count,), -1, dtype=torch.int32),
    )  # fmt: skip
    shares = torch.bincount(triton.draw(logits, logits, rows).tokens, minlength=9) / count
    torch.testing.assert_close(shares, logits[0].softmax(-1), atol=1.01 / count, rtol=0)


def test_penalties() -> None:
    from dovetail.kernels.sampling import triton

    logits = make_logits(3, 600)
    other = logits.clone()
    tokens = torch.cat((torch.randperm(600)[:300], torch.tensor([4, 2])))
    changes = Adjustments(
        torch.tensor([0, 300, 300, 302], dtype=torch.int32),
        tokens.to(torch.int32),
        torch.rand(302) + 0.5,
        torch.randn(302),
    )
    triton.adjust(logits, changes)
    reference.adjust(other, changes)
    torch.testing.assert_close(logits, other)
