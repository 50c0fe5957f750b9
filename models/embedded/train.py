"""The training run: data, loop within a time budget, checkpoints, export.

The schedule follows the clock, so a run with the same seeds sees the same samples in the same
order but not the same number of steps on another machine; `steps` fixes that number instead.
"""

import ctypes
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from tokenizers import Tokenizer

from dovetail.models.embedded import evaluate as evaluation
from dovetail.models.embedded import samples, sources, tokenizer
from dovetail.models.embedded.network import Network, Shape, token_losses
from dovetail.models.embedded.optimizer import Optimizer

SHAPES = ((10, 512), (5, 1024))  # rows, length: about 5,000 tokens a step


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    minutes: float
    out: Path
    cache: Path = sources.DEFAULT_CACHE
    seed: int = 1
    steps: int | None = None
    threads: int = 2
    compile: bool = True
    resume: bool = False
    shape: Shape = field(default_factory=Shape)


@dataclass
class Log:
    """What a run did."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)  # steps at which a later process went on, with its own code


def rate(fraction: float, step: int) -> float:
    """Warm-up over 100 steps, flat to 40 % of the budget, then linear to zero."""
    return min(1.0, (step + 1) / 100) * max(0.0, min(1.0, (1 - fraction) / 0.6))


def prepare(plan: Plan) -> tuple[sources.Corpus, Tokenizer]:
    """Read the corpus and train the tokenizer; write the tokenizer's files."""
    corpus = sources.read_corpus(plan.cache)
    plan.out.mkdir(parents=True, exist_ok=True)
    path = plan.out / "tokenizer.json"
    if plan.resume and path.exists():
        return corpus, Tokenizer.from_file(str(path))
    trained = tokenizer.train((f.text for f in corpus.train), plan.shape.vocabulary)
    trained.save(str(path))
    return corpus, trained


def keep_memory() -> None:
    """Stop glibc from giving freed tensors back to the kernel: page faults cost 14 % of a step otherwise."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, value in ((-8, 1), (-4, 0), (-1, 2**31 - 1)):  # M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD
            library.mallopt(option, value)


class Run:
    """One training run and its state."""

    def __init__(self, plan: Plan, corpus: sources.Corpus, trained: Tokenizer) -> None:
        keep_memory()
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.log = Log()
        self.network = Network(plan.shape)
        self.optimizer = Optimizer(self.network)
        self.checkpoint_path = plan.cache / f"seed-{plan.seed}.checkpoint.pt"
        if plan.resume and self.checkpoint_path.exists():
            self._load()
        self.maker = samples.SampleMaker(trained, corpus.train, plan.seed + self.log.step)
        self.forward: Callable[..., torch.Tensor] = self.network
        if plan.compile:
            self.forward = torch.compile(self.network, dynamic=False)

    def _load(self) -> None:
        state = torch.load(self.checkpoint_path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.log = Log(**state["log"])
        self.log.resumed.append(self.log.step)

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

    def step(self, batch: samples.Batch, fraction: float) -> tuple[float, float]:
        """One update. Returns the weighted loss and the loss on edit answers alone."""
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.forward(batch.ids, batch.positions, batch.allowed)
        losses = token_losses(logits, batch.targets)
        loss = (losses * batch.weights).sum() / batch.weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate(fraction, self.log.step))
        self.network.zero_grad()
        answers = batch.weights == 1.0
        self.log.step += 1
        self.log.tokens += int((batch.targets != samples.IGNORE).sum())
        return loss.item(), losses.detach()[answers].mean().item()

    def train(self, evaluate: Callable[[Network], dict[str, float]], report: Callable[[str], None]) -> None:
        """Loop until the budget is spent."""
        budget = self.plan.minutes * 60
        started = time.monotonic() - self.log.seconds
        saved = reported = self.log.seconds
        smooth: float | None = None
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
        )
        with Progress(*columns) as progress:
            bar = progress.add_task("training", total=1.0)
            for batch in samples.batches(self.maker, SHAPES, period=5):
                self.log.seconds = time.monotonic() - started
                fraction = self.log.step / self.plan.steps if self.plan.steps else self.log.seconds / budget
                if fraction >= 1:
                    break
                _, answer = self.step(batch, fraction)
                smooth = answer if smooth is None else 0.97 * smooth + 0.03 * answer
                progress.update(bar, completed=fraction, description=f"step {self.log.step} answer loss {smooth:.3f}")
                if self.log.seconds - reported >= max(30.0, budget / 40):
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
    made_up = evaluation.edit_set(trained, corpus.held_out, 40, made_up=1.0, limit=1000)

    def measure(network: Network) -> dict[str, float]:
        forward = evaluation.network_forward(network)
        return {
            "exact_real": evaluation.mean(evaluation.exact_matches(forward, real)),
            "exact_made_up": evaluation.mean(evaluation.exact_matches(forward, made_up)),
        }

    run.train(measure, lambda line: print(line, flush=True))
    return run
