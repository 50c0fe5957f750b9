"""What one family of models must say of its dialect, and what is the same for most. Knows no tokenizer and no template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.models.dialects.lark import Lark
from dovetail.models.dialects.messages import Message
from dovetail.models.dialects.pieces import CallHead, OfferedTool
from dovetail.models.dialects.reading import Reading

Think = tuple[str, str]


class Family(Protocol):
    """One way to write calls.

    Attributes:
        name: for logs and errors.
        opener: the text that begins the calls of an answer; empty if they begin it without any.
        markers: strings that may be special tokens of the model and belong to the dialect.
        plain_inputs: whether custom tools' inputs can be written as they are, and so be held to a Lark grammar.
    """

    name: str
    opener: str
    markers: tuple[str, ...]
    plain_inputs: bool

    def reader(self, tools: Sequence[OfferedTool], think: Think | None, thinking: bool) -> Reading:
        """For one answer. ``think``: how reasoning is marked; ``thinking``: it has begun in the prompt."""
        ...

    def lead(self, tools: Sequence[OfferedTool]) -> str | None:
        """Without an opener: a regular expression of what no other answer begins with."""
        ...

    def calls(self, tools: Sequence[OfferedTool], parallel: bool, lark: Lark) -> str:
        """The Lark expression of one call, or several, after ``opener``."""
        ...

    def head(self, tool: OfferedTool) -> CallHead | None:
        """How a call of ``tool`` begins; None where its arguments cannot be followed."""
        ...

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Earlier messages as this family's templates read them."""
        ...
