"""What often is the cause of a kind of failure: hints for a model, never an edit."""

from __future__ import annotations

_ALWAYS = ("a wrong operator or comparison", "a wrong variable, or arguments in the wrong order")
_BY_MODE: dict[str, tuple[str, ...]] = {
    "a wrong value": ("a range or slice that ends one too early or too late", "a wrong default or constant", "a value that is shared between calls", "a wrong return value"),
    "nothing where a value was expected": ("a missing check for None", "a path through the function that returns nothing"),
    "a key that is not there": ("a misspelled or wrong key", "a missing default for an absent key"),
    "a place beyond the end": ("a range or slice that ends one too late", "an empty input that is not handled"),
    "a name that is not known": ("a missing import", "a misspelled name"),
    "an import that is not there": ("a wrong module name", "a wrong name in an import"),
    "an attribute that is not there": ("a misspelled attribute", "a wrong variable", "a missing check for None"),
    "a wrong type or wrong arguments": ("arguments in the wrong order", "a missing conversion", "a missing check for None"),
    "no or another exception than expected": ("a wrong exception type", "a check that is missing or inverted"),
    "encoding": ("a missing or wrong encoding where bytes become text", "text and bytes mixed up"),
    "a division by zero": ("an empty input that is not handled",),
    "recursion without end": ("a missing or wrong base case",),
    "it does not come to an end": ("a loop whose condition never becomes false", "a counter that is not advanced"),
}  # fmt: skip


def hints(mode: str) -> tuple[str, ...]:
    """Usual causes of this kind of failure, the likeliest first."""
    return (*_BY_MODE.get(mode, ()), *_ALWAYS)
