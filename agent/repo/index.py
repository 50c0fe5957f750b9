"""The index of a repository: facts of every file, kept up to date by content, and the questions that they answer.

Made for one thread. What is derived from the facts (graph, ranking, layers) is made when first asked for and dropped by a change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

from dovetail.agent.problems import FileProblem
from dovetail.agent.repo.calls import Certainty, Names
from dovetail.agent.repo.facts import FileFacts, Reference, Symbol, decode
from dovetail.agent.repo.files import LARGEST, digest_of, linked_folder, list_files, read, stamp
from dovetail.agent.repo.graph import Edge, ImportGraph, import_graph
from dovetail.agent.repo.impact import Impact, impact
from dovetail.agent.repo.languages import languages_of
from dovetail.agent.repo.layers import Layers, read_layers
from dovetail.agent.repo.patterns.convention import Convention
from dovetail.agent.repo.patterns.summary import conventions, summary
from dovetail.agent.repo.ranking import Ground, repo_map
from dovetail.agent.repo.resolve.project import Project
from dovetail.agent.repo.scan import Parsers, Task
from dovetail.agent.repo.store import Seen, Store, default_cache
from dovetail.agent.repo.tokens import estimate_tokens

_RACY_NANOSECONDS = 2_000_000_000
"""A file written this shortly before it was read may change again without a new stamp: it is read again."""


class Changes(NamedTuple):
    """What a refresh found different."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


class Caller(NamedTuple):
    """A use of a definition, and how sure it is that it means that one."""

    reference: Reference
    certainty: Certainty


