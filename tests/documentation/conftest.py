"""The scene is what a reader's folder holds, and no test of this project."""

from __future__ import annotations

collect_ignore_glob = ["scene/*"]
