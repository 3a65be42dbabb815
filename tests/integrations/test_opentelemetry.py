"""OpenTelemetry: the metrics and spans of a client, read with the SDK."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dfinery_async import ConnectionFailed, DfineryClient, RateLimited, RetryConfig
from dfinery_async.emulator import Emulator
from dfinery_async.integrations.opentelemetry import OpenTelemetry

OWN = {
    f"dfinery.client.{name}"
    for name in [
        *("queue.size", "queue.capacity", "queue.memory", "accepted", "processed", "retries", "throttled"),
        *("quota.remaining", "quota.wait"),
    ]
}
HTTP = {"http.client.active_requests", "http.client.request.duration"}
PERSONAL = ("m417@example.com", "821055501234", "import-token", "export-token")


class Seen:
    """What an application's own OpenTelemetry got."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.observer = OpenTelemetry(meter_provider=self.meters, tracer_provider=self.tracers)

    def metrics(self):
        """Collect: by name, the points, each a pair of attributes and value (for a histogram its count)."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: [
                (dict(point.attributes or {}), point.count if hasattr(point, "count") else point.value)
                for point in metric.data.data_points
            ]
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def value(self, name, **attributes):
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}
        (found,) = [value for has, value in self.metrics()[name] if wanted.items() <= has.items()]
        return found

    @property
    def spans(self):
        return self.exporter.get_finished_spans()


@pytest.fixture
def seen():
    seen = Seen()
    yield seen
    seen.meters.shutdown()
    seen.tracers.shutdown()


def client_of(emulator, observer, **settings):
    return DfineryClient(
        emulator.service_id,
        import_token=emulator.import_token,
        export_token=emulator.export_token,
        base_url=emulator.base_url,
        observer=observer,
        **settings,
    )


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


def test_metrics_have_their_names_and_the_books_figures(emulator, seen):
    async def scenario() -> None:
        async with client_of(emulator, seen.observer) as client:
            async with client.producer(max_pending_events=500, linger=60) as producer:
                for number in range(30):
                    await producer.track(f"u{number % 3}", "df_login")
                assert seen.value("dfinery.client.queue.size") == 30
                assert seen.value("dfinery.client.queue.capacity") == 500
                assert seen.value("dfinery.client.queue.memory") == producer.stats().pending_bytes > 0
                await producer.flush()
                assert seen.value("dfinery.client.queue.size") == 0
                assert seen.value("dfinery.client.processed", dfinery__outcome="delivered") == 30
                assert seen.value("dfinery.client.quota.remaining", dfinery__api="events") == 999_997
                assert seen.value("http.client.active_requests") == 0
            assert set(seen.metrics()) == OWN | HTTP

    asyncio.run(scenario())


def test_a_request_has_a_duration_and_a_span(emulator, seen):
    async def scenario() -> None:
        async with client_of(emulator, seen.observer) as client:
            await client.send_events("u1", "df_login")
            async with client.export_profiles() as export:
                assert [row async for row in export]

    asyncio.run(scenario())
    port = int(emulator.base_url.rpartition(":")[2])
    call, export = seen.spans
    assert (call.name, call.kind) == ("POST /api/v1/events", SpanKind.CLIENT)
    assert dict(call.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.request.body.size": call.attributes["http.request.body.size"],
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.full": f"{emulator.base_url}/api/v1/events",
        "url.scheme": "http",
        "url.template": "/api/v1/events",
    }
    assert call.status.status_code is StatusCode.UNSET
    assert 0 < call.end_time - call.start_time < 60e9
    assert export.name == "POST /api/v1/export/userprofile"
    assert seen.value("http.client.request.duration", url__template="/api/v1/events") == 1


def test_what_fails_has_its_kind(seen):
    def answer(request: httpx.Request) -> httpx.Response:
        if b"df_login" in request.content:
            return httpx.Response(200, json={"status": False, "code": 40001, "message": "VALIDATION_FAILURE"})
        if request.url.path.endswith("identities"):
            return httpx.Response(429, json={"status": False, "code": 40401, "message": "LIMIT"})
        raise httpx.ConnectError("no way there")

    async def scenario() -> None:
        client = DfineryClient(
            "svc",
            import_token="import-token-CANARY",
            transport=httpx.MockTransport(answer),
            observer=seen.observer,
            retry=RetryConfig(total=0),
        )
        async with client:
            async with client.producer() as producer:
                await producer.track("m417@example.com", "df_login")
            with pytest.raises(RateLimited):
                await client.upsert_identity("u1")
            with pytest.raises(ConnectionFailed):
                await client.send_events("u1", "df_purchase")

    asyncio.run(scenario())
    kinds = [span.attributes.get("error.type") for span in seen.spans]
    assert kinds == ["ValidationFailure", "429", "ConnectionFailed"]
    assert {span.status.status_code for span in seen.spans} == {StatusCode.ERROR}
    assert "http.response.status_code" not in seen.spans[2].attributes
    assert seen.value("dfinery.client.processed", dfinery__outcome="rejected", error__type="rejected") == 1
    assert not any(word in f"{seen.metrics()}{[span.to_json() for span in seen.spans]}" for word in PERSONAL)


def test_a_direct_call_belongs_to_its_callers_span_and_a_producers_requests_to_none(emulator, seen):
    tracer = seen.tracers.get_tracer("service")

    async def scenario() -> None:
        async with client_of(emulator, seen.observer) as client, client.producer() as producer:
            with tracer.start_as_current_span("endpoint"):
                for _ in range(2):  # the second time on a connection that a call opened
                    await client.upsert_identity("u1")
                    await producer.track("u1", "df_login")
                    await producer.flush()

    asyncio.run(scenario())
    *requests, endpoint = seen.spans
    parents = [(span.name.rsplit("/", 1)[-1], span.parent and span.parent.span_id) for span in requests]
    assert parents == [("identities", endpoint.context.span_id), ("events", None)] * 2


def test_counters_never_go_back(emulator, seen):
    async def scenario() -> None:
        for _ in range(2):
            async with client_of(emulator, seen.observer) as client:
                for _ in range(2):
                    async with client.producer() as producer:
                        await producer.track("u1", "df_login")
        assert seen.value("dfinery.client.accepted") == 4

    asyncio.run(scenario())
    assert seen.value("dfinery.client.accepted") == 4
    assert seen.value("dfinery.client.queue.size") == 0


def test_figures_are_read_from_any_thread_while_the_loop_runs_and_after_it(emulator, seen):
    found = []

    async def scenario() -> None:
        client = client_of(emulator, seen.observer)
        producer = client.producer(linger=60)
        await producer.track("u1", "df_login")
        thread = threading.Thread(target=lambda: found.append(seen.value("dfinery.client.queue.size")))
        thread.start()
        await asyncio.to_thread(thread.join)
        await producer.aclose()
        await client.aclose()

    asyncio.run(scenario())
    assert found == [1]
    assert seen.value("dfinery.client.accepted") == 1


def test_an_observer_that_fails_keeps_nothing_from_being_delivered(emulator, caplog):
    class Failing(OpenTelemetry):
        def ended(self, attempt):
            raise KeyError("m417@example.com")

    async def scenario() -> None:
        async with client_of(emulator, Failing()) as client:
            await client.send_events("u1", ["df_login"])
            await client.send_events("u1", ["df_login"])

    asyncio.run(scenario())
    assert len(emulator.events) == 2
    assert [record.getMessage() for record in caplog.records] == ["the observer failed: KeyError"]


def test_what_a_caller_keeps_in_its_context_stays_out_of_the_senders(emulator):
    request = contextvars.ContextVar("request", default="none")
    kept = []

    class Looks(OpenTelemetry):
        def began(self, attempt):
            kept.append(request.get())

    async def scenario() -> None:
        async with client_of(emulator, Looks()) as client, client.producer() as producer:
            request.set("the first caller's")
            await producer.track("u1", "df_login")
            await producer.flush()
            await client.send_events("u1", "df_login")

    asyncio.run(scenario())
    assert kept == ["none", "the first caller's"]
