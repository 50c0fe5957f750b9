"""What a grammar may cost: sizes checked before it is compiled, and the budgets llguidance works under. Knows no request.

llguidance follows chains of definitions by recursion, and a chain too long ends the process: 500 definitions fit an
ordinary stack of 8 MB, 1,000 do not (docs/log.md). Compilations run on stacks of their own that hold far more than the
limits here allow (threads.py).
"""

from __future__ import annotations

from llguidance import LLParserLimits

MAX_SOURCE_CHARACTERS = 512 * 1024
MAX_DEPTH = 60
"""Levels of nesting in the JSON of a schema; llguidance's own reader ends at 128, and a Lark grammar may embed it."""

MAX_DEFINITIONS = 500
"""Places of one schema that ``$ref`` points to."""

MAX_RULES = 1000
"""Rules and terminals of a Lark grammar."""

MAX_CHOICES = 20_000
MAX_MULTIPLE = 10_000
"""Largest ``multipleOf``: its automaton has as many states, and a million of them take 8 s and 440 MB."""

COMPILE_SECONDS = 5.0
"""How long one grammar may take: what takes as long in the process that checks it is killed there (checks.py)."""

STACK_BYTES = 512 << 20
"""Address space, not memory: only what is touched is ever taken."""

PARSER_LIMITS = LLParserLimits(max_lexer_states=50_000, verbose_errors=False)
