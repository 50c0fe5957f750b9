"""What the API needs to know of the model it serves. Says what it must do, not which tokenizer library does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from dovetail.serve.types import Markers, Pooling, SourceFile

ChatMessage = dict[str, Any]
"""A checked message: ``role`` and ``content`` are strings; assistant and tool messages may carry ``tool_calls``,
``tool_call_id``, ``name`` and ``reasoning_content``, in the form of Chat Completions."""


class RenderChat(Protocol):
    """Prompt token ids of a conversation, ready for the assistant's answer."""

    def __call__(
        self, messages: list[ChatMessage], tools: Sequence[OfferedTool] = (), effort: str | None = None
    ) -> list[int]:
        """Raises UserError where the template refuses."""
        ...


class ToolConstraint(Protocol):
    """What the input of a custom tool is held to: a Lark grammar or a regular expression."""

    @property
    def syntax(self) -> Literal["lark", "regex"]: ...

    @property
    def definition(self) -> str: ...


class OfferedTool(Protocol):
    """A tool as a dialect is told of it; conversation.Tool is one."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any] | None: ...

    @property
    def kind(self) -> Literal["function", "custom"]: ...

    @property
    def grammar(self) -> ToolConstraint | None: ...

    @property
    def strict(self) -> bool: ...


class CallHead(Protocol):
    """How the call of a tool begins in the output (models/dialects/pieces.py)."""

    @property
    def pattern(self) -> str: ...

    @property
    def style(self) -> Literal["json", "tagged", "plain", "python"]: ...

    @property
    def tags(self) -> tuple[str, str, str]: ...


class DialectPiece(Protocol):
    """What a dialect read: ``call`` begins a call and its text is the tool's name; ``end`` ends it."""

    @property
    def kind(self) -> Literal["text", "reasoning", "call", "arguments", "end"]: ...

    @property
    def text(self) -> str: ...


class DialectReader(Protocol):
    """Reads one answer, in any chunking; never raises, never loses text."""

    def feed(self, text: str) -> Sequence[DialectPiece]:
        """What became certain with this text."""
        ...

    def finish(self) -> Sequence[DialectPiece]:
        """What was held back when the output ended."""
        ...


class Dialect(Protocol):
    """How the model writes reasoning and tool calls."""

    @property
    def reasons(self) -> bool:
        """Whether it has reasoning of its own."""
        ...

    @property
    def plain_inputs(self) -> bool:
        """Whether inputs of custom tools can be held to Lark grammars."""
        ...

    @property
    def visible_ids(self) -> tuple[int, ...]:
        """Special tokens that belong to the dialect: engine requests ask for their spelling in the text."""
        ...

    def reader(self, tools: Sequence[OfferedTool], prompt: Sequence[int] = ()) -> DialectReader:
        """For one answer to ``prompt``; without tools nothing is read as a call."""
        ...

    def heads(self, tools: Sequence[OfferedTool]) -> Sequence[CallHead | None]:
        """How calls of each of ``tools`` begin; None where one cannot be followed while it is written."""
        ...

    @property
    def spellings(self) -> dict[int, str]:
        """What the visible special tokens stand for in the text."""
        ...

    def grammar(
        self,
        tools: Sequence[OfferedTool],
        prompt: Sequence[int] = (),
        *,
        required: bool,
        parallel: bool,
        answer: str | None = None,
    ) -> str | None:
        """A Lark grammar (as llguidance reads it) of an answer that may, or must, call ``tools``; None: none is known.

        ``answer``: a Lark expression of what the answer is if it is no call; None: any text.
        """
        ...


RenderEdit = Callable[[tuple[SourceFile, ...], str, Markers], list[int]]
"""Prompt token ids of an edit request: files, instruction, markers."""


class FillInMiddle(Protocol):
    """How the model is asked for the middle of a text."""

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Special tokens that end a middle, beside those that end every output."""
        ...

    def prompt(
        self,
        prefix: str | Sequence[int],
        suffix: str,
        files: Sequence[tuple[str, str]] = (),
        path: str = "",
        limit: int | None = None,
    ) -> tuple[list[int], bool]:
        """Token ids, and whether something was left out to keep to ``limit``. ``files``: paths and texts of others."""
        ...


class TextCodec(Protocol):
    """Text to token ids and back."""

    @property
    def size(self) -> int:
        """Number of token ids, special ones included."""
        ...

    @property
    def eos_ids(self) -> frozenset[int]:
        """The ids that end an output."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of ordinary text: what looks like a special token is text."""
        ...

    @property
    def special(self) -> Mapping[str, int]:
        """Special tokens as they are written, and their ids."""
        ...

    def encode_prompt(self, text: str, *, add_bos: bool = True) -> list[int]:
        """Ids of a raw prompt, which is all the client's: special-token strings in it are special tokens. ``add_bos``: begin
        with the beginning-of-sequence token, if the model wants one."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; broken UTF-8 becomes replacement characters."""
        ...

    def token_bytes(self, token: int) -> bytes | None:
        """What ``token`` spells; None for special, control and unused ids."""
        ...


@dataclass(frozen=True, kw_only=True)
class SamplingDefaults:
    """What the model's makers recommend, used where a request says nothing."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """How a model embeds texts. ``encode``: the token ids of a text, framed; ``size``: of a vector, before it is cut."""

    pooling: Pooling
    normalize: bool
    size: int
    encode: Callable[[str], list[int]]


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model as clients see it.

    ``render_chat`` None: the model has no chat template, and /v1/chat/completions says so. ``render_edit`` None: edits are
    asked for through the chat template. ``dialect`` None: all that the model says is text, and it is offered no tools.
    ``fim`` None: the model has no tokens to ask it for the middle of a text. ``embedding`` None: it is asked for no embeddings;
    ``generates`` False: for nothing else. ``predicts`` False: predicted outputs are of no use to its engine. ``licence``: what its directory names; empty: nothing.
    """

    name: str
    created: int
    max_model_len: int
    codec: TextCodec
    render_chat: RenderChat | None = None
    dialect: Dialect | None = None
    render_edit: RenderEdit | None = None
    fim: FillInMiddle | None = None
    embedding: Embedding | None = None
    generates: bool = True
    predicts: bool = True
    licence: str = ""
    defaults: SamplingDefaults = field(default_factory=SamplingDefaults)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What /v1/models lists."""
        chat = ("chat",) if self.render_chat is not None else ()
        edits = ("edits",) if self.render_edit is not None or self.render_chat is not None else ()
        infill = ("infill",) if self.fim is not None else ()
        written = ("completions", *chat, *edits, *infill) if self.generates else ()
        return (*written, "embeddings") if self.embedding is not None else written
