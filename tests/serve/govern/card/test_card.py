"""System cards: what they say is measured, shown by tests that exist, and told as stale when it no longer holds."""

from __future__ import annotations

import ast
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cyclonedx_schema import bill_validator
from jsonschema import Draft202012Validator

from dovetail.serve.govern import dsse
from dovetail.serve.govern.card.document import SUITES
from dovetail.serve.govern.card.facts import Facts, software
from dovetail.serve.govern.card.hosting import Hosting, Loaded
from dovetail.serve.govern.card.keeper import CardKeeper, Place, check_signed
from dovetail.serve.govern.card.markdown import to_html, to_markdown
from dovetail.serve.govern.card.mlbom import to_cyclonedx
from dovetail.serve.govern.card.schema import SCHEMA
from dovetail.serve.govern.card.statements import statements

ROOT = Path(__file__).parents[4]
LOADED = Loaded(architecture="Tiny", parameters=1000, weight_bytes=2000, dtype="bfloat16", kernels="torch")
EVIDENCE = sorted({each for guarantee in statements().guarantee for each in guarantee.evidence})


def measured(folder: Path, facts: Facts, suite: str, value: float, **fields: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "object": "evaluation",
        "format": 1,
        "suite": suite,
        "suite_digest": "d",
        "model": facts.model,
        "fingerprint": facts.fingerprint,
        "quantisation": facts.quantize or "none",
        "seed": 1,
        "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T00:01:00Z",
        "command": f"dovetail eval {suite}",
        "complete": True,
        "metrics": [{"name": suite, "value": value, "n": 40, "unit": "share", "low": 0.1, "high": 0.9}],
        **fields,
    }
    (folder / f"{suite}-{len(list(folder.iterdir()))}.json").write_text(json.dumps(result))


def bits(value: float) -> list[dict]:
    return [{"name": "bits_per_byte", "value": value, "n": 10, "unit": "bits"}]


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(b"w")
    (model / "README.md").write_text(
        "# A model\n\n## Training data\n\nBooks <b>only</b>.\n\n### How\n\nRead.\n\n## Use\n\nNot data.\n"
    )
    policy = tmp_path / "policy.toml"
    policy.write_text("a")
    return Facts(
        model="tiny",
        created=1,
        context_length=64,
        capabilities=("completions",),
        directory=model,
        configuration={"dtype": "auto"},
        version="1.0",
        watched=(policy,),
        licence="MIT",
    )


@pytest.fixture
def keeper(facts: Facts, tmp_path: Path) -> CardKeeper:
    return CardKeeper(facts, lambda: LOADED, Place.of(tmp_path / "cards"))


@pytest.mark.parametrize("named", EVIDENCE)
def test_the_tests_that_guarantees_name_are_there(named: str) -> None:
    path, _, name = named.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in defined


def test_guarantees_have_names_of_their_own() -> None:
    names = [each.id for each in statements().guarantee]
    assert len(names) == len(set(names)) >= 15


@pytest.fixture
def several(keeper: CardKeeper, facts: Facts, tmp_path: Path) -> CardKeeper:
    """Another model, and an adapter of the first."""
    folders = [tmp_path / name for name in ("small", "sql")]
    for folder in folders:
        folder.mkdir()
        (folder / "adapter.bin").write_bytes(folder.name.encode())
    small = replace(facts, model="small", directory=folders[0], quantize="int4", licence="Apache-2.0", watched=())
    keeper.add(Hosting(small, lambda: None))
    keeper.add_adapter("sql", facts.model, folders[1])
    return keeper


def beside(keeper: CardKeeper) -> dict[str, dict]:
    return {each["model"]["name"]: each for each in keeper.card()["beside"]}


