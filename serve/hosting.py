"""From the configuration to the models that are served: what clients see of each, and what its engine process is told.

Imports everything but HTTP endpoints and torch. Starts nothing.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from dovetail.models.chat import ChatTemplate
from dovetail.models.config import ModelConfig
from dovetail.models.dialects.dialect import ModelDialect
from dovetail.models.edit_prompt import EditTemplate
from dovetail.models.embedded import NAME, WEIGHTS
from dovetail.models.embedding_config import EmbeddingConfig
from dovetail.models.errors import ChatTemplateError, ModelDirectoryError
from dovetail.models.fields import read_json
from dovetail.models.fim import FillInMiddle
from dovetail.models.generation import GenerationDefaults
from dovetail.models.gguf.describe import describe, gguf_of, is_gguf
from dovetail.models.headers import Stored, stored_weights
from dovetail.models.outline import outline_of
from dovetail.models.tensors import parameters
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.served import ChatMessage, Embedding, OfferedTool, SamplingDefaults, ServedModel
from dovetail.serve.config.servable import require_model
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError, both
from dovetail.serve.config.sources import load_config
from dovetail.serve.engine.vllm.arguments import LORA_RANKS, VllmSettings
from dovetail.serve.engine.vllm.versions import installed_version
from dovetail.serve.errors import ModelError, UserError
from dovetail.serve.govern.weights.files import NOT_NAMED, licence_of
from dovetail.serve.named import parse_named
from dovetail.serve.sizing import available_memory, plan_sizes
from dovetail.serve.types import Markers, SourceFile
from dovetail.serve.vllm_worker import VllmWorkerConfig
from dovetail.serve.worker import WorkerConfig

EngineConfig = WorkerConfig | VllmWorkerConfig
"""What an engine process is told."""
OWN_SETTINGS = (
    "device",
    "dtype",
    "quantize",
    "max_model_len",
    "kv_cache_memory",
    "threads",
    "embeddings",
)
"""What an added model may have otherwise than the first."""


def model_configs(config: ServerConfig) -> tuple[ServerConfig, ...]:
    """One configuration for each model, the first model's first. Raises ConfigError."""
    found = [config]
    for text in config.add_model:
        named = parse_named(text, "add_model", OWN_SETTINGS)
        require_model(named.path, "add_model", named.name)
        own = load_config(named.options, {})
        changed = {key: getattr(own, key) for key in named.options}
        plain = dataclasses.replace(
            config, model=named.path, model_name=named.name, add_model=(), lora=(), model_alias=(), embeddings=None
        )
        found.append(dataclasses.replace(plain, **changed))
    names = [name_of(each) for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{both('add_model')}: {', '.join(twice)} is the name of two models.", param="add_model")
    return tuple(found)


def in_directories(configs: Sequence[ServerConfig], stack: ExitStack) -> tuple[ServerConfig, ...]:
    """GGUF files described in directories of their own, which are there until ``stack`` is closed. Raises ModelError."""
    return tuple(_in_directory(config, stack) for config in configs)


def _in_directory(config: ServerConfig, stack: ExitStack) -> ServerConfig:
    if config.model is None or not is_gguf(config.model):
        return config
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dovetail-gguf-")))
    try:
        name = describe(config.model, directory)
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    return dataclasses.replace(config, model=directory, model_name=config.model_name or name)


def adapters_of(config: ServerConfig, models: Sequence[str]) -> dict[str, dict[str, Path]]:
    """The adapters of each of ``models``, by name. Raises ConfigError."""
    found: dict[str, dict[str, Path]] = {name: {} for name in models}
    for text in config.lora:
        named = parse_named(text, "lora", ("model",))
        parent = named.options.get("model", models[0])
        if parent not in found:
            raise ConfigError(f"lora: {named.name} is for {parent!r}, which is not served.", param="lora")
        if named.name in models or any(named.name in each for each in found.values()):
            raise ConfigError(f"lora: there are two models named {named.name!r}.", param="lora")
        if not (named.path / "adapter_config.json").is_file():
            raise ConfigError(f"lora: {named.path} is no adapter: it holds no adapter_config.json.", param="lora")
        found[parent][named.name] = named.path
    return found


def model_path(config: ServerConfig) -> Path:
    """The model directory to serve: the configured one or the embedded model."""
    return config.model if config.model is not None else WEIGHTS


def name_of(config: ServerConfig) -> str:
    """The name that clients use."""
    if config.model_name is not None or config.model is None:
        return config.model_name or NAME
    return config.model.stem if is_gguf(config.model) else config.model.resolve().name


def served_model(config: ServerConfig, worker: EngineConfig) -> ServedModel:
    """The text side of the model: tokenizer and templates, without weights. Raises ModelError."""
    path = model_path(config)
    native = isinstance(worker, WorkerConfig)
    try:
        hidden_size = ModelConfig.load(path).hidden_size if native else 0
        tokenizer = Tokenizer.load(path)
        chat = ChatTemplate.load(path, tokenizer)
        edit = EditTemplate.load(path, tokenizer)
        dialect = ModelDialect(tokenizer, chat) if chat is not None else None
        defaults = GenerationDefaults.load(path)
        declared = EmbeddingConfig.load(path)
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    pooled = EmbeddingConfig(config.embeddings, normalize=True) if config.embeddings is not None else declared

    def render_chat(
        messages: list[ChatMessage], tools: Sequence[OfferedTool] = (), effort: str | None = None
    ) -> list[int]:
        assert dialect is not None
        try:
            return dialect.prompt(messages, tools, effort)
        except ChatTemplateError as error:
            raise UserError(f"the model's chat template refused the messages: {error}", param="messages") from error

    def render_edit(files: tuple[SourceFile, ...], instruction: str, markers: Markers) -> list[int]:
        assert edit is not None
        sources = [{"path": source.path, "content": source.content} for source in files]
        return tokenizer.encode_rendered(edit.render(sources, instruction, msgspec.structs.asdict(markers)))

    embedding = None
    if pooled is not None and not native:
        raise ModelError(f"{path}: an embedding model; --engine vllm makes no embeddings, --engine native does")
    if pooled is not None:
        embedding = Embedding(
            pooling=pooled.pooling,
            normalize=pooled.normalize,
            size=hidden_size,
            encode=tokenizer.encode_whole,
        )
    licence = licence_of(path)
    named = "" if licence == NOT_NAMED else licence
    return ServedModel(
        name=name_of(config),
        created=int((path / "config.json").stat().st_mtime),
        max_model_len=worker.max_model_len,
        codec=tokenizer,
        render_chat=render_chat if chat is not None else None,
        dialect=dialect,
        render_edit=render_edit if edit is not None else None,
        fim=FillInMiddle.find(tokenizer),
        embedding=embedding,
        generates=declared is None,
        predicts=native,
        licence=named,
        defaults=msgspec.convert(defaults.given(), SamplingDefaults),
    )


def worker_configs(configs: Sequence[ServerConfig]) -> Sequence[EngineConfig]:
    """What each engine process is told; where there are several, they share the memory that the weights leave. Raises ModelError."""
    if configs[0].engine == "vllm":
        return [vllm_worker_config(configs[0])]
    if len(configs) == 1:
        return [worker_config(configs[0])]
    stored = [stored_weights(model_path(config)).nbytes for config in configs]
    share = max(0, available_memory() - sum(stored)) // len(configs)
    return [worker_config(config, share + own) for config, own in zip(configs, stored, strict=True)]


def _weights_of(path: Path, model: ModelConfig) -> Stored:
    """What is stored, several numbers in one counted as several; MXFP4 takes what it is dequantised to."""
    stored = stored_weights(path)
    count = max(stored.parameters, parameters(model)) if stored.parameters else 0
    return Stored(count, 2 * count if model.quantization == "mxfp4" else stored.nbytes)


def worker_config(config: ServerConfig, available: int | None = None) -> WorkerConfig:
    """What the engine process is told, every size derived; ``available``: bytes of memory to count on. Raises ModelError."""
    path = model_path(config)
    try:
        model = ModelConfig.load(path)
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    sizes = plan_sizes(config, model, _weights_of(path, model), available)
    return WorkerConfig(
        model=str(path),
        dtype=config.dtype,
        quantize=config.quantize,
        device=sizes.device,
        threads=config.threads,
        max_model_len=sizes.max_model_len,
        kv_blocks=sizes.kv_blocks,
        block_size=config.block_size,
        max_num_seqs=config.max_num_seqs,
        max_batched_tokens=config.max_batched_tokens,
        max_draft=config.max_draft,
        deterministic=config.deterministic,
        graphs=not config.no_graphs,
        kv_cache_dtype=config.kv_cache_dtype,
        kv_offload_memory=config.kv_offload_memory,
        kv_offload_disk=str(config.kv_offload_disk) if config.kv_offload_disk is not None else None,
        kv_offload_disk_size=config.kv_offload_disk_size,
        debug=config.log_level == "debug",
        log_format=config.log_format,
    )


def vllm_worker_config(config: ServerConfig) -> VllmWorkerConfig:
    """What the engine process with vLLM in it is told. Raises ModelError."""
    path = model_path(config)
    installed_version()
    if gguf_of(path) is not None:
        raise ModelError(f"{path}: --engine vllm takes model directories, no GGUF files; --engine native does")
    try:
        window = outline_of(path).window
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    longest = config.max_model_len or window
    if longest is None:
        raise ModelError(f"{path}: config.json does not say how long a context may be; say it with --max-model-len")
    if window is not None and longest > window:
        raise ModelError(f"max_model_len is {longest}, but the model was made for {window} positions")
    adapters = [parse_named(text, "lora", ("model",)).path for text in config.lora]
    return VllmWorkerConfig(
        settings=VllmSettings(
            model=str(path.resolve()),
            dtype=config.dtype,
            max_model_len=longest,
            max_num_seqs=config.max_num_seqs,
            max_batched_tokens=config.max_batched_tokens,
            tensor_parallel_size=config.tensor_parallel_size,
            pipeline_parallel_size=config.pipeline_parallel_size,
            data_parallel_size=config.data_parallel_size,
            adapters=bool(adapters) or config.lora_folder is not None,
            adapter_rank=_rank_for(adapters),
            extra=config.engine_arg,
        ),
        debug=config.log_level == "debug",
        log_format=config.log_format,
    )


def _rank_for(adapters: Sequence[Path]) -> int:
    """The least rank that vLLM can be told and that holds all of ``adapters``; 16 at least."""
    try:
        ranks = [read_json(path / "adapter_config.json").get("r") for path in adapters]
    except ModelDirectoryError as error:
        raise ModelError(str(error)) from error
    widest = max((rank for rank in ranks if isinstance(rank, int)), default=16)
    return next((rank for rank in LORA_RANKS if rank >= widest), LORA_RANKS[-1])


def engine_command(worker: EngineConfig) -> list[str]:
    """The command line of the engine process, less the socket address that is added to it."""
    if isinstance(worker, VllmWorkerConfig):
        # -P: in a checkout of this project, its folder "kernels" would be taken for the package that vLLM's libraries look for.
        return [sys.executable, "-P", "-m", "dovetail.serve.vllm_worker", msgspec.json.encode(worker).decode()]
    return [sys.executable, "-m", "dovetail.serve.worker", msgspec.json.encode(worker).decode()]
