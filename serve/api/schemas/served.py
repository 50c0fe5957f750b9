"""Answers about the server and what it serves: models, cards, health; and of the endpoints that ask no model."""

from __future__ import annotations

from typing import Any, Literal

from dovetail.serve.api.schemas.shared import CodeFinding, Wire


class ServedModelEntry(Wire):
    """A model or an adapter (then with its ``parent``)."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    max_model_len: int
    capabilities: list[str]
    embedding_length: int | None = None
    license: str | None = None
    parent: str | None = None


class ServedModelList(Wire):
    """What is served; ``models`` is the catalogue that Codex reads."""

    object: Literal["list"]
    data: list[ServedModelEntry]
    models: list[dict[str, Any]]


class AnthropicModelEntry(Wire):
    """A model, for requests with the header `anthropic-version`."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: str
    max_input_tokens: int
    max_tokens: int


class AnthropicModelList(Wire):
    """What is served, for requests with the header `anthropic-version`."""

    data: list[AnthropicModelEntry]
    first_id: str | None
    last_id: str | None
    has_more: bool


class EmbeddingEntry(Wire):
    """A vector: numbers, or their little-endian bytes in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Wire):
    """Tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Wire):
    """A vector for each input."""

    object: Literal["list"]
    model: str
    data: list[EmbeddingEntry]
    usage: EmbeddingUsage


class TokenPiece(Wire):
    """A token and what it spells, or its bytes where that is no text."""

    id: int
    piece: str | list[int]


class Tokenized(Wire):
    """Token ids; ``tokens`` holds pieces with ``with_pieces``."""

    tokens: list[int] | list[TokenPiece]
    count: int
    max_model_len: int
    token_strs: list[str] | None = None


class Detokenized(Wire):
    """The text, under the names that llama.cpp and vLLM give it."""

    content: str
    prompt: str


class SecurityScan(Wire):
    """What was found in the files."""

    object: Literal["security.scan"]
    findings: list[CodeFinding]
    blocked: bool
    complete: bool


class Sarif(Wire):
    """The findings as SARIF 2.1.0."""

    version: Literal["2.1.0"]
    runs: list[dict[str, Any]]


class ModerationResult(Wire):
    """One text; ``clause``, ``by`` and ``rule`` where it was flagged."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]
    clause: str | None = None
    by: str | None = None
    rule: str | None = None


class Moderations(Wire):
    """A result for each text."""

    id: str
    model: str
    results: list[ModerationResult]


class CardName(Wire):
    """A card that is kept, and when it was made."""

    id: str
    fingerprint: str
    generated: str


class CardList(Wire):
    """The cards that are kept, the oldest first."""

    object: Literal["list"]
    data: list[CardName]


class CardBlocks(Wire):
    """A card in parts, as the console shows it (`format=blocks`): what each is, and what it holds."""

    id: str
    stale: bool
    blocks: list[list[Any]]


class EnvelopeSignature(Wire):
    """A signature of the payload, in base64."""

    keyid: str
    sig: str


class CardEnvelope(Wire):
    """A signed card (`format=dsse`): ``payload`` is an in-toto statement in base64."""

    payloadType: str
    payload: str
    signatures: list[EnvelopeSignature]


class Alive(Wire):
    """The server lives."""

    status: Literal["ok"]
    server: Literal["dovetail"]
    version: str


class Ready(Wire):
    """Requests are taken; ``model`` where no keys are asked for."""

    status: Literal["ready"]
    server: Literal["dovetail"]
    model: str | None = None
