"""Mistakes that were put into real packages: mutants (mutate.py) drawn at random, of which each is noticed by a test of the package."""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """One mutant, by what it is, and the test file that notices it."""

    package: str
    path: str
    function: str
    line: int
    what: str
    test: str


MISTAKES = (
    Mistake("cachetools", "src/cachetools/__init__.py", "TLRUCache.expire", 606, "or became and", "tests/test_tlru.py"),
    Mistake("inflection", "inflection/__init__.py", "_irregular", 127, "1 became 2", "test_inflection.py"),
    Mistake("parse", "parse.py", "date_convert", 257, "60 became 61", "tests/test_parse.py"),
    Mistake("toolz", "toolz/itertoolz.py", "_merge_sorted_binary_key", 186, "1 became 2", "toolz/tests/test_itertoolz.py"),
    Mistake("cachetools", "src/cachetools/__init__.py", "TTLCache.__getitem__", 417, "< became <=", "tests/test_ttl.py"),
    Mistake("inflection", "inflection/__init__.py", "ordinal", 226, "100 became 101", "test_inflection.py"),
    Mistake("parse", "parse.py", "Parser._to_group_name", 627, "1 became 2", "tests/test_parse.py"),
    Mistake("toolz", "toolz/itertoolz.py", "frequencies", 549, "1 became 2", "toolz/tests/test_itertoolz.py"),
    Mistake("cachetools", "src/cachetools/__init__.py", "TLRUCache.__delitem__", 572, "arguments were swapped", "tests/test_tlru.py"),
    Mistake("inflection", "inflection/__init__.py", "camelize", 168, "0 became 1", "test_inflection.py"),
    Mistake("parse", "parse.py", "Parser._handle_field", 785, "8 became 9", "tests/test_parse.py"),
    Mistake("toolz", "toolz/itertoolz.py", "pluck", 794, "arguments were swapped", "toolz/tests/test_itertoolz.py"),
    Mistake("cachetools", "src/cachetools/keys.py", "_HashedTuple.__hash__", 18, "is became is not", "tests/test_keys.py"),
    Mistake("toolz", "toolz/dicttoolz.py", "merge_with", 58, "not was lost", "toolz/tests/test_dicttoolz.py"),
    Mistake("cachetools", "src/cachetools/keys.py", "hashkey", 41, "+ became -", "tests/test_keys.py"),
    Mistake("toolz", "toolz/dicttoolz.py", "merge", 33, "== became !=", "toolz/tests/test_dicttoolz.py"),
    Mistake("cachetools", "src/cachetools/_decorators.py", "_cached_unlocked_info", 41, "0 became 1", "tests/test_cached.py"),
    Mistake("toolz", "toolz/dicttoolz.py", "update_in", 296, "in became not in", "toolz/tests/test_dicttoolz.py"),
    Mistake("cachetools", "src/cachetools/_decorators.py", "_cached_wrapper", 140, "is became is not", "tests/test_cached.py"),
    Mistake("toolz", "toolz/functoolz.py", "InstanceProperty.__get__", 159, "is became is not", "toolz/tests/test_functoolz.py"),
    Mistake("cachetools", "src/cachetools/_decorators.py", "_uncached_info", 79, "0 became 1", "tests/test_cached.py"),
    Mistake("toolz", "toolz/functoolz.py", "num_required_args", 872, "is became is not", "toolz/tests/test_functoolz.py"),
    Mistake("toolz", "toolz/functoolz.py", "curry.__get__", 343, "is became is not", "toolz/tests/test_functoolz.py"),
)  # fmt: skip
