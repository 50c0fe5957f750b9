"""The model card: README.md beside the weights, from the manifest's numbers only."""

from __future__ import annotations

from typing import Any, Final

from dovetail.models.embedded.samples import MADE_UP

LONGEST: Final = 65_536
Report = dict[str, Any]


def _rows(table: Report) -> str:
    return "\n".join(f"| {kind} | {row['answers']} | {row['exact']:.1%} |" for kind, row in table.items())


def _continued(training: Report) -> str:
    """What several processes mean for who wants to repeat the run."""
    if not training["resumed_at_steps"]:
        return ""
    process = training["last_process"]
    return (
        "Each process had the mix of tasks, and the small evaluation sets of the curve, of its own version of this folder, and a rate that\n"
        "followed the budget it was given: **the command above, run from the beginning, is not what made these weights, and has not been\n"
        f"run to its end.** The last process took {process['cpu_seconds']} s of processor time with {process['threads']} thread(s).\n"
    )


def _served(result: Report) -> str:
    """What the server makes of it, where that was measured."""
    served = result.get("served")
    if served is None:
        return ""
    edits, gaps, renames = served["edits"], served["gaps"], served["renames"]
    return (
        f"The same {edits['answers']} under the server's constraint (`benchmarks/embedded_model.py`): {edits['valid']} apply, {edits['parse']} parse, "
        f"{edits['exact']} exact. Gaps of one line through `/v1/completions`: {gaps['exact']} of {gaps['answers']} exact. The agent's "
        f"rename over three files, with {len(renames['asked'])} new names: {len(renames['done'])} brought to an end "
        f"({', '.join(f'`{name}`' for name in renames['done']) or 'none'}; not: "
        f"{', '.join(f'`{name}`' for name in renames['asked'] if name not in renames['done']) or 'none'}).\n"
    )


def readme(manifest: Report) -> str:
    """The model card. Numbers come from the manifest only."""
    training, result = manifest["training"], manifest["evaluation"]
    data = "\n".join(
        f"| {d['name']} | {d['version']} | {d['licence']} | {d['use']} | {d['characters']:,} |"
        for d in manifest["data"]
    )
    last = training["curve"][-1] if training["curve"] else {"answer_loss": float("nan")}
    works = "\n".join(f"* `{e['file']}`: {e['instruction']}" for e in result["examples"] if e["exact"]) or "* none"
    fails = "\n".join(f"* `{e['file']}`: {e['instruction']}" for e in result["examples"] if not e["exact"]) or "* none"
    free = result["generated_on_held_out_packages"]
    return f"""# dovetail-embedded

A code-edit model of {manifest["parameters"] / 1e6:.2f} million parameters, trained from scratch on a CPU, so that Dovetail does something
real with no GPU and no network. Architecture `Qwen3ForCausalLM`, a vocabulary of {manifest["vocabulary"]:,} tokens, bf16. Licence of the weights: Apache-2.0.
This file and `manifest.json` are written by the training command; no number in them is typed by hand.

## Cost

`{training["command"]}`

{training["seconds"]} s of wall time on a shared machine with {training["machine"]["cores"]} cores ({training["machine"]["cpu"]}): {training["steps"]} steps,
{training["tokens"] / 1e6:.1f} million tokens. Steps at which a new process went on from a checkpoint: {", ".join(map(str, training["resumed_at_steps"])) or "none"}.
{_continued(training)}Loss on edit answers at the end: {last["answer_loss"]}. The schedule follows the clock: the same command gives other weights elsewhere.

## Data

| source | version | licence | use | characters |
|---|---|---|---|---|
{data}

{MADE_UP:.0%} of the edit files are made up by templates of this project. E-mail addresses and key-like strings are replaced; near-copies,
generated files and files whose head names a licence that is not permissive are dropped. `data.tsv` has every file with its licence and digest.
Wheels are pinned; their digests are in `manifest.json`.

## Measured: greedy, unconstrained, exact match of the whole answer

Instructed edits on packages never trained on: instructions are from the same generators as in training, files are not.

| task | answers | exact |
|---|---|---|
{_rows(result["edits_on_held_out_packages"])}

The same on made-up files of an unseen seed:

| task | answers | exact |
|---|---|---|
{_rows(result["edits_on_made_up_files"])}

Fill in one line of a held-out package, what stands before and behind it given (comments and docstrings count as lines):

| gap | answers | exact |
|---|---|---|
{_rows(result["fill_one_line"])}

Held-out code: perplexity {result["held_out_code"]["perplexity"]:.2f} per token, {result["held_out_code"]["bits_per_byte"]:.3f} bits per byte.
Of {free["answers"]} free answers on held-out files {free["apply"]} apply, {free["parse"]} leave files that parse, {free["exact"]} give exactly the expected file.
{_served(result)}Hand-written examples (`examples.py`): {result["examples_exact"]} of {result["examples_total"]} give exactly the expected file. Right:

{works}

Wrong:

{fails}

## What it cannot do

It knows Python only, and edits of the kinds in the table, worded much as in the examples. It does not reason, does not design, does not
know libraries, does not follow a conversation; its chat answers are a few learnt phrases, a refusal and one-line functions, and its plain
completions are short-sighted. **It is no use for filling in lines**: the table above says how seldom a line is right. Renames with many
uses, or with uses far from the definition, often miss one or name a wrong line. It was trained on rows of at most 1,024 tokens: prompts of up to
{LONGEST:,} tokens run, and nothing is claimed for them. Without the server's constraint an answer may quote a line that does not exist.
"""
