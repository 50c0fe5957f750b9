"""The messages between the API process and the engine process.

Plain frozen msgspec structs: they cross a socket as MessagePack. This module knows nothing of HTTP, torch or grammars.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Origin = Literal["sampled", "drafted", "forced", "resampled"]
"""How a token came to be: drawn from the model; proposed by a drafter and confirmed by the model; the only continuation
its constraint allowed; drawn again after the constraint had refused the first draw."""

FinishReason = Literal["stop", "length", "cancelled"]
Syntax = Literal["compiler", "tree-sitter", "off"]
"""Which parser vouches for a file: its language's own (Python's ``ast``), tree-sitter's grammar, or none."""


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn. Already validated and complete: the API fills in every default.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 are off. ``logprobs`` is the number of
    alternatives to report beside the chosen token, or None for no log probabilities at all. ``seed`` None: the engine
    draws one per request.
    """

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[int, float] = {}
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None


class SourceFile(msgspec.Struct, frozen=True):
    """One file as the client gave it; ``content`` is exact (line ends, tabs, missing final newline and all)."""

    path: str
    content: str


class Markers(msgspec.Struct, frozen=True):
    """The three marker lines of a search/replace block, without their newline. No given file may contain such a line."""

    search: str = "<<<<<<< SEARCH"
    divider: str = "======="
    replace: str = ">>>>>>> REPLACE"


EditFormat = Literal["blocks", "apply_patch", "unified_diff", "whole_file", "str_replace"]
SyntaxGating = Literal["each", "final", "off"]
"""When edited files must parse: after every edit, only when the output ends, or never."""

LineEnds = Literal["own", "verbatim"]
"""What a model reads and writes of a file's line ends: line feeds only, its new lines getting the file's own ends (and a byte
order mark stays out of sight); or the bytes as they are, for texts that clients apply themselves."""

FileOperation = Literal["create", "delete", "rename"]
ProtectedLines = tuple[str, int, int]
"""A path, and the first and last line, from 1, that no edit may quote, replace or insert between."""


class EditSpec(msgspec.Struct, frozen=True, kw_only=True, tag="edits"):
    """Hold the output to edits of ``files`` in a format (see docs/edits.md).

    ``markers`` matter to blocks only. ``operations``: what may happen to whole files, where the format has words for it.
    ``policy``: documents that all hold, each as JSON text (see docs/policy.md).
    """

    files: tuple[SourceFile, ...]
    markers: Markers = Markers()
    format: EditFormat = "blocks"
    syntax: SyntaxGating = "each"
    protected: tuple[ProtectedLines, ...] = ()
    operations: tuple[FileOperation, ...] = ()
    line_ends: LineEnds = "verbatim"
    policy: tuple[str, ...] = ()


GrammarKind = Literal["json_schema", "json_object", "regex", "lark", "choice"]
Whitespace = Literal["flexible", "compact"]
"""Around the tokens of JSON: at most one space, or one line feed and an indentation; or none at all."""


class GrammarSpec(msgspec.Struct, frozen=True, kw_only=True, tag="grammar"):
    """Hold the output to a grammar.

    ``source``: a JSON schema as JSON text, a regular expression, a Lark grammar, or the choices as a JSON list of strings;
    nothing for any JSON object. ``param``: the request field it came from, which errors name. ``lenient``: keywords of a
    JSON schema that cannot be enforced are left out instead of refused. ``special_tokens``: token ids that a Lark grammar
    may name as ``<[id]>``; no other special token ever comes through a grammar.
    """

    kind: GrammarKind
    source: str = ""
    param: str = "response_format"
    whitespace: Whitespace = "flexible"
    lenient: bool = False
    special_tokens: tuple[int, ...] = ()


class KnownFile(msgspec.Struct, frozen=True):
    """What a conversation has shown of a file: ``pieces`` of consecutive text; one piece where they are ``whole``."""

    path: str
    pieces: tuple[str, ...]
    whole: bool = False


CarrierStyle = Literal["json", "tagged", "plain", "python", "blocks"]
"""How a call's arguments are written: a JSON object; values as they are, between tags; one text as it is (a custom tool);
keyword arguments of Python; or no call at all, but a search/replace block in plain text."""


class CarrierTool(msgspec.Struct, frozen=True, kw_only=True):
    """An edit tool as the output writes its calls.

    ``head``: a regular expression of what stands before the arguments. ``old``, ``new``, ``path``, ``everywhere``: the
    parameters that hold the quoted text, the new one, the file, and whether all occurrences are replaced. ``patch``: the
    parameter that holds an ``apply_patch`` text instead (or a shell script with such a text in it). ``content``: the one that holds a whole file; ``edits``: the one that holds a list of objects with ``old``, ``new`` and ``everywhere``, each about what the one before it
    has left; ``everywhere_first``: what comes before ``old`` says all there is to say about occurrences; ``command``: the one that says what a call does (``view``: nothing to the file). ``empty_old``: an empty old text has a meaning of its own. ``tags``, of the tagged style: what opens a name, what stands
    between it and its value, what closes the value.
    """

    name: str
    head: str
    style: CarrierStyle = "json"
    path: str = ""
    old: str = ""
    new: str = ""
    everywhere: str = ""
    everywhere_first: bool = False
    patch: str = ""
    content: str = ""
    command: str = ""
    edits: str = ""
    empty_old: bool = False
    tags: tuple[str, str, str] = ("", "", "")


class CarrierSpec(msgspec.Struct, frozen=True, kw_only=True, tag="carriers"):
    """Hold the text that calls of edit tools quote to what is known of the files; all else to ``grammar``, if there is one.

    ``folder``: what relative paths are of. ``policy``: as Policy.texts. ``spellings``: those of special tokens, by id, where they are part of the output.
    """

    files: tuple[KnownFile, ...]
    tools: tuple[CarrierTool, ...]
    folder: str = ""
    policy: tuple[str, ...] = ()
    grammar: GrammarSpec | None = None
    spellings: dict[int, str] = {}


ConstraintSpec = EditSpec | GrammarSpec | CarrierSpec
"""What may constrain an output."""


Pooling = Literal["mean", "last"]
"""What becomes of a prompt's final hidden states: their mean, or the last one."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One generation. ``prompt`` holds token ids; a lower ``priority`` value runs first.

    ``timeout_s``: seconds from its arrival at the engine after which the request ends with a 504. ``prediction``: the output that the client expects, as token ids: drafted from, never trusted. Prompts with different ``cache_salt`` never share cached prefixes: a tenant cannot probe another's by timing. ``visible``: special tokens that are part of the text.
    ``http_request``: the id of the HTTP request that it belongs to, for logs. ``adapter``: the name of a loaded LoRA adapter. ``pooling``: nothing is generated; the prompt's hidden states become one vector.
    """

    request_id: str
    prompt: tuple[int, ...]
    sampling: SamplingParams
    constraint: ConstraintSpec | None = None
    priority: int = 0
    timeout_s: float | None = None
    cache_salt: str | None = None
    prediction: tuple[int, ...] = ()
    visible: tuple[int, ...] = ()
    adapter: str | None = None
    pooling: Pooling | None = None
    http_request: str = ""


class TokenLogprob(msgspec.Struct, frozen=True):
    """Log probability (natural log, of the model's raw distribution) of one emitted token, and of the best others."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one request. ``drafted`` and ``accepted`` count draft tokens verified and confirmed; ``predicted`` and
    ``predicted_accepted`` those of them that the client had predicted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    drafted: int = 0
    accepted: int = 0
    predicted: int = 0
    predicted_accepted: int = 0
    forward_passes: int = 0


Mode = Literal["refuse", "report"]
"""What a policy's finding does: an edit that has it is refused, or the answer tells of it."""
Severity = Literal["low", "medium", "high", "critical"]
FindingKind = Literal["paths", "protected", "limits", "imports", "calls", "patterns", "api"]
Decided = Literal["decoding", "terminator", "after"]
"""Where: at a line's end or before; when an edit wanted to close; on the finished answer."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy finds in an edit. ``rule``: which part of the policy; ``line``: of the new text, from 1; 0: all of it. ``fix``: what to
    write instead, where the rule knows."""

    id: str
    rule: FindingKind
    path: str
    message: str
    line: int = 0
    severity: Severity = "high"
    cwe: str | None = None
    mode: Mode = "refuse"
    decided: Decided = "after"
    fix: str = ""


class ConstraintReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the constraint did to the model's distribution.

    ``min_z`` and ``sum_log_z``: the least, and the summed logarithm of the, probability mass that it left at a step; None, as is
    ``distorted``: the engine does not know.
    ``rollbacks``: times the output went back to its witness. ``forced``: tokens that had no alternative.
    ``resampled``: tokens drawn again after a refusal. ``truncated``: the budget ended inside a block, which was dropped.
    ``distorted``: an edit stands where the model hardly wanted to begin one, and no other place served it better.
    ``overruled``: times tree-sitter and the syntax recogniser disagreed at the end of an edit; tree-sitter wins.
    ``vetoes``: what a policy kept the model from, the first of each rule in each file.
    ``unchecked``: files that are too much for their parsers, so that their syntax was not judged, and why, by path.
    """

    min_z: float | None = 1.0
    sum_log_z: float | None = 0.0
    rollbacks: int = 0
    forced: int = 0
    resampled: int = 0
    truncated: bool = False
    overruled: int = 0
    distorted: bool | None = False
    vetoes: tuple[Finding, ...] = ()
    unchecked: dict[str, str] = {}


class TokensEvent(msgspec.Struct, frozen=True, kw_only=True, tag="tokens"):
    """New output. ``text`` may lag behind ``tokens`` (half a character, or the beginning of a stop string)."""

    request_id: str
    tokens: tuple[int, ...]
    text: str
    origins: tuple[Origin, ...]
    logprobs: tuple[TokenLogprob, ...] | None = None


class RollbackEvent(msgspec.Struct, frozen=True, kw_only=True, tag="rollback"):
    """Forget everything after the first ``keep_tokens`` tokens and ``keep_chars`` characters of the output."""

    request_id: str
    keep_tokens: int
    keep_chars: int


class FinishEvent(msgspec.Struct, frozen=True, kw_only=True, tag="finish"):
    """The last event of a request that ended well. ``stop``: the stop string or token id that ended it.

    ``vector``: what a request with ``pooling`` asked for, as little-endian float32.
    """

    request_id: str
    reason: FinishReason
    usage: Usage
    stop: str | int | None = None
    constraint: ConstraintReport | None = None
    vector: bytes = b""


class ErrorEvent(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """The last event of a request that failed; ``status`` and ``code`` as in serve/errors.py."""

    request_id: str
    status: int
    code: str
    message: str
    param: str | None = None


Event = TokensEvent | RollbackEvent | FinishEvent | ErrorEvent


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of the engine: gauges, and counters since its start.

    ``constraint_s``: seconds of steps spent in constraints; ``awaited_s``: spent waiting for their answers; ``sat_out``: times
    a sequence sat out steps instead; ``overruled``: as in ConstraintReport. ``resident_bytes``: memory of the engine's process;
    ``device_bytes`` of ``device_total_bytes`` are in use on its accelerator, 0 without one.
    """

    running: int = 0
    waiting: int = 0
    kv_blocks_total: int = 0
    kv_blocks_free: int = 0
    kv_blocks_cached: int = 0
    steps: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    rollbacks: int = 0
    preemptions: int = 0
    constraint_s: float = 0.0
    awaited_s: float = 0.0
    sat_out: int = 0
    overruled: int = 0
    restarts: int = 0
    resident_bytes: int = 0
    device_bytes: int = 0
    device_total_bytes: int = 0
    finished: dict[str, int] = {}


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a loaded engine says of its model. ``dtype``: how the weights are stored, such as bfloat16 or int4;
    ``kernels``: which are in use, in a line."""

    architecture: str
    parameters: int
    weight_bytes: int
    dtype: str
    vocab_size: int
    max_model_len: int
    kernels: str = ""
