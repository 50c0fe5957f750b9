"""``dovetail eval``: runs suites with a bar, keeps results where the server's card finds them, puts two side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate import compare
from dovetail.agent.evaluate.continuation import Prediction, Syntax, halves
from dovetail.agent.evaluate.debugging import Debugging, debugging_tasks
from dovetail.agent.evaluate.edits import Edits, edit_tasks
from dovetail.agent.evaluate.from_file import suite_from
from dovetail.agent.evaluate.infill import Infill, infill_tasks
from dovetail.agent.evaluate.latency import Latency, latency_tasks
from dovetail.agent.evaluate.pieces import pieces
from dovetail.agent.evaluate.refactors import Refactors, refactor_tasks
from dovetail.agent.evaluate.run import deployment_of, read_result, run
from dovetail.agent.evaluate.sources import default_source, snippets
from dovetail.agent.evaluate.suite import Suite
from dovetail.agent.problems import FileProblem, ServerProblem, ServerUnreachable
from dovetail.agent.state_folder import state_folder

_MAKERS: Mapping[str, Callable[[Path, int, int], Suite]] = {
    "edits": lambda source, n, seed: Edits(edit_tasks(snippets(source, seed), n, seed)),
    "infill": lambda source, n, seed: Infill(infill_tasks(snippets(source, seed), n, seed)),
    "syntax": lambda source, n, seed: Syntax(halves(snippets(source, seed), n)),
    "prediction": lambda source, n, seed: Prediction(halves(snippets(source, seed), n)),
    "latency": lambda source, n, seed: Latency(latency_tasks(halves(snippets(source, seed), n))),
    "debugging": lambda source, n, seed: Debugging(debugging_tasks(pieces(source, seed), n, seed)),
    "refactors": lambda source, n, seed: Refactors(refactor_tasks(pieces(source, seed), n, seed)),
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "all": ("edits", "infill", "syntax", "prediction", "latency"),
    "agent": ("debugging", "refactors"),
}
"""Names for several: those that ask the model alone, and those that let the agent work, which takes minutes a task."""
NAMES = ", ".join((*_MAKERS, *GROUPS))


def default_folder() -> Path:
    """Where ``dovetail serve`` on this machine looks for results."""
    return state_folder() / "card" / "evaluations"


def make_suite(name: str, source: Path | None, samples: int, seed: int) -> Suite:
    """A suite by its name, or from a file.

    Raises:
        FileProblem: there is no such suite, or no task can be made for it.
    """
    if name not in _MAKERS:
        path = Path(name)
        if not path.is_file():
            raise FileProblem(f"{name!r} is neither a suite ({NAMES}) nor a file of JSON lines.")
        return suite_from(path, samples, _MAKERS)
    suite = _MAKERS[name](source or default_source(), samples, seed)
    if not suite.tasks:
        raise FileProblem(f"No task of {name} can be made from {source or default_source()}.")
    return suite


def evaluate(
    names: Sequence[str],
    client: DovetailClient,
    source: Path | None,
    samples: int,
    seed: int,
    out: Path,
    console: Console,
    model: str | None = None,
) -> list[Path]:
    """Run suites one after another; their results. ``model``: the one that ``client`` names in its requests.

    Raises:
        ServerProblem: the server refused some of them; the others were run.
    """
    chosen = [each for name in names for each in GROUPS.get(name, (name,))]
    of = deployment_of(client, model)
    found: list[Path] = []
    refused: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        for name in chosen:
            suite = make_suite(name, source, samples, seed)
            bar = bars.add_task(suite.name, total=len(suite.tasks))
            where = f" --source {source}" if source is not None else ""
            whose = f" --model {model}" if model is not None else ""
            command = f"dovetail eval {name} --samples {samples} --seed {seed}{where}{whose}"
            try:
                found.append(run(suite, client, of, out, seed, command, partial(_tell, bars, bar)))
            except ServerUnreachable:
                raise
            except ServerProblem as problem:
                refused.append(f"{suite.name}: {problem}")
    for path in found:
        show(path, console)
    if refused:
        raise ServerProblem("Not measured: " + " ".join(refused))
    return found


def _tell(bars: Progress, bar: TaskID, done: int, total: int) -> None:
    bars.update(bar, completed=done, total=total)


def show(path: Path, console: Console) -> None:
    """A result as a table."""
    result = read_result(path)
    table = Table(result["suite"], "value [95 %]", "n", box=None)
    for metric in result["metrics"]:
        table.add_row(metric["about"], compare.shown(metric), str(metric["n"]))
    console.print(table)
    console.print(str(path), style="dim", markup=False, highlight=False, soft_wrap=True)


def show_comparison(first: Path, second: Path, console: Console) -> None:
    """Two results side by side. Raises FileProblem."""
    one, other = read_result(first), read_result(second)
    for name, result in (("A", one), ("B", other)):
        kind = result.get("quantisation")
        weights = {"": "", "none": ", weights as they are stored"}.get(kind or "", f", weights in {kind}")
        deployment = f"{name}: {result['model']} {result['fingerprint']}{weights}"
        console.print(deployment, markup=False, highlight=False, soft_wrap=True)
    table = Table(one["suite"], "A", "B", "change", "more than chance", box=None)
    for each in compare.differences(one, other):
        told = "not known" if each.apart is None else "yes" if each.apart else "no"
        table.add_row(each.about, each.first, each.second, each.change, told)
    console.print(table)
