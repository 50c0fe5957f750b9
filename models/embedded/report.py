"""The end of a run: export, the check against transformers, evaluation, manifest and README.

Every number written here was measured by the call that writes it. Evaluation runs on the exported
directory through transformers, so it measures the shipped bf16 weights and not the training state.
"""

import hashlib
import itertools
import json
import platform
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
from dovetail.models.embedded.card import readme
from dovetail.models.embedded.evaluate import HELD_OUT_SEED, parses
from dovetail.models.embedded.examples import EXAMPLES
from dovetail.models.embedded.network import Network, export
from dovetail.models.embedded.samples import Batch, edit_prompt
from dovetail.models.embedded.train import Plan, Run

GENERATED_ANSWERS: Final = 80
LONG_POSITION: Final = 65_536
DATA_FILE: Final = "data.tsv"
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


def run_generated(shipped: Shipped, held_out: tuple[sources.SourceFile, ...]) -> Report:
    """Free greedy answers on held-out files: how many are well-formed, apply, and leave files that parse."""
    counts = {"answers": 0, "apply": 0, "parse": 0, "exact": 0}
    for document in itertools.islice(evaluate.documents(held_out, HELD_OUT_SEED + 1, 1000), GENERATED_ANSWERS):
        branch = document.branches[0]
        counts["answers"] += 1
        try:
            after = apply_answer(
                dict(document.files), shipped.complete(edit_prompt(document.files, branch.instruction))
            )
        except BlockError:
            continue
        counts["apply"] += 1
        counts["exact"] += tuple(after[path] for path, _ in document.files) == branch.expected
        counts["parse"] += all(map(parses, after.values()))
    return counts


def _table(results: dict[str, list[bool]]) -> Report:
    rows = {kind: {"answers": len(r), "exact": round(sum(r) / len(r), 4)} for kind, r in sorted(results.items())}
    return {"all": {"answers": sum(map(len, results.values())), "exact": round(evaluate.mean(results), 4)}, **rows}


def evaluate_directory(directory: Path, cache: Path = sources.DEFAULT_CACHE) -> Report:
    """All measurements of a written directory."""
    started = time.monotonic()
    shipped, held_out = Shipped(directory), sources.read_held_out(cache)
    words = shipped.tokenizer
    real = evaluate.exact_matches(shipped.forward, evaluate.edit_set(words, held_out, 250, made_up=0.0, limit=1000))
    made_up = evaluate.exact_matches(shipped.forward, evaluate.edit_set(words, held_out, 250, made_up=1.0, limit=1000))
    fill = evaluate.exact_matches(shipped.forward, evaluate.fill_set(words, held_out, 400))
    examples = run_examples(shipped)
    return {
        "edits_on_held_out_packages": _table(real),
        "edits_on_made_up_files": _table(made_up),
        "fill_one_line": _table(fill),
        "held_out_code": {k: round(v, 4) for k, v in evaluate.perplexity(shipped.forward, words, held_out).items()},
        "generated_on_held_out_packages": run_generated(shipped, held_out),
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
    budget = f"--preset {plan.preset} --minutes {plan.minutes:g}"
    return f"python -m dovetail.models.embedded train {budget} --seed {plan.seed} --threads {plan.threads}{steps} --out DIR"


def finish(run: Run) -> None:
    """Write everything that belongs in the output directory. The checkpoint stays in the cache."""
    plan, directory = run.plan, run.plan.out
    words = Tokenizer.from_file(str(directory / "tokenizer.json"))
    export(run.network, directory, *tokenizer.ids_of(words, tokenizer.END, tokenizer.IM_END))
    tokenizer.write_config(directory, CHAT_TEMPLATE.read_text())
    shutil.copyfile(EDIT_TEMPLATE, directory / EDIT_TEMPLATE.name)
    corpus = sources.read_corpus(plan.cache)
    (directory / DATA_FILE).write_text(corpus.files_table())
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
            "last_process": {"cpu_seconds": round(run.log.cpu_seconds), "threads": run.log.threads},
            "steps": run.log.step,
            "tokens": run.log.tokens,
            "machine": _machine(),
            "resumed_at_steps": run.log.resumed,
            "curve": run.log.curve,
        },
        "data": list(corpus.record),
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


def add_served(directory: Path, measured: Report) -> None:
    """Put what the server made of the model (benchmarks/embedded_model.py) beside the other measurements."""
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["evaluation"]["served"] = measured
    (directory / "README.md").write_text(readme(manifest))
    write_manifest(directory, manifest)
