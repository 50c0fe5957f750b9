"""Installs what make test-browser needs: Playwright for Python beside the tests, axe-core into .e2e/browser; Chromium is the system's.

Runs with the standard library alone. Knows nothing of the tests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CACHE = ROOT / ".e2e" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str | None:
    """The system's Chromium."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def main() -> int:
    """Install what is not there yet; 1 where something could not be had."""
    if browser() is None:
        return problem("there is no Chromium (on Debian: apt-get install chromium)")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), "playwright"], check=False).returncode:
        return problem("pip could not install playwright; its message is above")
    if not (CACHE / "node_modules" / "axe-core" / "axe.min.js").exists():
        if shutil.which("npm") is None:
            return problem("npm is missing (on Debian: apt-get install npm)")
        CACHE.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, CACHE)
        npm = ["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(npm, cwd=CACHE, check=False).returncode:
            return problem("npm could not install axe-core; its message is above")
    return 0


def problem(text: str) -> int:
    """Say what is missing."""
    print(f"make test-browser: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
