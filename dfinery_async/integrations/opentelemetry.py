"""OpenTelemetry: metrics of the queue, the quotas and each request, and a span for each request.

    from dfinery_async.integrations.opentelemetry import OpenTelemetry

    client = DfineryClient.from_env(observer=OpenTelemetry())

Needs only `opentelemetry-api`, and does nothing until the service sets up a provider. Names follow the semantic
conventions where these have one (`http.client.…`, `error.type`); our own begin with `dfinery.`. No name and no value
carries a token or anything of a user.

Metrics, with the attribute `dfinery.service.id`:

    dfinery.client.queue.size          units that wait or are in the air
    dfinery.client.queue.capacity      units that may
    dfinery.client.queue.memory        their encoded size, in bytes
    dfinery.client.accepted            units taken over from callers
    dfinery.client.processed           by dfinery.outcome: delivered, rejected, dropped, spooled;
                                       error.type is set for rejected and dropped ones
    dfinery.client.retries             requests that repeated an earlier one
    dfinery.client.throttled           answers that said "too many requests"
    dfinery.client.quota.remaining     calls left, by dfinery.api; absent while nothing is known
    dfinery.client.quota.wait          seconds for which no call is made, by dfinery.api
    http.client.active_requests        requests in the air
    http.client.request.duration       of each request, in seconds
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
except ImportError as _missing:
    raise ImportError(
        "the OpenTelemetry integration needs opentelemetry-api: pip install 'dfinery-async[opentelemetry]'"
    ) from _missing

from dfinery_async.config import FAMILIES
from dfinery_async.core.books import total
from dfinery_async.models import Quota, Stats
from dfinery_async.runtime.observing import Attempt, Observed
from dfinery_async.version import __version__

__all__ = ["OpenTelemetry"]

_NAME: Final = "dfinery_async"
_FRESH: Final = 0.1  # seconds for which figures are good: one collection asks once, not once for each metric
_PATIENCE: Final = 0.5  # seconds that a busy loop has to tell them
_FIRST_BAD_STATUS: Final = 400
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds that the semantic conventions ask for in `http.client.request.duration`."""


class OpenTelemetry:
    """An observer for `DfineryClient(observer=…)`; one may serve several clients.

    Args:
        meter_provider: where metrics go; by default the global one.
        tracer_provider: where spans go; by default the global one.
    """

    def __init__(
        self, *, meter_provider: MeterProvider | None = None, tracer_provider: TracerProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        self._clients: list[_Figures] = []
        self._past: dict[str, Stats] = {}  # the books of ended clients, by service
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of requests to the API.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", unit="{request}", description="Requests in the air."
        )
        gauge, counter = meter.create_observable_up_down_counter, meter.create_observable_counter
        own = "dfinery.client."
        gauge(f"{own}queue.size", self._reads("pending"), "{unit}", "Units that wait or are in the air.")
        gauge(f"{own}queue.capacity", self._reads("capacity"), "{unit}", "Units that may be pending at the most.")
        gauge(f"{own}queue.memory", self._reads("pending_bytes"), "By", "Encoded size of what is pending.")
        counter(f"{own}accepted", self._reads("accepted"), "{unit}", "Units taken over from callers.")
        counter(f"{own}processed", self._reads(_processed), "{unit}", "Units by what became of them.")
        counter(f"{own}retries", self._reads("retries"), "{request}", "Requests that repeated an earlier one.")
        counter(f"{own}throttled", self._reads("throttled"), "{response}", "Answers that said: too many requests.")
        meter.create_observable_gauge(
            f"{own}quota.remaining", self._reads(_remaining), "{request}", "Calls left in the quota's window."
        )
        meter.create_observable_gauge(f"{own}quota.wait", self._reads(_wait), "s", "Time for which no call is made.")

    def opened(self, client: Observed, service_id: str, loop: asyncio.AbstractEventLoop) -> None:
        """A client is used for the first time."""
        self._clients.append(_Figures(client, service_id, loop))

    def closed(self, client: Observed) -> None:
        """A client has ended: what it counted stays counted."""
        for figures in [each for each in self._clients if each.are_of(client)]:
            figures.take()
            self._clients.remove(figures)
            past = self._past.get(figures.service_id)
            stats, _ = figures.now()
            self._past[figures.service_id] = stats if past is None else total([past, stats])

    def began(self, attempt: Attempt) -> None:
        """A request begins."""
        where = _where(attempt)
        self._active.add(1, where)
        attempt.note = self._tracer.start_span(
            f"POST {attempt.path}",
            kind=SpanKind.CLIENT,
            attributes={**where, "url.full": f"{attempt.origin}{attempt.path}", "http.request.body.size": attempt.size},
            start_time=attempt.began_ns,
        )

    def ended(self, attempt: Attempt) -> None:
        """A request has ended."""
        where = _where(attempt)
        self._active.add(-1, where)
        found: dict[str, Any] = {"url.template": attempt.path}
        if attempt.status is not None:
            found["http.response.status_code"] = attempt.status
        if attempt.error is not None:
            found["error.type"] = _error_type(attempt)
        self._duration.record(attempt.seconds, {**where, **found})
        span: Span = attempt.note
        span.set_attributes(found)
        if attempt.error is not None:
            span.set_status(Status(StatusCode.ERROR, found["error.type"]))
        span.end(attempt.began_ns + round(attempt.seconds * 1e9))

    def _reads(self, what: str | _Measure) -> list[Callable[[CallbackOptions], Iterable[Observation]]]:
        measure = _figure(what) if isinstance(what, str) else what

        def read(_: CallbackOptions) -> Iterable[Observation]:
            for service_id, (stats, quotas) in self._by_service().items():
                for value, attributes in measure(stats, quotas):
                    yield Observation(value, {"dfinery.service.id": service_id, **attributes})

        return [read]

    def _by_service(self) -> dict[str, _Known]:
        """Add up the clients of each service: metrics with the same attributes would hide each other."""
        found = {service_id: (stats, dict[str, Quota]()) for service_id, stats in self._past.items()}
        for figures in tuple(self._clients):
            stats, quotas = figures.now()
            before = found.get(figures.service_id)
            found[figures.service_id] = (stats if before is None else total([before[0], stats]), quotas)
        return found


