"""Runs every generator of a page or a section: python docs/generators/write_references.py [--check]."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    scripts = sorted(Path(__file__).parent.glob("list_*.py"))
    stale = [
        each.name
        for each in scripts
        if subprocess.run([sys.executable, str(each), *sys.argv[1:]], check=False).returncode
    ]
    for name in stale:
        print(f"not up to date: what {name} writes; run make references")
    sys.exit(bool(stale))
