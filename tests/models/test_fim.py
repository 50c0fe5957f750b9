"""Fill-in-the-middle prompts: the layout of every family, found by its tokens, exact, and within a limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as TokenizersTokenizer

from dovetail.models.embedded import WEIGHTS
from dovetail.models.fim import FillInMiddle
from dovetail.models.tokenizer import Tokenizer

OTHERS = [("a.py", "x = 1"), ("lib/b.py", "def f():\n\n    pass\n")]
PIPED = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
PLAIN = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]
COMMENTED = "# Path: a.py\n# x = 1\n\n# Path: lib/b.py\n# def f():\n#\n#     pass\n\n"

# Family, the tokens of its vocabulary, the layout of one file, and that with others beside it (open file: c.py).
TABLE = [
    (
        "qwen",
        [*PIPED, "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"],
        "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
        "<|repo_name|>project\n<|file_sep|>a.py\nx = 1\n<|file_sep|>lib/b.py\ndef f():\n\n    pass\n"
        "<|file_sep|>c.py\n<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    ),
    (
        "qwen",  # no token for repositories
        [*PIPED, "<|file_sep|>"],
        "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
        "<|file_sep|>a.py\nx = 1\n<|file_sep|>lib/b.py\ndef f():\n\n    pass\n"
        "<|file_sep|>c.py\n<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    ),
    (
        "dovetail",  # the embedded model's
        [*PIPED, "<|file_sep|>", "<|task|>", "<|edit|>"],
        "<|fim_suffix|>S<|fim_prefix|>P",
        "<|file_sep|>a.py\nx = 1\n<|file_sep|>lib/b.py\ndef f():\n\n    pass\n"
        "<|file_sep|>c.py\n<|fim_suffix|>S<|fim_prefix|>P",
    ),
    (
        "qwen",  # no token for files
        PIPED,
        "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
        f"<|fim_prefix|>{COMMENTED}P<|fim_suffix|>S<|fim_middle|>",
    ),
    (
        "granite",
        [*PIPED, "<|filename|>", "<|reponame|>"],
        "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
        "<|reponame|>project\n<|filename|>a.py\nx = 1\n<|filename|>lib/b.py\ndef f():\n\n    pass\n"
        "<|fim_prefix|><|filename|>c.py\nP<|fim_suffix|>S<|fim_middle|>",
    ),
    (
        "starcoder2",
        [*PLAIN, "<file_sep>", "<repo_name>"],
        "<fim_prefix>P<fim_suffix>S<fim_middle>",
        "<repo_name>project<file_sep>a.py\nx = 1\n<file_sep>lib/b.py\ndef f():\n\n    pass\n"
        "<file_sep><fim_prefix>c.py\nP<fim_suffix>S<fim_middle>",
    ),
    (
        "granite-code",
        [*PLAIN, "<filename>", "<reponame>", "<gh_stars>"],
        "<fim_prefix>P<fim_suffix>S<fim_middle>",
        "<reponame>project<filename>a.py\nx = 1\n<filename>lib/b.py\ndef f():\n\n    pass\n"
        "<fim_prefix><filename>c.py\nP<fim_suffix>S<fim_middle>",
    ),
    (
        "codellama",
        ["▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>"],
        "▁<PRE>P▁<SUF>S▁<MID>",
        f"▁<PRE>{COMMENTED}P▁<SUF>S▁<MID>",
    ),
    (
        "deepseek-coder",
        ["<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<|EOT|>"],
        "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>",
        "<｜fim▁begin｜>#a.py\nx = 1\n#lib/b.py\ndef f():\n\n    pass\nP<｜fim▁hole｜>S<｜fim▁end｜>",
    ),
    (
        "codestral",
        ["[PREFIX]", "[MIDDLE]", "[SUFFIX]"],
        "[SUFFIX]S[PREFIX]P",
        f"[SUFFIX]S[PREFIX]{COMMENTED}P",
    ),
    (
        "seed-coder",
        ["<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"],
        "<[fim-suffix]>S<[fim-prefix]>P<[fim-middle]>",
        f"<[fim-suffix]>S<[fim-prefix]>{COMMENTED}P<[fim-middle]>",
    ),
]
NAMES = [f"{row[0]} {len(row[1])}" for row in TABLE]


def byte_tokenizer(directory: Path, special: list[str]) -> Tokenizer:
    """Every byte a token, and ``special`` behind them."""
    return saved(plain_bytes(), directory, special)


def plain_bytes() -> TokenizersTokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    built = TokenizersTokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    return built


def metaspace_tokenizer(directory: Path, special: list[str]) -> Tokenizer:
    """As Code Llama's: a space is put before every text that is encoded."""
    pieces = ["▁", *(f"<0x{byte:02X}>" for byte in range(256)), *"PSabc"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    built = TokenizersTokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    built.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    built.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return saved(built, directory, special)


def saved(built: TokenizersTokenizer, directory: Path, special: list[str]) -> Tokenizer:
    built.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    built.save(str(directory / "tokenizer.json"))
    return Tokenizer.load(directory)


def spelled(tokenizer: Tokenizer, ids: list[int]) -> str:
    names = {number: token.encode() for token, number in tokenizer.special.items()}
    return b"".join(names.get(number) or tokenizer.token_bytes(number) or b"" for number in ids).decode()


def found(tokenizer: Tokenizer) -> FillInMiddle:
    fim = FillInMiddle.find(tokenizer)
    assert fim is not None
    return fim


@pytest.mark.parametrize(("family", "tokens", "alone", "among"), TABLE, ids=NAMES)
def test_every_family_has_its_layout(tmp_path, family, tokens, alone, among):
    tokenizer = byte_tokenizer(tmp_path, tokens)
    fim = found(tokenizer)
    assert fim.family.name == family
    assert spelled(tokenizer, fim.prompt("P", "S")[0]) == alone
    assert spelled(tokenizer, fim.prompt("P", "S", OTHERS, "c.py")[0]) == among
    ends = {tokenizer.special[token] for token in tokens}
    assert ends == set(fim.stop_ids), "no token of the layout is part of a middle"


@pytest.mark.parametrize("row", [TABLE[0], TABLE[8], TABLE[10]], ids=["qwen", "deepseek-coder", "seed-coder"])
def test_tokens_that_a_model_publishes_unflagged_are_found(tmp_path, row):
    built = plain_bytes()
    built.add_tokens([AddedToken(token, special=False, normalized=False) for token in row[1]])
    built.save(str(tmp_path / "tokenizer.json"))
    assert found(Tokenizer.load(tmp_path)).family.name == row[0]


def test_a_tokenizer_without_such_tokens_has_no_layout(tmp_path):
    assert FillInMiddle.find(byte_tokenizer(tmp_path, ["<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>"])) is None


def test_the_embedded_model_is_asked_as_it_was_trained():
    tokenizer = Tokenizer.load(WEIGHTS)
    ids, cut = found(tokenizer).prompt("def f(", "):\n    pass\n")
    assert not cut
    prefix, suffix = (tokenizer.special[token] for token in PIPED[:2])
    assert ids == [suffix, *tokenizer.encode("):\n    pass\n"), prefix, *tokenizer.encode("def f(")]


@pytest.mark.parametrize("tokens", [["▁<PRE>", "▁<SUF>", "▁<MID>"], ["[PREFIX]", "[SUFFIX]"]])
def test_a_suffix_gets_no_space_of_the_tokenizer(tmp_path, tokens):
    tokenizer = metaspace_tokenizer(tmp_path, tokens)
    assert tokenizer.adds_space
    text = spelled(tokenizer, found(tokenizer).prompt("ab", "\n c")[0])
    expected = {3: "▁<PRE> ab▁<SUF>\n c▁<MID>", 2: "[SUFFIX]\n c[PREFIX] ab"}
    assert text == expected[len(tokens)]


def test_special_tokens_in_the_texts_are_text(tmp_path):
    tokenizer = byte_tokenizer(tmp_path, [*PIPED, "<|file_sep|>"])
    ids, _ = found(tokenizer).prompt("<|fim_suffix|>", "<|fim_middle|>", [("<|file_sep|>", "<|fim_prefix|>")], "c")
    special = [number for number in ids if tokenizer.token_bytes(number) is None]
    names = [name for number in special for name, own in tokenizer.special.items() if own == number]
    assert names == ["<|file_sep|>", "<|file_sep|>", *PIPED]


def test_token_ids_are_a_prefix_too(tmp_path):
    tokenizer = byte_tokenizer(tmp_path, PIPED)
    assert spelled(tokenizer, found(tokenizer).prompt(tokenizer.encode("ab"), "c")[0]) == (
        "<|fim_prefix|>ab<|fim_suffix|>c<|fim_middle|>"
    )


def test_comments_are_those_of_the_open_file(tmp_path):
    tokenizer = byte_tokenizer(tmp_path, ["[PREFIX]", "[SUFFIX]"])
    text = spelled(tokenizer, found(tokenizer).prompt("P", "S", [("a.h", "int x;")], "src/main.cpp")[0])
    assert text == "[SUFFIX]S[PREFIX]// Path: a.h\n// int x;\n\nP"


def test_what_lies_farthest_from_the_gap_is_left_out_first(tmp_path):
    tokenizer = byte_tokenizer(tmp_path, [*PIPED, "<|file_sep|>"])
    fim = found(tokenizer)
    files = [("a", "1" * 40), ("b", "2" * 10)]
    whole, cut = fim.prompt("p" * 30, "s" * 10, files, "c", limit=200)
    assert not cut
    text = spelled(tokenizer, fim.prompt("p" * 30, "s" * 10, files, "c", limit=len(whole) - 1)[0])
    assert "1" not in text and "2" * 10 in text
    ids, cut = fim.prompt("xp" * 30, "sy" * 30, files, "c", limit=43)
    assert (
        cut and spelled(tokenizer, ids) == "<|fim_prefix|>" + "xp" * 15 + "<|fim_suffix|>" + "sy" * 5 + "<|fim_middle|>"
    )


@given(
    st.sampled_from(TABLE),
    st.text(max_size=60),
    st.text(max_size=60),
    st.integers(12, 120),
    st.lists(st.text(max_size=30)),
)
@settings(max_examples=150, deadline=None)
def test_the_limit_holds(tmp_path_factory, row, prefix, suffix, limit, texts):
    tokenizer = byte_tokenizer(tmp_path_factory.mktemp("tokenizer"), row[1])
    fim = found(tokenizer)
    files = [(f"{number}.py", text) for number, text in enumerate(texts)]
    whole, _ = fim.prompt(prefix, suffix, files, "c.py")
    ids, cut = fim.prompt(prefix, suffix, files, "c.py", limit)
    assert len(ids) <= limit
    assert cut == (len(whole) > limit)
    assert cut or ids == whole
