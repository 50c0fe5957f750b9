"""The training run: data, loop within a time budget, checkpoints, export.

The schedule follows the clock, so a run with the same seeds sees the same samples in the same
order but not the same number of steps on another machine; `steps` fixes that number instead.
"""

import ctypes
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from tokenizers import Tokenizer

from dovetail.models.embedded import evaluate as evaluation
from dovetail.models.embedded import feeding, samples, sources, tokenizer
from dovetail.models.embedded.network import Network, token_losses
from dovetail.models.embedded.optimizer import Optimizer
from dovetail.models.embedded.presets import PRESETS, Preset


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    out: Path
    preset: str = "cpu"
    minutes: float = PRESETS["cpu"].minutes
    cache: Path = sources.DEFAULT_CACHE
    seed: int = 1
    steps: int | None = None
    threads: int = 2
    compile: bool = True
    resume: bool = False

    @property
    def kind(self) -> Preset:
        return PRESETS[self.preset]


@dataclass
class Log:
    """What a run did."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)  # steps at which a later process went on, with its own code
    cpu_seconds: float = 0.0  # of the last process, with its preparation
    threads: int = 0  # of the last process


def rate(fraction: float, step: int) -> float:
    """Warm-up over the first 100 steps of a process, flat to 40 % of the budget, then linear to zero."""
    return min(1.0, (step + 1) / 100) * max(0.0, min(1.0, (1 - fraction) / 0.6))


def prepare(plan: Plan) -> tuple[sources.Corpus, Tokenizer]:
    """Read the corpus and train the tokenizer; write the tokenizer's files."""
    corpus = sources.read_corpus(plan.cache)
    plan.out.mkdir(parents=True, exist_ok=True)
    path = plan.out / "tokenizer.json"
    if plan.resume and path.exists():
        return corpus, Tokenizer.from_file(str(path))
    trained = tokenizer.train((f.text for f in corpus.train), plan.kind.shape.vocabulary)
    trained.save(str(path))
    return corpus, trained


def keep_memory() -> None:
    """Stop glibc from giving freed tensors back to the kernel: page faults cost 14 % of a step otherwise."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, value in ((-8, 1), (-4, 0), (-1, 2**31 - 1)):  # M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD
            library.mallopt(option, value)


@dataclass(frozen=True)
class BatchSource:
    """Endless batches of one number; each number has its own seed."""

    tokenizer: Tokenizer
    sources: tuple[sources.SourceFile, ...]
    plan: Plan
    step: int

    def __call__(self, number: int) -> Iterator[samples.Batch]:
        maker = samples.SampleMaker(self.tokenizer, self.sources, self.plan.seed + self.step + 7919 * number)
        return samples.batches(maker, self.plan.kind.rows, period=5)


class Run:
    """One training run and its state."""

    def __init__(self, plan: Plan, corpus: sources.Corpus, trained: Tokenizer) -> None:
        keep_memory()
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.log = Log()
        self.first_step = 0
        self.device = plan.kind.device
        self.network = Network(plan.kind.shape).to(self.device)
        self.optimizer = Optimizer(self.network)
        self.checkpoint_path = plan.cache / f"{plan.preset}-seed-{plan.seed}.checkpoint.pt"
        if plan.resume and self.checkpoint_path.exists():
            self._load()
        self.batches = feeding.fed(BatchSource(trained, corpus.train, plan, self.log.step), plan.kind.makers)
        self.forward: Callable[..., torch.Tensor] = self.network
        if plan.compile and plan.kind.compile:
            self.forward = torch.compile(self.network, dynamic=False)

    def _load(self) -> None:
        state = torch.load(self.checkpoint_path, weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.log = Log(**state["log"])
        self.first_step = self.log.step

    def save(self) -> None:
        """Write a checkpoint in one move."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "log": asdict(self.log),
        }
        partial = self.checkpoint_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint_path)

    def step(self, made: samples.Batch, fraction: float) -> float:
        """One update. Returns the loss on edit answers alone, not a number where there are none."""
        batch = made.to(self.device)
        with torch.autocast(self.device, torch.bfloat16):
            logits = self.forward(batch.ids, batch.positions, batch.allowed)
        losses = token_losses(logits, batch.targets)
        loss = (losses * batch.weights).sum() / batch.weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate(fraction, self.log.step - self.first_step))
        self.network.zero_grad()
        answers = batch.weights == 1.0
        if self.log.step == self.first_step and self.log.step:
            self.log.resumed.append(self.log.step)
        self.log.step += 1
        self.log.cpu_seconds, self.log.threads = time.process_time(), self.plan.threads
        self.log.tokens += int((batch.targets != samples.IGNORE).sum())
        return losses.detach()[answers].mean().item()

    def train(self, evaluate: Callable[[Network], dict[str, float]], report: Callable[[str], None]) -> None:
        """Loop until the budget is spent."""
        budget = self.plan.minutes * 60
        started = time.monotonic() - self.log.seconds
        saved = reported = self.log.seconds
        smooth = math.nan
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
        )
        with Progress(*columns) as progress:
            bar = progress.add_task("training", total=1.0)
            for batch in self.batches:
                self.log.seconds = time.monotonic() - started
                fraction = self.log.step / self.plan.steps if self.plan.steps else self.log.seconds / budget
                if fraction >= 1:
                    break
                answer = self.step(batch, fraction)
                if not math.isnan(answer):
                    smooth = answer if math.isnan(smooth) else 0.97 * smooth + 0.03 * answer
                progress.update(bar, completed=fraction, description=f"step {self.log.step} answer loss {smooth:.3f}")
                if self.log.seconds - reported >= max(30.0, budget / 30):
                    reported = self.log.seconds
                    point = {
                        "seconds": round(reported),
                        "step": self.log.step,
                        "tokens": self.log.tokens,
                        "answer_loss": round(smooth, 4),
                    }
                    point |= {name: round(value, 4) for name, value in evaluate(self.network).items()}
                    self.log.curve.append(point)
                    report(json.dumps(point))
                if self.log.seconds - saved >= 240:
                    saved = self.log.seconds
                    self.save()
        self.save()


def execute(plan: Plan) -> Run:
    """Prepare and train, with a small held-out evaluation along the way."""
    corpus, trained = prepare(plan)
    run = Run(plan, corpus, trained)
    real = evaluation.edit_set(trained, corpus.held_out, 40, made_up=0.0, limit=1000)
    made_up = evaluation.edit_set(trained, corpus.held_out, 20, made_up=1.0, limit=1000)
    fill = evaluation.fill_set(trained, corpus.held_out, 120)

    def measure(network: Network) -> dict[str, float]:
        forward = evaluation.network_forward(network, run.device)
        return {
            "exact_real": evaluation.mean(evaluation.exact_matches(forward, real)),
            "exact_made_up": evaluation.mean(evaluation.exact_matches(forward, made_up)),
            "exact_fill": evaluation.mean(evaluation.exact_matches(forward, fill)),
        }

    run.train(measure, lambda line: print(line, flush=True))
    return run
