"""The end of a run: export, the check against transformers, evaluation, manifest and README.

Every number written here was measured by the call that writes it. Evaluation runs on the exported
directory through transformers, so it measures the shipped bf16 weights and not the training state.
"""

import ast
import hashlib
import json
import platform
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Final

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer

from dovetail.models.embedded import CHAT_TEMPLATE, EDIT_TEMPLATE, evaluate, sources, tokenizer
from dovetail.models.embedded.blocks import BlockError, apply_answer
from dovetail.models.embedded.examples import EXAMPLES
from dovetail.models.embedded.network import Network, export
from dovetail.models.embedded.samples import Batch, edit_prompt
from dovetail.models.embedded.tasks import DocumentMaker
from dovetail.models.embedded.train import Plan, Run

GENERATED_ANSWERS: Final = 80
LONG_POSITION: Final = 32_768
Report = dict[str, Any]


class Shipped:
    """The exported directory as transformers loads it, in fp32 arithmetic on the bf16 weights."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.model = transformers.Qwen3ForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="sdpa"
        )
        self.model.eval()
        self.ends = tokenizer.ids_of(self.tokenizer, tokenizer.END, tokenizer.IM_END)

    def forward(self, batch: Batch) -> torch.Tensor:
        mask = torch.zeros(batch.allowed.shape).masked_fill_(~batch.allowed, -1e4)
        with torch.no_grad():
            logits: torch.Tensor = self.model(
                input_ids=batch.ids, attention_mask=mask, position_ids=batch.positions
            ).logits
        return logits

    def complete(self, prompt: str, limit: int = 300) -> str:
        """Greedy, unconstrained continuation of a prompt, without the end token."""
        ids = torch.tensor([self.tokenizer.encode(prompt).ids])
        out: list[int] = []
        past = None
        with torch.no_grad():
            while len(out) < limit:
                result = self.model(input_ids=ids, past_key_values=past, use_cache=True)
                past = result.past_key_values
                token = int(result.logits[0, -1].argmax())
                if token in self.ends:
                    break
                out.append(token)
                ids = torch.tensor([[token]])
        text: str = self.tokenizer.decode(out, skip_special_tokens=False)
        return text


def run_examples(shipped: Shipped) -> list[Report]:
    """The hand-written examples, each with its answer and whether the resulting file is the expected one."""
    results = []
    for example in EXAMPLES:
        answer = shipped.complete(edit_prompt([(example.path, example.content)], example.instruction))
        try:
            exact = apply_answer({example.path: example.content}, answer)[example.path] == example.expected
        except BlockError:
            exact = False
        results.append(
            {
                "name": example.name,
                "instruction": example.instruction,
                "file": example.path,
                "exact": exact,
                "answer": answer,
            }
        )
    return results


def run_generated(shipped: Shipped, corpus: sources.Corpus) -> Report:
    """Free greedy answers on held-out files: how many are well-formed, apply, and leave a file that parses."""
    maker, rng = DocumentMaker(corpus.held_out, made_up=0.0), random.Random(evaluate.HELD_OUT_SEED + 1)
    counts = {"answers": 0, "apply": 0, "parse": 0, "exact": 0}
    while counts["answers"] < GENERATED_ANSWERS:
        document = maker.document(rng, 1000, 2)
        if document is None:
            continue
        branch = document.branches[0]
        counts["answers"] += 1
        files, target = dict(document.files), document.files[document.target][0]
        try:
            after = apply_answer(files, shipped.complete(edit_prompt(document.files, branch.instruction)))
        except BlockError:
            continue
        counts["apply"] += 1
        counts["exact"] += after[target] == branch.expected
        try:
            for text in after.values():
                ast.parse(text)
        except SyntaxError:
            continue
        counts["parse"] += 1
    return counts


def _table(results: dict[str, list[bool]]) -> Report:
    rows = {kind: {"answers": len(r), "exact": round(sum(r) / len(r), 4)} for kind, r in sorted(results.items())}
    return {"all": {"answers": sum(map(len, results.values())), "exact": round(evaluate.mean(results), 4)}, **rows}


def evaluate_directory(directory: Path, cache: Path = sources.DEFAULT_CACHE) -> Report:
    """All measurements of a written directory."""
    started = time.monotonic()
    corpus = sources.read_corpus(cache)
    shipped = Shipped(directory)
    words, held_out = shipped.tokenizer, corpus.held_out
    real = evaluate.exact_matches(shipped.forward, evaluate.edit_set(words, held_out, 250, made_up=0.0, limit=1000))
    made_up = evaluate.exact_matches(shipped.forward, evaluate.edit_set(words, held_out, 250, made_up=1.0, limit=1000))
    fill = evaluate.exact_matches(shipped.forward, evaluate.fill_set(words, held_out, 400))
    examples = run_examples(shipped)
    return {
        "edits_on_held_out_packages": _table(real),
        "edits_on_made_up_files": _table(made_up),
        "fill_one_line": _table(fill)["all"],
        "held_out_code": {k: round(v, 4) for k, v in evaluate.perplexity(shipped.forward, words, held_out).items()},
        "generated_on_held_out_packages": run_generated(shipped, corpus),
        "examples_exact": sum(e["exact"] for e in examples),
        "examples_total": len(examples),
        "examples": examples,
        "seconds": round(time.monotonic() - started, 1),
    }


def check_export(network: Network, directory: Path) -> Report:
    """The greatest difference of logits between the training network and transformers, and a far position."""
    shipped = Shipped(directory)
    rounded = Network(network.shape)
    rounded.load_state_dict({k: v.detach().bfloat16().float() for k, v in network.state_dict().items()})
    ids = torch.randint(0, network.shape.vocabulary, (2, 200), generator=torch.Generator().manual_seed(0))
    allowed = torch.ones(200, 200, dtype=torch.bool).tril().expand(2, 1, 200, 200)
    with torch.no_grad():
        ours = rounded(ids, torch.arange(200).expand(2, 200), allowed)
        theirs = shipped.model(input_ids=ids).logits
        far = shipped.model(
            input_ids=ids, position_ids=torch.arange(LONG_POSITION - 200, LONG_POSITION).expand(2, 200)
        ).logits
    difference = float((ours - theirs).abs().max())
    if difference > 1e-3 or not bool(torch.isfinite(far).all()):
        raise RuntimeError(
            f"the export does not match: logits differ by {difference}, far finite: {bool(torch.isfinite(far).all())}"
        )
    return {"largest_logit_difference": difference, "finite_at_position": LONG_POSITION}


def _machine() -> Report:
    cpu = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        if cpu.exists()
        else []
    )
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "cpu": names[0] if names else platform.processor(),
        "cores": len(names),
    }


def _command(plan: Plan) -> str:
    steps = f" --steps {plan.steps}" if plan.steps else ""
    return f"python -m dovetail.models.embedded train --minutes {plan.minutes:g} --seed {plan.seed} --threads {plan.threads}{steps} --out DIR"


def finish(run: Run) -> None:
    """Write everything that belongs in the output directory. The checkpoint stays in the cache."""
    plan, directory, cpu_seconds = run.plan, run.plan.out, round(time.process_time())
    words = Tokenizer.from_file(str(directory / "tokenizer.json"))
    export(run.network, directory, *tokenizer.ids_of(words, tokenizer.END, tokenizer.IM_END))
    tokenizer.write_config(directory, CHAT_TEMPLATE.read_text())
    shutil.copyfile(EDIT_TEMPLATE, directory / EDIT_TEMPLATE.name)
    manifest: Report = {
        "name": "dovetail-embedded",
        "licence": "Apache-2.0",
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "vocabulary": words.get_vocab_size(),
        "training": {
            "command": _command(plan),
            "seed": plan.seed,
            "minutes_allowed": plan.minutes,
            "seconds": round(run.log.seconds),
            "cpu_seconds": cpu_seconds,
            "steps": run.log.step,
            "tokens": run.log.tokens,
            "machine": _machine(),
            "resumed_at_steps": run.log.resumed,
            "curve": run.log.curve,
        },
        "data": list(sources.read_corpus(plan.cache).record),
        "export": check_export(run.network, directory),
        "evaluation": evaluate_directory(directory, plan.cache),
    }
    (directory / "README.md").write_text(readme(manifest))
    write_manifest(directory, manifest)
    for path in directory.iterdir():
        path.chmod(0o644)  # safetensors writes 0600
    print(f"wrote {directory} ({sum(f.stat().st_size for f in directory.iterdir()) / 1e6:.1f} MB)", file=sys.stderr)


def write_manifest(directory: Path, manifest: Report) -> None:
    """Write manifest.json with the digest of every other file."""
    files = sorted(p for p in directory.iterdir() if p.name != "manifest.json")
    digests = {p.name: {"sha256": hashlib.sha256(p.read_bytes()).hexdigest(), "bytes": p.stat().st_size} for p in files}
    (directory / "manifest.json").write_text(json.dumps({**manifest, "files": digests}, indent=1) + "\n")


def _rows(table: Report) -> str:
    return "\n".join(f"| {kind} | {row['answers']} | {row['exact']:.1%} |" for kind, row in table.items())


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
real with no GPU and no network. Architecture `Qwen3ForCausalLM`, {manifest["vocabulary"]} tokens, bf16. Licence of the weights: Apache-2.0.
This file and `manifest.json` are written by the training command; no number in them is typed by hand.

## Cost

`{training["command"]}`

{training["seconds"]} s of wall time, {training["cpu_seconds"]} s of CPU time with preparation, on {training["machine"]["cores"]} cores ({training["machine"]["cpu"]}):
{training["steps"]} steps, {training["tokens"] / 1e6:.1f} million tokens.
Steps at which the run was resumed by a new process: {training["resumed_at_steps"] or "none"}. Each process draws its tasks, and the small
evaluation sets of the curve, with the generators of its own version, which may differ from this one. CPU time is of the last process.
Loss on edit answers at the end: {last["answer_loss"]}. The schedule follows the clock: the same command gives other weights elsewhere.

## Data

| source | version | licence | use | characters |
|---|---|---|---|---|
{data}

Half of the edit files are made up by templates of this project. E-mail addresses and key-like strings are replaced, near-copies
and generated files dropped. Wheels are pinned; their digests are in `manifest.json`.

## Measured: greedy, unconstrained, exact match of the whole answer

Instructed edits on packages never trained on: instructions are from the same generators as in training, files are not.

| task | answers | exact |
|---|---|---|
{_rows(result["edits_on_held_out_packages"])}

The same on made-up files of an unseen seed:

| task | answers | exact |
|---|---|---|
{_rows(result["edits_on_made_up_files"])}

Fill in the rest of one line, held-out packages: {result["fill_one_line"]["exact"]:.1%} of {result["fill_one_line"]["answers"]}.
Held-out code: perplexity {result["held_out_code"]["perplexity"]:.2f} per token, {result["held_out_code"]["bits_per_byte"]:.3f} bits per byte.
Of {free["answers"]} free answers on held-out files {free["apply"]} apply, {free["parse"]} leave files that parse, {free["exact"]} give exactly the expected file.
Hand-written examples (`examples.py`): {result["examples_exact"]} of {result["examples_total"]} give exactly the expected file. Right:

{works}

Wrong:

{fails}

## What it cannot do

It knows Python only, and edits of the kinds in the table, worded much as in the examples. It does not reason, does not design, does not
know libraries, does not follow a conversation; its chat answers are a few learnt phrases and one-line functions, and its plain completions
are short-sighted. Where the figure for filling in a line is near zero, do not use it for that. Renames with uses far from the
definition often miss a use or name a wrong line. It was trained on rows of at most 1,024 tokens; longer prompts run but nothing is claimed for them. Without the server's
constraint an answer may quote a line that does not exist.
"""
