"""The environment of a contained command: an allow-list, no secrets, no settings that reach into programs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dovetail.agent.problems import SandboxProblem

_PASSED = re.compile(
    r"LANG|LANGUAGE|LC_[A-Z]+|TZ|VIRTUAL_ENV|JAVA_HOME|GOROOT|CARGO_TERM_COLOR|SOURCE_DATE_EPOCH|CC|CXX|PYTHONHASHSEED"
)
_SECRET = re.compile(
    r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|COOKIE|AUTH|PRIVATE|SIGNING|DSN$|_URL$|_URI$", re.IGNORECASE
)
_REACHES_IN = re.compile(
    r"LD_.*|GIT_.*|SSH_.*|DBUS_.*|BASH_ENV|ENV|BASH_FUNC.*|DOCKER_.*|KUBE.*|XDG_RUNTIME_DIR|GPG_.*"
)
_FIXED: Mapping[str, str] = {
    "USER": "dovetail",
    "LOGNAME": "dovetail",
    "SHELL": "/bin/sh",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "DOVETAIL_SANDBOX": "1",
}
_CACHES: Mapping[str, str] = {
    "XDG_CACHE_HOME": ".cache",
    "MYPY_CACHE_DIR": ".cache/mypy",
    "RUFF_CACHE_DIR": ".cache/ruff",
    "HYPOTHESIS_STORAGE_DIRECTORY": ".cache/hypothesis",
    "COVERAGE_FILE": ".cache/coverage",
    "GOCACHE": ".cache/go",
    "npm_config_cache": ".cache/npm",
}
_TOOLCHAINS: Mapping[str, str] = {"RUSTUP_HOME": ".rustup", "GOMODCACHE": "go/pkg/mod"}
"""Where tools would look in the user's home, which is not theirs here; shown read-only (places.py)."""

_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def environment(
    outside: Mapping[str, str], visible: Sequence[Path], home: Path, temporary: Path, extra: Mapping[str, str]
) -> dict[str, str]:
    """What the command gets: a few harmless variables, private folders, and what its caller adds.

    Raises:
        SandboxProblem: an added variable looks like a secret, or would load code or reach another program.
    """
    for name, value in extra.items():
        if "=" in name or "\0" in name + value or not name:
            raise SandboxProblem(f"{name!r} is no environment variable that can be set.")
        if _SECRET.search(name) or _REACHES_IN.fullmatch(name):
            raise SandboxProblem(
                f"The environment variable {name} is not given to a contained command: "
                "it looks like a secret, or reaches other programs."
            )
    passed = {name: value for name, value in outside.items() if _PASSED.fullmatch(name)}
    folders = {name: str(home / path) for name, path in _CACHES.items()}
    path = [each for each in outside.get("PATH", "").split(os.pathsep) if _is_visible(each, visible)]
    search = dict.fromkeys([*path, *_SYSTEM_PATH])
    real = Path(outside.get("HOME", "/nowhere"))
    tools = {name: str(real / inner) for name, inner in _TOOLCHAINS.items() if os.path.isdir(real / inner)}
    own = {"PATH": os.pathsep.join(search), "HOME": str(home), "TMPDIR": str(temporary)}
    return {**passed, **_FIXED, **folders, **tools, **own, **extra}


def _is_visible(path: str, visible: Sequence[Path]) -> bool:
    return os.path.isabs(path) and any(Path(os.path.normpath(path)).is_relative_to(each) for each in visible)
