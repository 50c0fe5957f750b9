"""Traces: the spans of a request, whose they are, and that they hold no text."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dovetail.serve.api.http.recent import Recent
from dovetail.serve.api.http.tracing import Traces, open_traces
from dovetail.serve.errors import EngineError

CHAT = "/v1/chat/completions"
SECRET = "the unspeakable word"
ASKED = {"messages": [{"role": "user", "content": SECRET}]}
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(spans: InMemorySpanExporter) -> Traces:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Traces(provider)


def traced(make_api, traces: Traces, *args: object):
    api = make_api(*args)
    api.client._transport.app.state.context.metrics.recent.trace = traces
    return api


async def test_from_the_request_to_the_steps(make_api, traces, spans) -> None:
    api = traced(make_api, traces)
    await api.post(CHAT, ASKED, traceparent=PARENT, **{"x-request-id": "one"})
    until, decode, request = spans.get_finished_spans()
    assert (until.name, decode.name, request.name) == (
        "engine: until the first token",
        "engine: decode",
        f"POST {CHAT}",
    )
    assert f"{request.context.trace_id:032x}" == "a" * 32
    assert f"{request.parent.span_id:016x}" == "b" * 16
    assert {until.parent.span_id, decode.parent.span_id} == {request.context.span_id}
    assert [event.attributes["tokens"] for event in decode.events] == [3, 4, 6]
    assert request.start_time == until.start_time <= until.end_time == decode.start_time <= decode.end_time
    assert decode.end_time == request.end_time
    assert request.attributes["dovetail.request_id"] == "one"
    assert request.attributes["gen_ai.usage.output_tokens"] == 13
    assert SECRET not in "".join(span.to_json() for span in spans.get_finished_spans())


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT.upper(), PARENT + "\n"])
async def test_a_parent_that_is_none_begins_a_trace(make_api, traces, spans, parent: str) -> None:
    passing = Recent().begin("x", "GET", "/v1/models", "")
    passing.traceparent, passing.status, passing.seconds = parent, 200, 0.5
    traces(passing)
    [span] = spans.get_finished_spans()
    assert span.parent is None


async def test_failures_are_errors_and_machines_questions_are_not_traced(make_api, traces, spans) -> None:
    def fails(request):
        yield EngineError("no", code="engine_died")

    api = traced(make_api, traces, fails)
    await api.post(CHAT, ASKED)
    for path in ("/health", "/metrics", "/", "/console/api/live"):
        await api.client.get(path)
    [span] = spans.get_finished_spans()
    assert (span.status.is_ok, span.attributes["error.type"]) == (False, "engine_died")


async def test_nothing_is_noted_where_nobody_wants_traces(api) -> None:
    await api.post(CHAT, ASKED)
    recent = api.client._transport.app.state.context.metrics.recent
    assert [each.steps for each in recent.requests()] == [None]


def test_a_collector_is_sent_them() -> None:
    asked: list[tuple[str, int]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, len(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        recent = Recent()
        recent.trace = traces = open_traces(f"http://127.0.0.1:{server.server_port}/")
        recent.end(recent.begin("x", "GET", "/v1/models", ""), 200, None, 0.5)
        traces.close()
        server.shutdown()
    [(path, size)] = asked
    assert path == "/v1/traces" and size > 0
