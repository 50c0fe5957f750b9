"""The shipped directory: complete, small, digests right, tokenizer lossless, loadable, and it edits."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from dovetail.models.embedded import CHAT_TEMPLATE, EDIT_TEMPLATE, WEIGHTS
from dovetail.models.embedded.tokenizer import END, MARKERS, SPECIAL

FILES = {
    "README.md",
    "chat_template.jinja",
    "config.json",
    "edit_template.jinja",
    "generation_config.json",
    "manifest.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))


def test_complete_and_small() -> None:
    assert {p.name for p in WEIGHTS.iterdir()} == FILES
    assert sum(p.stat().st_size for p in WEIGHTS.iterdir()) <= 20_000_000


def test_manifest_digests_match() -> None:
    manifest = json.loads((WEIGHTS / "manifest.json").read_text())
    assert set(manifest["files"]) == FILES - {"manifest.json"}
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((WEIGHTS / name).read_bytes()).hexdigest() == entry["sha256"], name


def test_every_source_has_a_permissive_licence() -> None:
    manifest = json.loads((WEIGHTS / "manifest.json").read_text())
    assert {d["licence"] for d in manifest["data"]} <= {"MIT", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"}
    assert {d["use"] for d in manifest["data"]} == {"training", "evaluation only"}


def test_templates_are_the_ones_in_the_source() -> None:
    assert (WEIGHTS / "edit_template.jinja").read_text() == EDIT_TEMPLATE.read_text()
    assert (WEIGHTS / "chat_template.jinja").read_text() == CHAT_TEMPLATE.read_text()


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(["    ", "\t", "\n", "\r\n", " ", "def f(", "x1", "=" * 10 + "\n", *MARKERS]), max_size=20
    ).map("".join)
)
def test_any_text_round_trips(words: Tokenizer, text: str) -> None:
    assert words.decode(words.encode(text).ids, skip_special_tokens=False) == text


def test_special_tokens_and_markers_are_single_tokens(words: Tokenizer) -> None:
    for token in (*SPECIAL, *MARKERS):
        assert words.encode(token).ids == [words.token_to_id(token)], token
    assert (
        words.decode(words.encode(MARKERS[1]).ids) == MARKERS[1]
    )  # ordinary tokens, kept when special ones are skipped
    assert words.decode(words.encode(END).ids) == ""


def test_a_name_has_the_same_tokens_wherever_it_stands(words: Tokenizer) -> None:
    name = words.encode("fetch_user").ids
    for before, after in (("def ", "("), ("    x = ", "(1)\n"), ("to ", ""), ("`", "`"), ("self.", " "), ("(", ",")):
        ids = words.encode(before + "fetch_user" + after).ids
        assert any(ids[i : i + len(name)] == name for i in range(len(ids)))


def test_transformers_loads_it_and_it_edits() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    tokens = transformers.AutoTokenizer.from_pretrained(WEIGHTS)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.config.tie_word_embeddings
    assert tokens.eos_token == END
    assert "<|im_start|>assistant" in tokens.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False
    )
    prompt = "<|file_sep|>calc.py\ndef add(a, b):\n    return a + b\n<|task|>Rename the function add to plus\n<|edit|>"
    ids = tokens(prompt, return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=60)[0, ids.shape[1] :]
    answer = "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n"
    assert tokens.decode(out, skip_special_tokens=True) == answer
    far = torch.arange(32_760, 32_768)[None]
    with torch.no_grad():
        assert bool(torch.isfinite(model(input_ids=ids[:, :8], position_ids=far).logits).all())
