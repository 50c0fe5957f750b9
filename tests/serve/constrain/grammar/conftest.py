"""Makes the schemas beside these tests importable, and the vocabulary one folder up."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