_Known: TypeAlias = tuple[Stats, dict[str, Quota]]
_Measure: TypeAlias = Callable[[Stats, dict[str, Quota]], Iterable[tuple[float, dict[str, str]]]]


class _Figures:
    """A client's figures, read in its own loop's thread whoever asks; the last ones where that can't be."""

    def __init__(self, client: Observed, service_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self._client = weakref.ref(client)  # to look on keeps nobody alive
        self.service_id: str = service_id
        self._loop = loop
        self._asking = threading.Lock()
        self._taken_at = 0.0
        self._known: _Known = (Stats(), {})

    def now(self) -> _Known:
        """Return the figures."""
        if _running_loop() is self._loop:
            self.take()
            return self._known
        with self._asking:
            if time.monotonic() - self._taken_at > _FRESH:
                self._ask()
            return self._known

    def _ask(self) -> None:
        taken = threading.Event()

        def take() -> None:
            self.take()
            taken.set()

        try:
            self._loop.call_soon_threadsafe(take)
        except RuntimeError:  # the loop is closed: its last figures are the last
            return
        taken.wait(_PATIENCE)

    def take(self) -> None:
        """Read them, in the loop's own thread."""
        if (client := self._client()) is not None:
            quotas: dict[str, Quota] = {api: client.quota(api) for api in FAMILIES}
            self._known = client.stats(), quotas
            self._taken_at = time.monotonic()

    def are_of(self, client: Observed) -> bool:
        """Whether they are this client's."""
        return self._client() is client


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _where(attempt: Attempt) -> dict[str, Any]:
    origin = attempt.origin
    return {
        "http.request.method": "POST",
        "server.address": origin.host,
        "server.port": origin.port or (443 if origin.scheme == "https" else 80),
        "url.scheme": origin.scheme,
    }


def _error_type(attempt: Attempt) -> str:
    """The status where it says what went wrong, else the error's kind: this API tells of failures under 200 as well."""
    if attempt.status is not None and attempt.status >= _FIRST_BAD_STATUS:
        return str(attempt.status)
    return type(attempt.error).__name__


def _figure(name: str) -> _Measure:
    def measure(stats: Stats, _: dict[str, Quota]) -> Iterable[tuple[float, dict[str, str]]]:
        yield getattr(stats, name), {}

    return measure


def _processed(stats: Stats, _: dict[str, Quota]) -> Iterable[tuple[float, dict[str, str]]]:
    yield stats.delivered, {"dfinery.outcome": "delivered"}
    yield stats.spooled, {"dfinery.outcome": "spooled"}
    yield stats.rejected, {"dfinery.outcome": "rejected", "error.type": "rejected"}
    yield stats.dropped, {"dfinery.outcome": "dropped", "error.type": "dropped"}


def _remaining(_: Stats, quotas: dict[str, Quota]) -> Iterable[tuple[float, dict[str, str]]]:
    for api, quota in quotas.items():
        if quota.remaining is not None:
            yield quota.remaining, {"dfinery.api": api}


def _wait(_: Stats, quotas: dict[str, Quota]) -> Iterable[tuple[float, dict[str, str]]]:
    for api, quota in quotas.items():
        yield quota.wait, {"dfinery.api": api}
