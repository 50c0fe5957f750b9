"""What /metrics shows: the API's own counters and histograms, and the engine's snapshot, in a registry of their own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from dovetail.serve.api.http.recent import Recent
from dovetail.serve.govern.audit.log import Counts as AuditCounts
from dovetail.serve.types import Stats

_FIRST_TOKEN = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WHOLE = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """One deployment's instruments. ``recent``: the latest requests, for whoever looks at them one by one."""

    def __init__(
        self, stats: Callable[[], Stats], policy_digest: str | None = None, audit: AuditCounts | None = None
    ) -> None:
        self.registry = CollectorRegistry()
        self.recent = Recent()
        if audit is not None:
            self.registry.register(AuditCollector(audit))
        if policy_digest is not None:
            told = Info("dovetail_policy", "The policy that holds for every edit.", registry=self.registry)
            told.info({"digest": policy_digest})
        self.registry.register(EngineCollector(stats))
        self.requests = Counter(
            "dovetail_requests", "Answered requests.", ("endpoint", "status"), registry=self.registry
        )
        self.in_flight = Gauge("dovetail_requests_in_flight", "Requests being served.", registry=self.registry)
        self.duration = Histogram(
            "dovetail_request_duration_seconds",
            "From the request's arrival to the end of its answer.",
            ("endpoint",),
            buckets=_WHOLE,
            registry=self.registry,
        )
        self.first_token = Histogram(
            "dovetail_time_to_first_token_seconds",
            "From the request's arrival to its first token.",
            ("endpoint",),
            buckets=_FIRST_TOKEN,
            registry=self.registry,
        )
        self.between_tokens = Gaps(
            "dovetail_inter_token_latency_seconds", "Between two steps' tokens of one answer.", _FIRST_TOKEN
        )
        self.registry.register(self.between_tokens)
        self.prompt_tokens = Counter(
            "dovetail_prompt_tokens", "Prompt tokens of finished generations.", ("endpoint",), registry=self.registry
        )
        self.completion_tokens = Counter(
            "dovetail_completion_tokens",
            "Output tokens of finished generations.",
            ("endpoint",),
            registry=self.registry,
        )
        self.edits = Counter("dovetail_edits", "Edit blocks returned to clients.", registry=self.registry)
        self.carried_calls = Counter(
            "dovetail_edit_tool_calls",
            "Calls of clients' edit tools, by how much of the file the conversation had shown.",
            ("coverage",),
            registry=self.registry,
        )
        self.violations = Counter(
            "dovetail_guarantee_violations",
            "Outputs of /v1/edits that failed the check after generation, and were not returned.",
            registry=self.registry,
        )

        self.findings = Counter(
            "dovetail_findings",
            "Secure-coding findings, by rule and what became of them.",
            ("rule", "action"),
            registry=self.registry,
        )
        self.declines = Counter(
            "dovetail_declines", "Requests declined, by clause and by whom.", ("clause", "by"), registry=self.registry
        )
        self.suspicions = Counter(
            "dovetail_tool_result_suspicions",
            "Tools' results that try to give orders.",
            ("kind",),
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class GapsOf:
    """The gaps of one endpoint. What is observed for every token is counted without a lock: all of it happens in one thread."""

    __slots__ = ("_bounds", "counts", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.seconds += seconds


class Gaps(Collector):
    """A histogram by endpoint."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._bounds = name, text, bounds
        self._endpoints: dict[str, GapsOf] = {}

    def labels(self, endpoint: str) -> GapsOf:
        """Those of an endpoint."""
        return self._endpoints.setdefault(endpoint, GapsOf(self._bounds))

    def collect(self) -> Iterator[Metric]:
        """As Prometheus counts: each bucket with all that are smaller."""
        family = HistogramMetricFamily(self._name, self._text, labels=("endpoint",))
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for endpoint, gaps in list(self._endpoints.items()):
            family.add_metric((endpoint,), list(zip(bounds, accumulate(gaps.counts), strict=True)), gaps.seconds)
        yield family


class AuditCollector(Collector):
    """Reads the audit log's counts when it is asked for."""

    def __init__(self, counts: AuditCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """What was written, what could not be, and whether something can be now."""
        counts = self._counts
        yield CounterMetricFamily("dovetail_audit_records", "Audit records written.", value=counts.records)
        yield CounterMetricFamily("dovetail_audit_lost", "Audit records that could not be written.", value=counts.lost)
        failing = counts.failing is not None
        yield GaugeMetricFamily("dovetail_audit_failing", "1 while the audit log cannot be written.", value=failing)


class EngineCollector(Collector):
    """Reads the engine's snapshot when it is asked for, so the numbers are never older than the question."""

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """The engine's gauges and counters."""
        stats = self._stats()
        gauges = {
            "running": (stats.running, "Requests in the running batch."),
            "waiting": (stats.waiting, "Requests waiting for admission."),
            "kv_blocks": (stats.kv_blocks_total, "KV blocks."),
            "kv_blocks_free": (stats.kv_blocks_free, "KV blocks that no running request holds."),
            "kv_blocks_cached": (stats.kv_blocks_cached, "KV blocks that a new request may reuse."),
            "resident_bytes": (stats.resident_bytes, "Memory of the engine process."),
            "device_bytes": (stats.device_bytes, "Memory in use on the engine's accelerator; 0 without one."),
            "device_total_bytes": (stats.device_total_bytes, "Memory of the engine's accelerator; 0 without one."),
        }
        counters: dict[str, tuple[float, str]] = {
            "steps": (stats.steps, "Forward passes."),
            "prompt_tokens": (stats.prompt_tokens, "Prompt tokens run."),
            "cached_tokens": (stats.cached_tokens, "Prompt tokens found in the prefix cache."),
            "generated_tokens": (stats.generated_tokens, "Tokens generated."),
            "drafted_tokens": (stats.drafted_tokens, "Draft tokens verified."),
            "accepted_tokens": (stats.accepted_tokens, "Draft tokens confirmed."),
            "rollbacks": (stats.rollbacks, "Outputs taken back to their witness."),
            "restarts": (stats.restarts, "Times the engine process was started again."),
            "constraint_seconds": (stats.constraint_s, "Time of steps spent in constraints."),
            "constraint_wait_seconds": (stats.awaited_s, "Time of steps spent waiting for a syntax gate."),
            "sat_out": (stats.sat_out, "Times a request sat out steps until a syntax gate had answered."),
            "syntax_overruled": (stats.overruled, "Times tree-sitter overruled the syntax recogniser."),
            "preemptions": (stats.preemptions, "Requests whose KV blocks were taken away for a while."),
        }
        for name, (value, text) in gauges.items():
            yield GaugeMetricFamily(f"dovetail_engine_{name}", text, value=value)
        for name, (total, text) in counters.items():
            yield CounterMetricFamily(f"dovetail_engine_{name}", text, value=total)
        finished = CounterMetricFamily("dovetail_engine_finished", "Requests by how they ended.", labels=("reason",))
        for reason, count in stats.finished.items():
            finished.add_metric((reason,), count)
        yield finished
