"""All habits of a code base, and how they are told to a model in few words."""

from __future__ import annotations

from collections.abc import Iterable

from dovetail.agent.repo.patterns.convention import Convention
from dovetail.agent.repo.patterns.names import naming
from dovetail.agent.repo.patterns.roles import bases, errors, roles
from dovetail.agent.repo.patterns.style import style
from dovetail.agent.repo.patterns.testing import testing
from dovetail.agent.repo.resolve.project import Project
from dovetail.agent.repo.testfiles import supports_tests


def conventions(project: Project) -> list[Convention]:
    """Every habit with enough evidence: names, roles, bases, errors, tests, style."""
    files = {path: facts for path, facts in project.files.items() if facts.language and not facts.skipped}
    own = {path: facts for path, facts in files.items() if not supports_tests(path, facts.language)}
    return [
        *naming(own.values()),
        *roles(own.values()),
        *bases(own.values()),
        *errors(own.values()),
        *testing(files, project.files),
        *style(own, project.read),
    ]


def summary(found: Iterable[Convention]) -> str:
    """The habits by topic, a line each; empty where there are none."""
    topics: dict[str, list[str]] = {}
    for convention in found:
        topics.setdefault(convention.topic, []).append(str(convention))
    return "".join(f"{topic}:\n" + "".join(f"  - {line}\n" for line in lines) for topic, lines in topics.items())
