"""Installs the clients of make test-e2e into .e2e/, in exact versions; says what is missing where it cannot.

Runs with the standard library alone. Knows nothing of the tests.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).parent / "clients"
CACHE = ROOT / ".e2e"
NPM_FILES = ("package.json", "package-lock.json")
VENVS = ("sdks", "aider", "schemathesis")
NEWEST_FOR_AIDER = (3, 12)


def main() -> int:
    """Install what is not there yet; 1 where something could not be had."""
    CACHE.mkdir(exist_ok=True)
    problems = [problem for problem in (npm_packages(), *map(environment, VENVS)) if problem]
    for problem in problems:
        print(f"make test-e2e: {problem}", file=sys.stderr)
    return int(bool(problems))


def npm_packages() -> str | None:
    """The agents written for Node, and Node itself; their install scripts are not run."""
    wanted = "".join((CLIENTS / name).read_text() for name in NPM_FILES)
    folder, stamp = CACHE / "npm", CACHE / "npm.installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm is missing (any version from 10 on; on Debian: apt-get install npm)"
    print("Installing Codex, Claude Code, opencode, qwen-code, Continue and Node 22 (about 1.3 GB) ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in NPM_FILES:
        shutil.copy(CLIENTS / name, folder)
    # Not `npm ci`: it wants the packages of other platforms in the lock, which not every registry mirror has.
    command = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=folder, check=False).returncode:
        return "npm could not install the agents; its message is above"
    problem = link_programs(folder / "node_modules")
    if problem is None:
        stamp.write_text(wanted)
    return problem


def link_programs(modules: Path) -> str | None:
    """One folder with the programs by their names; Claude Code and opencode as the binaries that their scripts would copy."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    programs = {
        "node": modules / f"node-linux-{machine}" / "bin" / "node",
        "claude": modules / "@anthropic-ai" / f"claude-code-linux-{machine}" / "claude",
        "opencode": modules / f"opencode-linux-{machine}" / "bin" / "opencode",
        "codex": modules / ".bin" / "codex",
        "qwen": modules / ".bin" / "qwen",
        "cn": modules / ".bin" / "cn",
    }
    shutil.rmtree(CACHE / "bin", ignore_errors=True)
    (CACHE / "bin").mkdir()
    for name, program in programs.items():
        if not program.exists():
            return f"{name} has no program for {platform.system()} on {machine}"
        (CACHE / "bin" / name).symlink_to(program)
    return None


def environment(name: str) -> str | None:
    """A virtual environment with the packages of ``clients/NAME.txt``."""
    wanted = (CLIENTS / f"{name}.txt").read_text()
    folder, stamp = CACHE / name, CACHE / f"{name}.installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    if name == "aider" and sys.version_info[:2] > NEWEST_FOR_AIDER:
        return "aider 0.86.2 needs Python 3.12 or older (make PYTHON=python3.12 test-e2e, with a fresh .venv)"
    print(f"Installing the packages of tests/e2e/clients/{name}.txt ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "-r", str(CLIENTS / f"{name}.txt")], check=False).returncode:
        return f"pip could not install tests/e2e/clients/{name}.txt; its message is above"
    stamp.write_text(wanted)
    return None


if __name__ == "__main__":
    sys.exit(main())
