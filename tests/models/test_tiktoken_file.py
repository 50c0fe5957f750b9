"""tiktoken files: the ids of merging by rank, exact bytes for any text and any bytes, special tokens by file."""

from __future__ import annotations

import base64
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.random_checkpoint import CORPUS
from dovetail.models.tokenizer import Tokenizer

SPLIT = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = st.text(max_size=40) | st.text(alphabet="def ads'tllr\n\t 123_().<|im_end|>ñ漢\U0001f600", max_size=60)


def merged(piece: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The definition: the adjacent pair of the lowest rank first, leftmost first."""
    if piece in ranks:
        return [piece]
    parts = [piece[at : at + 1] for at in range(len(piece))]
    while len(parts) > 1:
        rank, at = min((ranks.get(a + b, 1 << 30), at) for at, (a, b) in enumerate(pairwise(parts)))
        if rank == 1 << 30:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def trained(count: int) -> dict[bytes, int]:
    """Ranks of the bytes, and of ``count`` merges over the corpus."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    pieces = [[bytes([byte]) for byte in piece.encode()] for piece in SPLIT.findall(CORPUS + "漢字 ñandú 😀 " * 3)]
    for _ in range(count):
        pairs = Counter(pair for piece in pieces for pair in pairwise(piece) if pair[0] + pair[1] not in ranks)
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        ranks[best[0] + best[1]] = len(ranks)
        pieces = [merged(b"".join(piece), ranks) for piece in pieces]
    return ranks


RANKS = trained(120)


def write(directory: Path, name: str, ranks: dict[bytes, int]) -> Path:
    directory.mkdir(exist_ok=True)
    lines = [f"{base64.b64encode(token).decode()} {rank}" for token, rank in ranks.items()]
    (directory / name).write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(write(tmp_path_factory.mktemp("qwen"), "qwen.tiktoken", RANKS))


def well_formed(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


@given(text=TEXTS.filter(well_formed))
def test_ids_are_those_of_merging_by_rank(qwen: Tokenizer, text: str) -> None:
    if any(name in text for name in qwen.special):
        return
    wanted = [RANKS[part] for piece in SPLIT.findall(text) for part in merged(piece.encode(), RANKS)]
    assert qwen.encode(text) == wanted


@given(text=TEXTS.filter(well_formed))
def test_the_tokens_bytes_are_the_text(qwen: Tokenizer, text: str) -> None:
    ids = qwen.encode(text)
    assert b"".join(qwen.token_bytes(token) or b"" for token in ids) == text.encode()
    assert qwen.decode(ids) == text and not set(ids) & set(qwen.special.values())


@given(data=st.binary(max_size=40))
def test_any_bytes_are_spelled_and_told_character_by_character(qwen: Tokenizer, data: bytes) -> None:
    ids = [RANKS[part] for part in merged(data, RANKS)] if data else []
    assert b"".join(qwen.token_bytes(token) or b"" for token in ids) == data
    detokenizer = qwen.detokenizer()
    told = [detokenizer.push(token) for token in ids]
    for count in range(len(ids)):
        # What was told so far is the beginning of the whole, and lags behind by half a character at most; what begins like
        # half a surrogate pair is taken for one until the third byte, and is two replacement characters in the end.
        spelled = b"".join(qwen.token_bytes(token) or b"" for token in ids[: count + 1]).decode(errors="replace")
        assert spelled.startswith("".join(told[: count + 1])) and len(spelled) - len("".join(told[: count + 1])) <= 2
    assert "".join(told) + detokenizer.flush() == data.decode(errors="replace")


def test_special_tokens_of_qwen(qwen: Tokenizer) -> None:
    first = len(RANKS)
    assert (qwen.special["<|endoftext|>"], qwen.special["<|im_end|>"]) == (first, first + 2)
    assert qwen.special["<|extra_204|>"] == qwen.size - 1 == first + 207
    assert qwen.encode_rendered("<|im_start|>a")[0] == first + 1


def test_special_tokens_of_kimi(tmp_path: Path) -> None:
    directory = write(tmp_path / "kimi", "tiktoken.model", RANKS)
    first = len(RANKS)
    named = {str(first + 1): {"content": "<|im_end|>", "special": True}}
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": named, "eos_token": "<|im_end|>"})
    )
    kimi = Tokenizer.load(directory)
    assert kimi.eos_ids == {first + 1} and kimi.size == first + 256
    assert kimi.special[f"<|reserved_token_{first}|>"] == first
    text = "def add(a, b): 漢字's ÑandúX 12345\r\n\t x"
    ids = kimi.encode(text)
    assert kimi.decode(ids) == text
    assert kimi.encode("漢字") + kimi.encode("def") == kimi.encode("漢字def"), "Han characters are pieces of their own"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("other.tiktoken", "IQ== 0\n", "how this tokenizer splits text is not known"),
        ("qwen.tiktoken", "IQ== 0\nnot base64 1\n", "is no list of tokens and ranks"),
        ("qwen.tiktoken", "IQ== zero\n", "is no list of tokens and ranks"),
        ("qwen.tiktoken", "IQ== 0\nIg== 2\n", "ranks are missing"),
        ("qwen.tiktoken", "IQ== 0\nIg== 1\n", "lacks"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelDirectoryError, match=said):
        Tokenizer.load(tmp_path)