def test_every_hosted_model_and_adapter_is_named(several: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    found = beside(several)
    first = several.card()
    assert list(found) == ["small", "sql"]
    assert (found["small"]["model"]["licence"], found["small"]["quantisation"]["kind"]) == ("Apache-2.0", "int4")
    assert (found["small"]["adapter_of"], found["sql"]["adapter_of"]) == (None, "tiny")
    digests = {first["model"]["digest"], *(each["model"]["digest"] for each in found.values())}
    assert len(digests) == 3
    assert None not in digests
    prints = {name: several.fingerprint_of(name) for name in ("tiny", "small", "sql")}
    assert len(set(prints.values())) == 3
    assert prints["sql"] == found["sql"]["fingerprint"]
    assert several.earlier(str(prints["sql"])) == first, "an adapter's answers lead to this card, too"
    page = to_markdown(first)
    assert "Also hosted: sql" in page
    assert "LoRA adapter of tiny" in page
    assert "dovetail eval edits --model small" in page


def test_what_was_measured_of_one_is_not_told_of_another(several: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    own = several.fingerprint_of("sql")
    measured(tmp_path / "cards" / "evaluations", facts, "edits", 0.5, fingerprint=own, model="sql")
    card, found = several.card(), beside(several)
    assert [each["suite"] for each in found["sql"]["measured"]] == ["edits"]
    assert not any("dovetail eval edits" in each for each in found["sql"]["not_tested"])
    assert card["capabilities"] == {**card["capabilities"], "measured": [], "of_other_configurations": 0}
    assert found["small"]["measured"] == []


def test_adapters_come_change_and_go(several: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    before, digest = several.card(), beside(several)["sql"]["model"]["digest"]
    (tmp_path / "sql" / "adapter.bin").write_bytes(b"changed")
    assert several.card()["stale_because"] == ["adapter.bin was changed after the server read it"]
    several.add_adapter("sql", facts.model, tmp_path / "sql")
    now = several.card()
    assert not now["stale"]
    assert beside(several)["sql"]["model"]["digest"] != digest
    several.remove("sql")
    assert list(beside(several)) == ["small"]
    assert several.fingerprint_of("sql") is None
    kept = several.earlier(before["id"])
    assert kept is not None
    assert kept["stale"]


@pytest.mark.parametrize("many", [False, True])
def test_a_card_keeps_to_its_schema(
    request: pytest.FixtureRequest, many: bool, keeper: CardKeeper, facts: Facts, tmp_path: Path
) -> None:
    if many:
        request.getfixturevalue("several")
    validator = Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    bare = keeper.card()
    assert [each.message for each in validator.iter_errors(bare)] == []
    measured(tmp_path / "cards" / "evaluations", facts, "edits", 0.5)
    full = keeper.card()
    assert [each.message for each in validator.iter_errors(full)] == []
    assert full["capabilities"]["measured"][0]["metrics"][0]["value"] == 0.5
    assert list(validator.iter_errors({**full, "more": 1})), "the schema is looked at"


def test_what_was_not_measured_is_said(keeper: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    assert sum("dovetail eval" in each for each in keeper.card()["not_tested"]) == len(SUITES)
    folder = tmp_path / "cards" / "evaluations"
    measured(folder, facts, "edits", 0.5)
    measured(folder, facts, "infill", 0.5, fingerprint="fp_000000000000")
    measured(folder, facts, "latency", 0.5, complete=False)
    (folder / "broken.json").write_text("{")
    card = keeper.card()
    assert [each["suite"] for each in card["capabilities"]["measured"]] == ["edits"]
    assert card["capabilities"]["of_other_configurations"] == 1
    assert sum("dovetail eval" in each for each in card["not_tested"]) == len(SUITES) - 1
    assert "Nothing was measured" not in to_markdown(card)


def test_a_few_samples_do_not_count_as_tested(keeper: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    few = [{"name": "done", "value": 0.0, "n": 4, "unit": "share", "low": 0.0, "high": 0.5}]
    measured(tmp_path / "cards" / "evaluations", facts, "edits", 0.5, metrics=few)
    card = keeper.card()
    assert card["capabilities"]["measured"][0]["metrics"][0]["n"] == 4
    assert any("4 samples are few" in each for each in card["not_tested"])


def test_the_last_result_counts(keeper: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    folder = tmp_path / "cards" / "evaluations"
    measured(folder, facts, "edits", 0.9, finished="2026-03-01T00:00:00Z")
    measured(folder, facts, "edits", 0.2, finished="2026-02-01T00:00:00Z")
    assert keeper.card()["capabilities"]["measured"][0]["metrics"][0]["value"] == 0.9


def test_a_file_that_changed_makes_the_card_stale_until_it_is_as_it_was(keeper: CardKeeper, facts: Facts) -> None:
    first = keeper.card()
    assert (first["stale"], first["stale_because"]) == (False, [])
    facts.watched[0].write_text("another policy")
    card = keeper.card()
    assert card["stale"]
    assert card["stale_because"] == ["policy.toml was changed after the server read it"]
    assert card["id"] == first["id"], "what the server does has not changed"
    assert "stale" in to_markdown(card)
    facts.watched[0].unlink()
    assert keeper.card()["stale"]


def test_every_card_is_kept_under_its_name(keeper: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    first = keeper.card()
    assert keeper.card()["id"] == first["id"]
    measured(tmp_path / "cards" / "evaluations", facts, "edits", 0.5)
    second = keeper.card()
    assert second["id"] != first["id"]
    later = CardKeeper(replace(facts, version="2.0"), lambda: LOADED, keeper.place)
    third = later.card()
    assert third["fingerprint"] != second["fingerprint"] == first["fingerprint"]
    assert {each["id"] for each in later.history()} == {first["id"], second["id"], third["id"]}
    old = later.earlier(first["id"])
    assert old is not None
    assert old["stale"]
    assert {**old, "stale": False, "stale_because": []} == first
    assert later.earlier(third["fingerprint"]) == third
    assert later.earlier("fp_none") is None
    assert later.earlier("../evaluations/edits-0") is None


def test_a_folder_that_cannot_be_written_costs_no_card(facts: Facts, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    keeper = CardKeeper(facts, lambda: None, Place.of(tmp_path / "file"))
    card = keeper.card()
    assert keeper.history() == [{key: card[key] for key in ("id", "fingerprint", "generated")}]
    assert card["deployment"]["engine"] == "not loaded yet"


def test_askers_at_once_get_one_card(keeper: CardKeeper) -> None:
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(keeper.card()["id"])) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(told) == 8
    assert len(set(told)) == len(keeper.history()) == 1


def test_the_models_own_words_of_its_data(keeper: CardKeeper) -> None:
    said = keeper.card()["model"]["data_statement"]
    assert said == "## Training data\n\nBooks <b>only</b>.\n\n### How\n\nRead."


def test_a_page_runs_nothing_and_escapes_everything(facts: Facts) -> None:
    name = '<script src="//x">'
    page = to_html(CardKeeper(replace(facts, model=name), lambda: LOADED).card())
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script" in page


def test_the_bill_fits_the_schema_of_cyclonedx(several: CardKeeper, facts: Facts, tmp_path: Path) -> None:
    measured(tmp_path / "cards" / "evaluations", facts, "edits", 0.5)
    bill = to_cyclonedx(several.card(), software()[0])
    validator = bill_validator()
    assert [error.message for error in validator.iter_errors(bill)] == []
    model = bill["components"][0]
    assert model["type"] == "machine-learning-model"
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] == "0.5"
    assert [each["name"] for each in bill["components"][:3]] == ["tiny", "small", "sql"]
    assert {"name": "dovetail:adapter-of", "value": "tiny"} in bill["components"][2]["properties"]
    assert len(bill["components"]) > 20
    model["type"] = "toy"
    assert list(validator.iter_errors(bill)), "the schema is looked at"


def test_a_signed_card_is_the_card(keeper: CardKeeper, tmp_path: Path) -> None:
    card = keeper.card()
    assert keeper.signed(card) is None
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    keeper.key = private
    envelope = keeper.signed(card)
    assert envelope is not None
    assert check_signed(envelope, public) == card
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    with pytest.raises(InvalidSignature):
        check_signed(envelope, public)
    keeper.key = public
    with pytest.raises(dsse.KeyProblem):
        keeper.signed(card)


def test_what_quantisation_costs_is_measured_or_not_told(facts: Facts, tmp_path: Path) -> None:
    folder = tmp_path / "cards" / "evaluations"
    small = replace(facts, quantize="int4", configuration={"dtype": "auto", "quantize": "int4"})
    keeper = CardKeeper(small, lambda: LOADED, Place.of(tmp_path / "cards"))
    assert keeper.card()["quantisation"] == {"kind": "int4", "loss": None}
    measured(folder, small, "prediction", 5.5, metrics=bits(5.5))
    assert keeper.card()["quantisation"]["loss"] is None
    measured(folder, facts, "prediction", 5.0, suite_digest="other texts", metrics=bits(5.0))
    assert keeper.card()["quantisation"]["loss"] is None
    other = replace(small, quantize="int8", configuration={"dtype": "auto", "quantize": "int8"})
    measured(folder, other, "prediction", 5.2, metrics=bits(5.2))
    assert keeper.card()["quantisation"]["loss"] is None, "int8 is no measure of what was lost"
    measured(folder, facts, "prediction", 5.0, metrics=bits(5.0))
    loss = keeper.card()["quantisation"]["loss"]
    assert loss is not None
    measured(folder, facts, "prediction", 4.0, metrics=bits(4.0), model_digest="sha256:other")
    measured(folder, small, "prediction", 5.5, metrics=bits(5.5), model_digest="sha256:this")
    assert keeper.card()["quantisation"]["loss"] == loss, "those are other weights"
    measured(folder, facts, "prediction", 5.0, metrics=bits(5.0), model="base", model_digest="sha256:this")
    assert keeper.card()["quantisation"]["loss"] == loss, "those are the same, by another name"
    assert loss == {"bits_per_byte": 5.5, "of": facts.fingerprint, "its_bits_per_byte": 5.0, "ratio": 1.1}
    assert "1.1000 times" in to_markdown(keeper.card())
