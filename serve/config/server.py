"""The server's configuration: frozen, and checked as a whole. Loads no model, and does not know where its values came from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dovetail.serve.config.settings import ConfigError, Setting, both, declared, setting

DType = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]
EngineName = Literal["native", "vllm"]
Quantize = Literal["int8", "int4", "fp8"]
Pooling = Literal["mean", "last"]
KVCacheDType = Literal["auto", "fp8"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
Fsync = Literal["always", "interval", "never"]
WhenFull = Literal["refuse", "count"]
AuditText = Literal["digest", "full"]
Period = Literal["day", "month"]

MIB = 1024 * 1024

_ENGINE_ARG = re.compile(r"(--)?[a-zA-Z][\w-]*=")
_ADMIN = re.compile(r"unix:.+|(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything a deployment decides. None: what the setting's text says holds then."""

    model: Path | None = setting("Model", None, "Default: the embedded model.")
    model_name: str | None = setting("Model", None, "The name clients use. Default: the directory's.")
    model_alias: tuple[str, ...] = setting(
        "Model", (), "Other names of the model, such as 'claude-*,gpt-*'; repeatable.", commas=True
    )
    any_model_name: bool = setting("Model", False, "Answer whatever model is named.")
    add_model: tuple[str, ...] = setting("Model", (), "Another model, NAME=DIR; repeatable (docs/several-models.md).")
    idle_unload: int | None = setting(
        "Model", None, "Seconds after which an added model that nobody asks is unloaded.", bounds=(1, 10**9)
    )
    lora: tuple[str, ...] = setting("Model", (), "A LoRA adapter, NAME=DIR; repeatable (docs/adapters.md).")
    lora_folder: Path | None = setting("Model", None, "Where adapters lie that administrators may load at run time.")
    embeddings: Pooling | None = setting(
        "Model", None, "Make /v1/embeddings of the model's hidden states: mean or last."
    )
    quantize: Quantize | None = setting("Model", None, "Store the weights in int8 or int4; fp8: on a CUDA device.")
    dtype: DType = setting("Model", "auto", "What is computed in; auto: as the weights are stored.")
    max_model_len: int | None = setting(
        "Model", None, "Longest context in tokens; default: the model's.", bounds=(16, 2**24)
    )

    host: str = setting("Network", "127.0.0.1", "Address to listen on (127.0.0.1).")
    port: int = setting("Network", 8000, "Port to listen on (8000); 0: any free one.", bounds=(0, 65535))
    tls_cert: Path | None = setting("Network", None, "The server's certificate, and its chain.")
    tls_key: Path | None = setting("Network", None, "Its private key.")
    tls_client_ca: Path | None = setting("Network", None, "Whose client certificates every connection must bring.")
    cors_origin: tuple[str, ...] = setting(
        "Network", (), "Web pages that may read answers, such as https://ide.example; repeatable.", commas=True
    )
    max_body_bytes: int = setting(
        "Network", 8 * MIB, "Largest request body, such as 8MiB.", size=True, bounds=(1024, 2**32)
    )
    docs: bool = setting("Network", False, "Serve /docs and /openapi.json.")

    keys: str | None = setting(
        "Access", None, "API keys and usage: a file, or postgresql://...; callers need a key then."
    )
    access: Path | None = setting("Access", None, "A TOML file of groups, quotas, identity providers (docs/access.md).")
    admin: str | None = setting("Access", None, "Where administrators ask: HOST:PORT or unix:PATH.")

    max_output_tokens: int | None = setting(
        "Answers", None, "Longest answer in tokens, whatever a request asks for.", bounds=(1, 2**24)
    )
    policy: Path | None = setting("Answers", None, "A TOML file that says which edits may be made.")
    acceptable_use: Path | None = setting(
        "Answers", None, "A TOML file that says which requests are declined; 'off': none are."
    )
    no_carriers: bool = setting("Answers", False, "Let calls of clients' edit tools quote text that no file has.")
    keep_billing_header: bool = setting(
        "Answers", False, "Leave the changing first line of Claude Code's system prompt."
    )
    store: str | None = setting(
        "Answers", None, "Stored answers: a file, or postgresql://...; else they are kept in memory."
    )

    engine: EngineName = setting("Engine", "native", "native, or vllm for many GPUs (docs/vllm.md).")
    tensor_parallel_size: int = setting("Engine", 1, "vLLM: GPUs that share each layer.", bounds=(1, 1024))
    pipeline_parallel_size: int = setting("Engine", 1, "vLLM: groups that share the layers.", bounds=(1, 1024))
    data_parallel_size: int = setting("Engine", 1, "vLLM: copies of the model.", bounds=(1, 1024))
    engine_arg: tuple[str, ...] = setting(
        "Engine", (), "vLLM: another of its engine arguments, NAME=VALUE; repeatable."
    )
    device: Device = setting(
        "Engine", "auto", "auto (a CUDA device with room for the model, else the CPU), cpu or cuda."
    )
    threads: int | None = setting("Engine", None, "CPU threads; default: all cores.", bounds=(1, 1024))
    max_num_seqs: int = setting("Engine", 64, "Sequences in one batch.", bounds=(1, 4096))
    max_waiting: int = setting("Engine", 1024, "Requests that may wait beyond those; then 429.", bounds=(0, 2**20))
    max_batched_tokens: int = setting("Engine", 2048, "Tokens in one forward pass.", bounds=(1, 2**20))
    max_draft: int = setting("Engine", 32, "Tokens drafted per sequence and step; 0: no drafts.", bounds=(0, 256))
    block_size: int = setting("Engine", 16, "Tokens per KV block.", bounds=(1, 1024))
    deterministic: bool = setting("Engine", False, "A request's tokens do not depend on what shares its batches.")
    no_graphs: bool = setting("Engine", False, "Run every step eagerly on a CUDA device.")
    drain_seconds: int = setting("Engine", 30, "How long requests may go on after SIGTERM.", bounds=(0, 86_400))

    kv_cache_memory: int | None = setting(
        "Memory",
        None,
        "For the KV cache, such as 512MiB; default: a share of what is free.",
        size=True,
        bounds=(MIB, 2**46),
    )
    kv_cache_dtype: KVCacheDType = setting("Memory", "auto", "auto: as computed in; fp8: 8 bits, on a CUDA device.")
    kv_offload_memory: int = setting(
        "Memory",
        0,
        "Host memory for what leaves the KV cache, such as 8GiB; 0: it is dropped.",
        size=True,
        bounds=(0, 2**46),
    )
    kv_offload_disk: Path | None = setting("Memory", None, "A folder for what leaves that memory, encrypted.")
    kv_offload_disk_size: int = setting(
        "Memory", 8 * 1024 * MIB, "How much of it, such as 64GiB (8GiB).", size=True, bounds=(MIB, 2**50)
    )

    audit: str | None = setting("Audit log", None, "An audit log: in a folder, or postgresql://... (docs/audit.md).")
    audit_name: str | None = setting(
        "Audit log", None, "The name of this server's log there: audit; in a database, the machine's name."
    )
    audit_anchor: Path | None = setting("Audit log", None, "A file outside, with its last hash.")
    audit_keys: Path | None = setting("Audit log", None, "The folder of the keys of its texts.")
    audit_fsync: Fsync = setting("Audit log", "interval", "When records are synced: always, interval or never.")
    audit_full: WhenFull = setting("Audit log", "refuse", "Where nothing can be written: refuse or count.")
    audit_text: AuditText = setting("Audit log", "digest", "What is kept of prompts and outputs: digest or full.")
    audit_period: Period = setting("Audit log", "day", "How long a segment and its key last: day or month.")
    audit_retention_days: int | None = setting(
        "Audit log", None, "Then a period's key is destroyed.", bounds=(1, 36_500)
    )
    audit_seal: Path | None = setting("Audit log", None, "The key that seals the anchor.")

    require_signature: Path | None = setting(
        "Evidence and observation", None, "A public key; a model it has not signed is not served."
    )
    card: Path | None = setting(
        "Evidence and observation", None, "The folder of evaluations and system cards (docs/system-card.md)."
    )
    card_key: Path | None = setting("Evidence and observation", None, "A private key that signs system cards.")
    otlp: str | None = setting(
        "Evidence and observation", None, "Where traces go, by OTLP over HTTP, such as http://127.0.0.1:4318."
    )
    log_level: LogLevel = setting("Evidence and observation", "info", "debug, info, warning or error.")
    log_format: LogFormat = setting("Evidence and observation", "text", "text, or json: one object a line.")

    def __post_init__(self) -> None:
        for each in SETTINGS:
            each.check(getattr(self, each.name))
        if (self.tls_cert is None) != (self.tls_key is None):
            needed = f"TLS needs {both('tls_cert')} and {both('tls_key')}."
            raise ConfigError(needed, param="tls_key" if self.tls_cert else "tls_cert")
        if self.tls_client_ca is not None and self.tls_cert is None:
            needed = f"{both('tls_client_ca')} needs {both('tls_cert')} and {both('tls_key')}."
            raise ConfigError(needed, param="tls_client_ca")
        if self.kv_offload_disk is not None and not self.kv_offload_memory:
            needed = f"{both('kv_offload_disk')} needs {both('kv_offload_memory')}: blocks pass through it."
            raise ConfigError(needed, param="kv_offload_disk")
        for name in ("kv_cache_dtype", "quantize"):
            if getattr(self, name) == "fp8" and self.device == "cpu":
                raise ConfigError(f"{both(name)} fp8 is for --device cuda.", param=name)
        self._check_engine()
        for alias in self.model_alias:
            if "=" in alias:
                message = f"{both('model_alias')} is a name of the first model, not {alias!r}; others have one by --add-model NAME=DIR."
                raise ConfigError(message, param="model_alias")
        if self.audit is None and self.audit_settings_given:
            needed = f"audit_... settings (--audit-...) need {both('audit')}: where the audit log is kept."
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
SETTINGS: tuple[Setting, ...] = declared(ServerConfig)
"""All of them, in the order of ServerConfig."""
