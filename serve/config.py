"""The server's configuration: frozen, parsed once at the edge from flags, ``DOVETAIL_*`` variables and a TOML file.

Flags win over variables, variables over the file, the file over the defaults. Unknown keys are refused. Loads no model.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import re
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from dovetail.serve.errors import DovetailError

DType = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]
EngineName = Literal["native", "vllm"]
Quantize = Literal["int8", "int4"]
Pooling = Literal["mean", "last"]
KVCacheDType = Literal["auto", "fp8"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
Fsync = Literal["always", "interval", "never"]
WhenFull = Literal["refuse", "count"]
AuditText = Literal["digest", "full"]
Period = Literal["day", "month"]

MIB = 1024 * 1024
ENVIRONMENT_PREFIX = "DOVETAIL_"
NOT_OURS = frozenset({"DOVETAIL_CONFIG", "DOVETAIL_SERVER", "DOVETAIL_API_KEY"})
"""Variables of other parts: the file to read, the server that clients talk to, and the key they bring."""

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_ENGINE_ARG = re.compile(r"(--)?[a-zA-Z][\w-]*=")
_ADMIN = re.compile(r"unix:.+|(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}")
_KUBERNETES = re.compile(r"DOVETAIL_(SERVICE_.*|PORT_.*)")
"""What Kubernetes puts into every container beside a Service called dovetail."""


class ConfigError(DovetailError):
    """The configuration cannot be used; ``param`` is the key at fault."""

    default_status = 400
    default_code = "invalid_configuration"


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything a deployment decides.

    ``model`` None: the embedded model. ``model_name`` None: the directory's name. ``max_model_len`` None: what the model
    says. ``max_draft``: tokens drafted for one sequence and step; 0: no drafts. ``dtype`` auto: as the weights are stored. ``quantize``: store them in 8 or 4 bits. ``kv_cache_memory`` None: a share of what is free.
    ``kv_cache_dtype``, ``kv_offload_...``, ``deterministic``, ``no_graphs``: docs/gpu.md. ``threads`` None: what torch finds. ``port`` 0: any free one.
    ``drain_seconds``: how long requests may go on after the server was asked to end. ``max_output_tokens``: the longest answer, whatever a request asks for; None: what the window leaves. ``model_alias``: other names of
    the model, ``*`` standing for anything. ``store``: file or PostgreSQL URL of stored answers; None: in memory. ``keep_billing_header``: leave the
    changing first line of Claude Code's system prompt in it. ``no_carriers``: let calls of edit tools quote any text.
    ``policy``: a file that says which edits may be made (docs/policy.md). ``acceptable_use``: a file that says which requests are
    declined (docs/acceptable-use.md); None: the one that comes with the server; ``off``: none are.
    ``keys``: file or PostgreSQL URL of API keys and usage; None: nobody is asked for one. ``access``: a file of groups, quotas and
    identity providers. ``admin``: ``HOST:PORT`` or ``unix:PATH`` of the administrators' endpoints. ``tls_client_ca``: whose client
    certificates every connection must bring. ``cors_origin``: web pages that may read answers. (All: docs/access.md.)
    ``audit``: the folder of the audit log; None: there is none; what else begins with audit_: docs/audit.md.
    ``otlp``: where traces go; ``log_format`` json: one object a line (docs/console.md).
    ``require_signature``: a public key; a model that it has not signed is not served (docs/air-gap.md).
    ``card``: the folder of evaluations and of system cards; None: one below the user's state folder. ``card_key``: a private
    key that signs cards (docs/system-card.md).
    ``embeddings``: how hidden states become the vectors of /v1/embeddings, for a model that does not say so itself.
    ``add_model``: more models, ``NAME=DIR:key=value...``; ``idle_unload``: seconds after which one of these that nobody asks
    gives its memory back (docs/several-models.md). ``lora``: adapters, ``NAME=DIR``; ``lora_folder``: where those lie that are loaded at
    run time (docs/adapters.md).
    """

    model: Path | None = None
    model_name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    engine: EngineName = "native"
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    engine_arg: tuple[str, ...] = ()
    device: Device = "auto"
    dtype: DType = "auto"
    quantize: Quantize | None = None
    max_model_len: int | None = None
    max_output_tokens: int | None = None
    max_num_seqs: int = 64
    max_waiting: int = 1024
    max_batched_tokens: int = 2048
    block_size: int = 16
    max_draft: int = 32
    kv_cache_memory: int | None = None
    kv_cache_dtype: KVCacheDType = "auto"
    kv_offload_memory: int = 0
    kv_offload_disk: Path | None = None
    kv_offload_disk_size: int = 8 * 1024 * MIB
    deterministic: bool = False
    no_graphs: bool = False
    threads: int | None = None
    drain_seconds: int = 30
    max_body_bytes: int = 8 * MIB
    any_model_name: bool = False
    model_alias: tuple[str, ...] = ()
    store: str | None = None
    keep_billing_header: bool = False
    no_carriers: bool = False
    docs: bool = False
    policy: Path | None = None
    keys: str | None = None
    access: Path | None = None
    admin: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    cors_origin: tuple[str, ...] = ()
    acceptable_use: Path | None = None
    audit: Path | None = None
    audit_name: str = "audit"
    audit_anchor: Path | None = None
    audit_keys: Path | None = None
    audit_fsync: Fsync = "interval"
    audit_full: WhenFull = "refuse"
    audit_text: AuditText = "digest"
    audit_period: Period = "day"
    audit_retention_days: int | None = None
    audit_seal: Path | None = None
    require_signature: Path | None = None
    card: Path | None = None
    card_key: Path | None = None
    embeddings: Pooling | None = None
    add_model: tuple[str, ...] = ()
    idle_unload: int | None = None
    lora: tuple[str, ...] = ()
    lora_folder: Path | None = None
    otlp: str | None = None
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{both(name)} must be between {low} and {high}, not {value}.", param=name)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices and (name not in _OPTIONAL or getattr(self, name) is not None):
                raise ConfigError(f"{both(name)} must be one of {', '.join(choices)}.", param=name)
        if (self.tls_cert is None) != (self.tls_key is None):
            needed = f"TLS needs {both('tls_cert')} and {both('tls_key')}."
            raise ConfigError(needed, param="tls_key" if self.tls_cert else "tls_cert")
        if self.tls_client_ca is not None and self.tls_cert is None:
            needed = f"{both('tls_client_ca')} needs {both('tls_cert')} and {both('tls_key')}."
            raise ConfigError(needed, param="tls_client_ca")
        if self.kv_offload_disk is not None and not self.kv_offload_memory:
            needed = f"{both('kv_offload_disk')} needs {both('kv_offload_memory')}: blocks pass through it."
            raise ConfigError(needed, param="kv_offload_disk")
        if self.kv_cache_dtype == "fp8" and self.device != "cuda":
            raise ConfigError(f"{both('kv_cache_dtype')} fp8 is for --device cuda.", param="kv_cache_dtype")
        self._check_engine()
        if self.audit is None and self.audit_settings_given:
            needed = f"audit_... settings (--audit-...) need {both('audit')}: the folder of the audit log."
            raise ConfigError(needed, param="audit")
        if self.admin is not None and not _ADMIN.fullmatch(self.admin):
            raise ConfigError(f"{both('admin')} must be HOST:PORT or unix:PATH, not {self.admin!r}.", param="admin")
        if self.max_batched_tokens < self.max_num_seqs:
            raise ConfigError(
                f"{both('max_batched_tokens')} is {self.max_batched_tokens}; it must be at least {both('max_num_seqs')}, "
                f"which is {self.max_num_seqs}: every running sequence needs a token in each step.",
                param="max_batched_tokens",
            )

    def _check_engine(self) -> None:
        """Raise a ConfigError for a setting of one engine that is given to another."""
        for each in dataclasses.fields(self):
            if getattr(self, each.name) == each.default:
                continue
            if self.engine != "vllm" and each.name in _VLLM_ONLY:
                raise ConfigError(f"{both(each.name)} is for --engine vllm.", param=each.name)
            if self.engine == "vllm" and each.name in _NATIVE_ONLY:
                instead = _NATIVE_ONLY[each.name]
                raise ConfigError(f"{both(each.name)} is for --engine native; with vllm: {instead}.", param=each.name)
        for text in self.engine_arg:
            if not _ENGINE_ARG.match(text):
                raise ConfigError(f"{both('engine_arg')} must be NAME=VALUE, not {text!r}.", param="engine_arg")

    @property
    def audit_settings_given(self) -> bool:
        """Whether a setting of the audit log differs from its default."""
        fields = dataclasses.fields(self)
        return any(each.name.startswith("audit_") and getattr(self, each.name) != each.default for each in fields)


