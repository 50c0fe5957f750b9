"""Makes the small vocabulary and the families' example tools importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # babble
TESTS = Path(__file__).parents[3]
sys.path.append(str(TESTS / "serve" / "constrain"))  # byte_pairs
sys.path.append(str(TESTS / "models" / "dialects"))  # offered, shapes
