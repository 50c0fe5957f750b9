"""OpenTelemetry traces of requests, from HTTP to the engine's steps: made when a request has ended, of what was noted meanwhile.

Needs the packages of ``dovetail[otel]``; no prompt, no answer and no file is in a trace.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dovetail import __version__
from dovetail.serve.api.http.recent import MOST_STEPS, Passing

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NS = 1_000_000_000


class NoTracing(ImportError):
    """The packages are not there."""


class Traces:
    """Makes a request's spans: the request, in it the wait for the first token and the decoding, in that an event for each step."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("dovetail", __version__)

    def __call__(self, passing: Passing) -> None:
        """The spans of a request that has ended."""
        from opentelemetry import trace
        from opentelemetry.trace import SpanKind, Status, StatusCode

        assert passing.seconds is not None
        began = int(passing.began * _NS)
        ended = began + int(passing.seconds * _NS)
        span = self._tracer.start_span(
            f"{passing.method} {passing.route}",
            _context(passing.traceparent),
            SpanKind.SERVER,
            _attributes(passing),
            start_time=began,
        )
        if passing.outcome == "failed":
            span.set_status(Status(StatusCode.ERROR, passing.code or ""))
        if passing.first_token_s is not None:
            within = trace.set_span_in_context(span)
            first = began + int(passing.first_token_s * _NS)
            self._tracer.start_span("engine: until the first token", within, start_time=began).end(first)
            decoding = self._tracer.start_span("engine: decode", within, start_time=first)
            for after_s, tokens in passing.steps or ():
                decoding.add_event("step", {"tokens": tokens}, began + int(after_s * _NS))
            decoding.end(ended)
        span.end(ended)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def open_traces(endpoint: str) -> Traces:
    """Traces that are sent to a collector, by OTLP over HTTP. Raises NoTracing."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise NoTracing("Traces need packages that are not installed: pip install 'dovetail[otel]'.") from error
    resource = Resource.create({"service.name": "dovetail", "service.version": __version__})
    provider = TracerProvider(resource=resource, span_limits=SpanLimits(max_events=MOST_STEPS))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return Traces(provider)


def _attributes(passing: Passing) -> dict[str, str | int]:
    told: dict[str, str | int] = {
        "http.request.method": passing.method,
        "http.route": passing.route,
        "http.response.status_code": passing.status or 0,
        "dovetail.request_id": passing.request_id,
        "dovetail.outcome": passing.outcome,
        "gen_ai.usage.input_tokens": passing.prompt_tokens,
        "gen_ai.usage.output_tokens": passing.completion_tokens,
    }
    return {**told, **({"error.type": passing.code} if passing.code else {})}


def _context(traceparent: str) -> Context | None:
    """Whose span this one is part of; None: nobody's."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not _PARENT.fullmatch(traceparent):
        return None
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})
