"""The shipped directory: complete, small, digests right, tokenizer lossless, loadable, and it edits."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from dovetail.models.embedded import CHAT_TEMPLATE, EDIT_TEMPLATE, WEIGHTS
from dovetail.models.embedded.chats import REFUSAL
from dovetail.models.embedded.sources import PACKAGES
from dovetail.models.embedded.tokenizer import END, MARKERS, SPECIAL

FILES = {
    "README.md",
    "chat_template.jinja",
    "config.json",
    "data.tsv",
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


def test_every_file_has_a_permissive_licence_and_the_held_out_ones_are_for_evaluation() -> None:
    manifest = json.loads((WEIGHTS / "manifest.json").read_text())
    head, *rows = (line.split("\t") for line in (WEIGHTS / "data.tsv").read_text().splitlines())
    assert head == ["package", "path", "licence", "use", "characters", "sha256"]
    assert len(rows) == sum(d["files"] for d in manifest["data"]) > 1000
    assert {row[2] for row in rows} <= {"MIT", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"}
    held_out = {p.name for p in PACKAGES if p.held_out}
    assert {row[0] for row in rows if row[3] == "evaluation"} == held_out
    assert not {row[0] for row in rows if row[3] == "training"} & held_out
    assert all(len(row[5]) == 64 and row[4].isdigit() for row in rows)


def test_long_prompts_are_within_its_configuration() -> None:
    assert json.loads((WEIGHTS / "config.json").read_text())["max_position_embeddings"] >= 65_536
    assert json.loads((WEIGHTS / "tokenizer_config.json").read_text())["model_max_length"] >= 65_536


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


def test_transformers_loads_it_and_it_edits_and_talks_a_little() -> None:
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
    for said, answer in (("hello", "Hello! Show me a file and tell me what to change."), ("Tell me a joke", REFUSAL)):
        ids_of_turn = tokens.apply_chat_template(
            [{"role": "user", "content": said}], add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        out = model.generate(ids_of_turn, max_new_tokens=40)[0, ids_of_turn.shape[1] :]
        assert tokens.decode(out, skip_special_tokens=True) == answer
    far = torch.arange(65_528, 65_536)[None]
    with torch.no_grad():
        assert bool(torch.isfinite(model(input_ids=ids[:, :8], position_ids=far).logits).all())