class _Derived:
    """What follows from the facts: made when first asked for, for one state of the files."""

    def __init__(self, files: Mapping[str, FileFacts], links: Mapping[str, str], root: Path) -> None:
        self._files = files
        self._root = root
        self.project = Project(files, links, self._text)

    def _text(self, path: str) -> str | None:
        content = read(self._root, path)
        return None if content is None else content.decode("utf-8", "replace")

    @cached_property
    def graph(self) -> ImportGraph:
        return import_graph(self.project)

    @cached_property
    def defined(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, facts in self._files.items():
            for symbol in facts.definitions:
                found.setdefault(symbol.name, set()).add(path)
        return found

    @cached_property
    def used(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, facts in self._files.items():
            for name in facts.uses:
                found.setdefault(name, set()).add(path)
            for made in facts.imports:
                for name in {made.name, made.alias} - {"", "*"}:
                    found.setdefault(name, set()).add(path)
        return found

    @cached_property
    def names(self) -> Names:
        return Names(self._files, self.graph, self.defined)

    @cached_property
    def layers(self) -> Layers:
        return read_layers(self.project, self.graph)

    @cached_property
    def conventions(self) -> list[Convention]:
        return conventions(self.project)


class RepoIndex:
    """A repository's files and what is known of them. ``open`` makes one; ``refresh`` brings it up to date."""

    def __init__(self, root: Path, store: Store) -> None:
        self.root = root
        self._store = store
        self._parsers = Parsers(root)
        self._seen: dict[str, Seen] = store.seen()
        self._files: dict[str, FileFacts] = {}
        self._links: dict[str, str] = {}
        self._derived = _Derived(self._files, self._links, root)

    @classmethod
    def open(cls, root: Path, cache: Path | None = None) -> Self:
        """The index of the repository at ``root``, read from the cache as far as it knows the files' contents.

        ``cache`` is a folder outside of the repository; by default one below the user's cache folder.
        """
        full = Path(os.path.realpath(root))
        if not full.is_dir():
            raise FileProblem(f"{root} is not a folder.")
        index = cls(full, Store(full, cache if cache is not None else default_cache()))
        index.refresh()
        return index

    @property
    def files(self) -> Mapping[str, FileFacts]:
        """Every file by its path relative to the root; those in no known language have no facts but their digest."""
        return MappingProxyType(self._files)

    def refresh(self) -> Changes:
        """Look at the files again; read those whose stamp changed, parse those whose content is new."""
        paths, links = self._listed()
        looked = {path: seen for path in paths if (seen := self._look(path)) is not None}
        tasks = self._unknown(looked)
        facts = dict(self._store.facts(task_key(task) for task in tasks))
        fresh: dict[str, bytes] = {}
        for parsed in self._parsers.parse([task for task in tasks if task_key(task) not in facts]):
            key = _key(parsed.digest, parsed.path) if parsed.digest else ""
            if not parsed.digest:
                looked.pop(parsed.path, None)
                continue
            looked[parsed.path] = looked[parsed.path]._replace(key=key)
            fresh[key] = parsed.raw
        changes = self._take(looked, facts | fresh)
        if changes or fresh or looked != self._seen:
            new = {path: seen for path, seen in looked.items() if self._seen.get(path) != seen}
            self._store.save(fresh, new, self._seen.keys() - looked.keys(), {seen.key for seen in looked.values()})
        self._seen = looked
        if changes or links != self._links:
            self._links = links
            self._derived = _Derived(self._files, self._links, self.root)
        return changes

    def definitions(self, name: str) -> list[Symbol]:
        """Definitions of a name, or of a qualified one such as ``Class.method``; in the order of paths and lines."""
        last = name.rpartition(".")[2]
        return [
            symbol
            for path in sorted(self._derived.defined.get(last, ()))
            for symbol in self._files[path].definitions
            if symbol.name == last and (name == last or f".{symbol.qualified}".endswith(f".{name}"))
        ]

    def references(self, name: str) -> list[Reference]:
        """Uses of a name that is not bound locally, wherever they lead; in the order of paths and lines."""
        return [
            reference
            for path in sorted(self._derived.used.get(name, ()))
            for reference in sorted(self._files[path].references_to(name), key=lambda use: use.line)
        ]

    def callers(self, symbol: Symbol) -> list[Caller]:
        """Every use that may mean this definition (calls, bases, imports, mentions), surest first."""
        names = self._derived.names
        found = []
        for name in self._known_as(symbol):
            for reference in self.references(name):
                for meaning in names.meanings(reference):
                    if meaning.symbol == symbol:
                        found.append(Caller(reference, meaning.certainty))
        return sorted(set(found), key=lambda caller: (-caller.certainty, caller.reference))

    def importers(self, path: str) -> list[Edge]:
        """The files that import ``path``, with the line that does."""
        importers = self._derived.graph.importers.get(path, {})
        return [Edge(source, path, importers[source]) for source in sorted(importers)]

    def imports(self, path: str) -> list[Edge]:
        """The files of the repository that ``path`` imports."""
        imports = self._derived.graph.imports.get(path, {})
        return [Edge(path, target, imports[target]) for target in sorted(imports)]

    @property
    def graph(self) -> ImportGraph:
        """The import graph of all files."""
        return self._derived.graph

    def impact(self, changed: str | Symbol | Sequence[str | Symbol]) -> Impact:
        """What may break when these files, symbols or names change: callers, importers, tests that reach them."""
        asked = [changed] if isinstance(changed, str | Symbol) else list(changed)
        return impact(self, [found for each in asked for found in self._meant(each)])

    def map(self, budget: int, focus: Sequence[str] = (), count: Callable[[str], int] = estimate_tokens) -> str:
        """The definitions that matter most, within ``budget`` tokens as ``count`` counts them.

        ``focus`` holds words, names and paths that the task is about.
        """
        derived = self._derived
        return repo_map(
            Ground(self._files, derived.graph, derived.defined, derived.used, derived.names), budget, focus, count
        )

    @property
    def layers(self) -> Layers:
        """The layers and contexts that dovetail.toml declares, or those that the imports suggest."""
        return self._derived.layers

    @property
    def conventions(self) -> list[Convention]:
        """The habits of this code base, each with the counts it rests on."""
        return self._derived.conventions

    def patterns(self) -> str:
        """The habits of this code base as short text for a model."""
        return summary(self._derived.conventions)

    def close(self) -> None:
        """Give the cache's file back, end the parsers' processes."""
        self._parsers.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _meant(self, what: str | Symbol) -> list[str | Symbol]:
        if isinstance(what, Symbol) or what in self._files:
            return [what]
        folder = what.rstrip("/") + "/"
        inside: list[str | Symbol] = [path for path in sorted(self._files) if path.startswith(folder)]
        found = inside or list(self.definitions(what))
        if not found:
            raise FileProblem(f"{what} is neither a file, a folder nor a definition of this repository.")
        return found

    def _known_as(self, symbol: Symbol) -> list[str]:
        """The symbol's name, and those it is imported under."""
        aliases = {
            made.alias
            for path in self._derived.used.get(symbol.name, ())
            for made in self._files[path].imports
            if made.name == symbol.name and made.alias
        }
        return sorted({symbol.name, *aliases})

    def _listed(self) -> tuple[list[str], dict[str, str]]:
        paths: list[str] = []
        links: dict[str, str] = {}
        for path in list_files(self.root):
            target = linked_folder(self.root, path)
            if target is None:
                paths.append(path)
            else:
                links[path] = target
        return paths, links

    def _look(self, path: str) -> Seen | None:
        """A file as it is now: as it was seen if its stamp says so, else by its content."""
        at = time.time_ns()
        now = stamp(self.root, path)
        if now is None:
            return None
        before = self._seen.get(path)
        if (
            before is not None
            and before.stamp == now
            and max(now.modified, now.changed) < before.at - _RACY_NANOSECONDS
        ):
            return before
        if now.size > LARGEST:
            return Seen(now, at, _key(f"large-{now.size}-{now.modified}", path))
        content = read(self.root, path)
        return None if content is None else Seen(now, at, _key(digest_of(content), path))

    def _unknown(self, looked: Mapping[str, Seen]) -> list[Task]:
        """The source files whose facts are not at hand."""
        tasks = []
        for path, seen in looked.items():
            languages = languages_of(path)
            known = self._files.get(path)
            if languages and seen.stamp.size <= LARGEST and (known is None or _key(known.digest, path) != seen.key):
                tasks.append(Task(path, languages, seen.stamp.size, seen.key.partition(":")[0]))
        return tasks

    def _take(self, looked: Mapping[str, Seen], facts: Mapping[str, bytes]) -> Changes:
        added: list[str] = []
        changed: list[str] = []
        for path, seen in looked.items():
            digest = seen.key.partition(":")[0]
            known = self._files.get(path)
            if known is not None and known.digest == digest:
                continue
            (changed if known is not None else added).append(path)
            if seen.key in facts:
                self._files[path] = decode(facts[seen.key], path, digest)
            else:
                skipped = f"larger than {LARGEST // 1024} KiB" if seen.stamp.size > LARGEST else ""
                self._files[path] = FileFacts(path, "", digest, skipped=skipped)
        removed = sorted(self._files.keys() - looked.keys())
        for path in removed:
            del self._files[path]
        if added:
            self._files = dict(sorted(self._files.items()))
        return Changes(tuple(sorted(added)), tuple(sorted(changed)), tuple(removed))


def task_key(task: Task) -> str:
    """The key of a task's facts in the cache."""
    return _key(task.digest, task.path)


def _key(digest: str, path: str) -> str:
    """Facts depend on the content and on the languages that a path may be written in."""
    return f"{digest}:{','.join(languages_of(path))}"