_VLLM_ONLY = frozenset({"tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "engine_arg"})
_NATIVE_ONLY: Mapping[str, str] = {
    "device": "the installed build of vLLM decides",
    "quantize": "serve a quantised model, or --engine-arg quantization=...",
    "block_size": "--engine-arg block_size=...",
    "max_draft": "--engine-arg 'speculative_config={...}'",
    "kv_cache_memory": "--engine-arg kv_cache_memory_bytes=... or gpu_memory_utilization=...",
    "kv_cache_dtype": "--engine-arg kv_cache_dtype=...",
    "kv_offload_memory": "--engine-arg kv_offloading_size=...",
    "kv_offload_disk": "there is none",
    "kv_offload_disk_size": "there is none",
    "deterministic": "there is none",
    "no_graphs": "--engine-arg enforce_eager=true",
    "threads": "the variable OMP_NUM_THREADS",
    "embeddings": "there are none",
    "add_model": "one server for each model",
    "idle_unload": "there is none",
}
"""Settings of the native engine, and what there is instead."""
_RANGES: tuple[tuple[str, int, int], ...] = (
    ("port", 0, 65535),
    ("tensor_parallel_size", 1, 1024),
    ("pipeline_parallel_size", 1, 1024),
    ("data_parallel_size", 1, 1024),
    ("max_model_len", 16, 2**24),
    ("max_output_tokens", 1, 2**24),
    ("max_num_seqs", 1, 4096),
    ("max_waiting", 0, 2**20),
    ("drain_seconds", 0, 86_400),
    ("max_batched_tokens", 1, 2**20),
    ("block_size", 1, 1024),
    ("max_draft", 0, 256),
    ("kv_cache_memory", MIB, 2**46),
    ("kv_offload_memory", 0, 2**46),
    ("kv_offload_disk_size", MIB, 2**50),
    ("threads", 1, 1024),
    ("max_body_bytes", 1024, 2**32),
    ("audit_retention_days", 1, 36_500),
    ("idle_unload", 1, 10**9),
)
_OPTIONAL = frozenset({"quantize", "embeddings"})
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "embeddings": get_args(Pooling),
    "engine": get_args(EngineName),
    "device": get_args(Device),
    "dtype": get_args(DType),
    "quantize": get_args(Quantize),
    "kv_cache_dtype": get_args(KVCacheDType),
    "log_level": get_args(LogLevel),
    "log_format": get_args(LogFormat),
    "audit_fsync": get_args(Fsync),
    "audit_full": get_args(WhenFull),
    "audit_text": get_args(AuditText),
    "audit_period": get_args(Period),
}
_SIZES = frozenset({"kv_cache_memory", "kv_offload_memory", "kv_offload_disk_size", "max_body_bytes"})
_PATHS = frozenset(
    {
        "model",
        "policy",
        "kv_offload_disk",
        "acceptable_use",
        "access",
        "tls_cert",
        "tls_key",
        "tls_client_ca",
        "require_signature",
        "card",
        "card_key",
        "lora_folder",
    }
) | {f"audit{name}" for name in ("", "_anchor", "_keys", "_seal")}
_FLAGS = frozenset({"deterministic", "no_graphs", "any_model_name", "keep_billing_header", "no_carriers", "docs"})
_WORDS = frozenset({"model_name", "host", "store", "keys", "admin", "audit_name", "otlp", *_CHOICES})
_LISTS = frozenset({"model_alias", "cors_origin", "add_model", "lora", "engine_arg"})
KEYS = tuple(each.name for each in dataclasses.fields(ServerConfig))


@dataclass(frozen=True)
class Setting:
    """What the reference says of one setting: how its value is written, its default, and what bounds it."""

    name: str
    kind: str
    default: Any
    choices: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None


def option_of(key: str) -> str:
    """The command line's name of a setting."""
    return "MODEL_DIR" if key == "model" else f"--{key.replace('_', '-')}"


def both(key: str) -> str:
    """A setting in an error: its name in a file, and its option."""
    return f"{key} ({option_of(key)})"


def settings() -> tuple[Setting, ...]:
    """All of them, in the order of ServerConfig."""
    bounds = {name: (low, high) for name, low, high in _RANGES}
    return tuple(
        Setting(each.name, _kind(each.name), each.default, _CHOICES.get(each.name, ()), bounds.get(each.name))
        for each in dataclasses.fields(ServerConfig)
    )


def _kind(key: str) -> str:
    kinds = {"size": _SIZES, "path": _PATHS, "true or false": _FLAGS, "list of words": _LISTS, "word": _WORDS}
    return next((kind for kind, keys in kinds.items() if key in keys), "whole number")


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> ServerConfig:
    """The configuration from all three sources; a flag that is None was not given."""
    named = environ.get("DOVETAIL_CONFIG")
    if file is None and named:
        file = Path(named)
    merged = _from_file(file) if file is not None else {}
    merged |= _from_environment(environ)
    for key, value in flags.items():
        if value is not None:
            _require_known(key, key)
            merged[key] = _parse(key, value, option_of(key))
    return ServerConfig(**merged)


def parse_size(text: str) -> int:
    """Bytes in ``512MiB``, ``2 GB``, ``64k`` or ``1048576``; KiB, MiB, ... are powers of 1024, KB, MB, ... of 1000."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 512MiB, 2GB or 1048576")
    number, unit, binary = match.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** ("kmgt".index(unit.lower()) + 1 if unit else 0))


def require_servable(config: ServerConfig) -> None:
    """Raise a ConfigError now, not after a model has been loaded, if the model is not there or the port is taken."""
    if config.model is not None:
        require_model(config.model, "model")
    host, port = config.host, config.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise ConfigError(f"{host!r} is no address of this machine.", param="host") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = f"Stop what listens there, or choose another with --port, such as --port {port + 1}."
            raise ConfigError(f"Port {port} on {host} is taken. {advice}", param="port") from error
        raise ConfigError(f"Cannot listen on {host}:{port}: {error.strerror}.", param="host") from error


def require_model(path: Path, param: str, name: str = "") -> None:
    """Raise a ConfigError unless this looks like a model directory or a GGUF file. ``name``: which of several, for the message."""
    if not (path / "config.json").is_file() and not (path.suffix == ".gguf" and path.is_file()):
        which = f"{both(param)} {name}: " if name else ""
        raise ConfigError(
            f"{which}{path} is no model directory: it holds no config.json, nor is it a GGUF file.", param=param
        )


def _from_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {file} is not valid TOML: {error}.") from error
    values: dict[str, Any] = {}
    for key, value in table.items():
        _require_known(key, f"{key} in {file}")
        values[key] = _parse(key, value, f"{key} in {file}")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_OURS or _KUBERNETES.fullmatch(variable):
            continue
        if variable == "DOVETAIL_PORT" and value.startswith("tcp://"):  # Kubernetes again
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        _require_known(key, variable)
        values[key] = _parse(key, value, variable)
    return values


def _require_known(key: str, source: str) -> None:
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"Unknown configuration key: {source}.{hint}", param=key)


def _parse(key: str, value: Any, source: str) -> Any:
    """A value as it came (text from the environment; text, number or boolean elsewhere) in its field's type."""
    if key in _PATHS and isinstance(value, str | Path):
        return Path(value)
    if key in _WORDS and isinstance(value, str):
        return value
    if key in _FLAGS:
        return _parse_flag(value, source)
    if key in _LISTS:
        return _parse_list(key, value, source)
    if isinstance(value, bool) or key in _PATHS | _WORDS:
        raise ConfigError(f"{source}: {value!r} is not usable here.", param=key)
    if isinstance(value, int):
        return value
    try:
        return parse_size(cast("str", value)) if key in _SIZES else int(value)
    except (TypeError, ValueError) as error:
        wanted = "a size such as 512MiB" if key in _SIZES else "a whole number"
        raise ConfigError(f"{source}: {value!r} is not {wanted}.", param=key) from error


def _parse_list(key: str, value: Any, source: str) -> tuple[str, ...]:
    """Words: a list of them, or as one text with commas between."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ConfigError(f"{source}: {value!r} is not a list of names.", param=key)
    return tuple(word.strip() for word in words)


def _parse_flag(value: Any, source: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    flag = words.get(str(value).lower())
    if flag is None:
        raise ConfigError(f"{source}: {value!r} is neither true nor false.")
    return flag
