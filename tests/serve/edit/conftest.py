"""Makes driver, samples, snippets and the test vocabulary importable by the tests of this folder."""

import sys
from pathlib import Path

_CONSTRAIN = Path(__file__).parent.parent / "constrain"
sys.path[:0] = [str(Path(__file__).parent), str(_CONSTRAIN), str(_CONSTRAIN / "syntax")]
