"""Runs commands contained: chooses what works on this machine by trying it, and refuses where nothing does."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dovetail.agent.problems import NoSandbox, SandboxProblem
from dovetail.agent.sandbox.backend import Backend, Run
from dovetail.agent.sandbox.bubblewrap import Bubblewrap
from dovetail.agent.sandbox.config import OUTER_VARIABLE, SandboxConfig
from dovetail.agent.sandbox.confined import Confined
from dovetail.agent.sandbox.outcome import Limits, Outcome
from dovetail.agent.sandbox.outer import Outer
from dovetail.agent.sandbox.places import Places, places
from dovetail.agent.sandbox.supervise import supervise

_MAKERS: Mapping[str, type[Bubblewrap] | type[Confined]] = {"bubblewrap": Bubblewrap, "landlock": Confined}
_TRIAL = Limits(timeout=20.0)
_SEEN = "the file outside was read"


class Sandbox:
    """Contains commands for one work tree."""

    def __init__(self, config: SandboxConfig, backend: Backend) -> None:
        self._config = config
        self._backend = backend
        self._places()

    @classmethod
    def choose(cls, config: SandboxConfig) -> Sandbox:
        """The first way of containing commands that really holds one back here.

        Raises:
            NoSandbox: none does, and the owner declares no outer sandbox.
        """
        reasons = []
        for name in config.backends:
            sandbox = cls(config, _MAKERS[name]())
            reason = sandbox.trial()
            if not reason:
                return sandbox
            reasons.append(f"{name}: {reason}")
        if config.outer:
            return cls(config, Outer(config.outer))
        raise NoSandbox(
            "No command is run: nothing here can contain it ("
            + "; ".join(reasons)
            + "). Install bubblewrap (on Debian and "
            "Ubuntu: apt-get install bubblewrap; user namespaces must be allowed), or use a kernel with Landlock "
            f'newer). If all of this already runs in a sandbox, say so: {OUTER_VARIABLE}="what it is".'
        )

    @property
    def name(self) -> str:
        """The backend's."""
        return self._backend.name

    @property
    def gaps(self) -> Sequence[str]:
        """What the backend does not hold, or what does not work under it."""
        return self._backend.gaps

    def protecting(self, paths: Sequence[str]) -> Sandbox:
        """The same, with more paths of the tree read-only."""
        return Sandbox(replace(self._config, protected=(*self._config.protected, *paths)), self._backend)

    def trial(self) -> str:
        """Why commands cannot be contained, found out by running one; empty if they can."""
        with tempfile.TemporaryDirectory(prefix="dovetail-trial-") as folder:
            outside = Path(folder) / "outside"
            outside.write_text("secret")
            command = f"cat {outside} 2>&1 && echo {_SEEN}; echo here"
            try:
                outcome = self.run(["/bin/sh", "-c", command], limits=_TRIAL)
            except FileNotFoundError as error:
                return str(error)
        if _SEEN in outcome.output:
            return "it does not hide files"
        return "" if outcome.ok and "here" in outcome.output else f"it does not start ({outcome.output.strip()[-300:]})"

    def run(
        self,
        command: Sequence[str] | str,
        *,
        timeout: float | None = None,
        memory: int | None = None,
        output_limit: int | None = None,
        network: bool = False,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        limits: Limits | None = None,
    ) -> Outcome:
        """Run a command (text: by the shell) in the work tree and wait for its end, and that of all it started.

        Raises:
            SandboxProblem: it cannot be run as asked.
        """
        words = (_shell(), "-c", command) if isinstance(command, str) else tuple(command)
        if not words or any("\0" in word for word in words):
            raise SandboxProblem("A command has at least one word, and no NUL in any.")
        chosen = _limits(limits or self._config.limits, timeout, memory, output_limit)
        seen = self._places()
        with _private_folder() as private:
            run = Run(words, seen, self._folder(folder), chosen, network, private, os.environ, env or {})
            ended = supervise(self._backend.order(run))
        output = ended.output.text() + (f"{ended.error}\n" if ended.error else "")
        return Outcome(
            command=words,
            exit_code=ended.exit_code,
            output=output,
            ended_by=ended.ended_by,
            seconds=ended.seconds,
            containment=self._backend.name,
            dropped_bytes=ended.output.dropped,
            peak_memory=ended.peak_memory,
            peak_processes=ended.peak_processes,
            notes=tuple(_take_away(seen)),
        )

    def _places(self) -> Places:
        try:
            return places(self._config.root, self._config.readable, self._config.protected)
        except (ValueError, OSError) as error:
            raise SandboxProblem(f"The work tree cannot be handed to commands: {error}.") from error

    def _folder(self, folder: Path | None) -> Path:
        root = self._config.root.resolve()
        chosen = (root / (folder or "")).resolve()
        if not chosen.is_relative_to(root) or not chosen.is_dir():
            raise SandboxProblem(f"{folder} is no folder of the work tree.")
        return chosen


def _limits(limits: Limits, timeout: float | None, memory: int | None, output: int | None) -> Limits:
    try:
        return replace(
            limits,
            timeout=limits.timeout if timeout is None else timeout,
            memory=limits.memory if memory is None else memory,
            output=limits.output if output is None else output,
        )
    except ValueError as error:
        raise SandboxProblem(f"{error}.") from error


def _shell() -> str:
    return "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"


def _take_away(seen: Places) -> Iterator[str]:
    """What a command made in a protected place where nothing was: moved out of the tree, so that nobody obeys it."""
    for path in seen.absent:
        if os.path.lexists(path):
            keep = Path(tempfile.mkdtemp(prefix="dovetail-taken-")) / path.name
            try:
                shutil.move(path, keep)
                became = f"it was moved to {keep}"
            except OSError:  # closed folders cannot be moved to another disk
                _remove(path)
                became = "it was deleted"
            yield f"{path.relative_to(seen.root)} is protected and was made by this command: {became}."


@contextmanager
def _private_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dovetail-run-"))
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Delete what a command made, also where it took rights from itself. Follows no link."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    os.chmod(folder, stat.S_IRWXU)
    for current, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(current, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU, follow_symlinks=True)
    shutil.rmtree(folder, ignore_errors=True)
