"""Every public name, used as users use it. Never run: mypy and pyright read it, both strict.

An `assert_type` fails where a type is lost on the way; a plain call fails where an argument's type is too narrow.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal, assert_type

import httpx

import dfinery_async
from dfinery_async import (
    ApiError,
    Attempt,
    BadRequest,
    ClientClosed,
    ConfigError,
    ConnectionConfig,
    ConnectionFailed,
    DateRangeExceeded,
    Delivery,
    DeliveryError,
    DfineryClient,
    DfineryError,
    Event,
    Export,
    ExportError,
    ExportFile,
    ExportInterrupted,
    ExportProgress,
    FastTransport,
    Identity,
    InvalidInputError,
    InvalidServiceId,
    InvalidToken,
    Observed,
    Observer,
    PacingConfig,
    PartitionReport,
    Probe,
    Producer,
    QueryFailed,
    QueueFull,
    Quota,
    RateLimited,
    Receipt,
    Rejection,
    Report,
    RetryConfig,
    ServerError,
    SpoolConfig,
    SpoolCorrupt,
    SpoolError,
    SpoolFull,
    SpoolLocked,
    Stats,
    TableMapping,
    Taxonomy,
    TimeoutConfig,
    Token,
    TooManyEvents,
    TooManyProfiles,
    TypedEvent,
    TypedItem,
    TypedProfile,
    UnexpectedResponse,
    ValidationFailure,
    read_mapping,
    read_taxonomy,
    send_partition,
)
from dfinery_async.emulator import Emulator

NOW = dt.datetime.now(dt.UTC)
WHO = Identity(external_id="u1", email="a@example.com", phone_no=None)


def values() -> None:
    """Values take what the API has room for."""
    Event("df_login")
    Event("df_purchase", properties={"total": 1.5, "ids": ["a", "b"], "at": NOW, "day": NOW.date(), "gift": None})
    Event("df_purchase", items=[{"df_item_id": "1", "df_quantity": 2}], datetime=NOW, log_id=str(uuid.uuid4()))
    assert_type(WHO.external_id, str | None)
    assert_type(Event("df_login").log_id, str)
    assert_type(Event("df_login").datetime, dt.datetime)
    assert_type({WHO: 1, Identity(line_user_id="l"): 2}, dict[Identity, int])
    assert_type(dfinery_async.__version__, str)


async def direct_calls() -> None:
    """One call, one answer."""
    async with DfineryClient(
        service_id="s", import_token="i", export_token="e", base_url="https://openapi.dfinery.ai"
    ) as client:
        assert_type(client, DfineryClient)
        await client.send_events("u1", ["df_login", Event("df_logout")])
        await client.send_events(WHO, (Event("df_login") for _ in range(3)))
        await client.upsert_identity(WHO)
        await client.delete_identity("u1")
        await client.update_profile("u1", {"df_gender": "Female", "age": 30})
        quota = client.quota("events")
        assert_type(await client.probe("export"), Probe)
        assert_type(quota, Quota)
        assert_type(quota.reset_at, dt.datetime | None)
        assert_type(quota.remaining, int | None)
    async with DfineryClient.from_env() as other:
        assert_type(other, DfineryClient)


async def settings() -> None:
    """Settings are small values, and a transport of one's own is httpx's."""
    client = DfineryClient(
        "s",
        import_token=Token("i"),
        export_token=lambda: "e",
        http2=False,
        transport=httpx.MockTransport(lambda _: httpx.Response(200)),
        timeouts=TimeoutConfig(connect=1, total=10.0),
        connections=ConnectionConfig(max_connections=8),
        retry=RetryConfig(total=5),
        pacing=PacingConfig(share=0.5),
    )
    client.set_tokens(import_token="new")
    await client.aclose()


def transport() -> None:
    """Our transport serves any client of httpx."""
    ours = FastTransport(limits=httpx.Limits(max_connections=10), max_age=60.0)
    httpx.AsyncClient(transport=ours)
    assert_type(ours.stats().connections, int)


async def exports(client: DfineryClient) -> None:
    """Rows and files."""
    async with client.export_events(
        dt.date(2025, 3, 1), "2025-03-02", events=["df_login"], exclude_properties=["x"], days_per_call=1
    ) as export:
        assert_type(export, Export)
        assert_type(export.columns, tuple[str, ...])
        async for row in export:
            assert_type(row, dict[str, Any])
    async with client.export_events("2025-03-01", "2025-03-02") as export:
        assert_type(await export.save(Path("events.csv.gz")), ExportFile)
    async with client.export_profiles(audience="a", properties=["df_gender"]) as profiles:
        async for row in profiles:
            assert_type(row, dict[str, Any])
    saved = await client.export_profiles(identities=True).save("profiles.jsonl")
    assert_type(saved.path, Path)
    assert_type(saved.rows, int)


async def spooling(client: DfineryClient) -> None:
    """A producer that keeps on disk what it accepted."""
    config = SpoolConfig(path=Path("spool"), mode="on_failure", durability="process", max_bytes=1 << 30, exclusive=True)
    async with client.producer(spool=config) as producer, client.producer(spool="spool") as other:
        assert_type(producer, Producer)
        assert_type(await other.flush(), Report)


async def producing(client: DfineryClient) -> None:
    """Many events, their receipts, and the books."""
    async with client.producer(
        linger=0.1, max_in_flight=8, on_full="wait", on_rejected=rejected, delivery_timeout=None
    ) as producer:
        assert_type(producer, Producer)
        receipt = await producer.track("u1", "df_login")
        assert_type(receipt, Receipt)
        delivery = await receipt
        assert_type(delivery, Delivery)
        assert_type(delivery.status, Literal["delivered", "spooled"])
        producer.track_nowait(WHO, Event("df_login"))
        assert_type(await producer.identify(WHO), Receipt)
        assert_type(await producer.set_profile(WHO, {"df_gender": "Female"}), Receipt)
        assert_type(await producer.flush(timeout=5), Report)
        assert_type(producer.stats(), Stats)
    assert_type(await producer.aclose(timeout=30.0), Report)
    async with client.producer(on_rejected="rejects.jsonl"), client.producer(on_rejected=rejected_later):
        pass


def rejected(rejection: Rejection) -> None:
    """Take a rejection, at once."""
    assert_type(rejection.identity, Identity)
    assert_type(rejection.event, Event | None)
    assert_type(rejection.error, DfineryError)
    assert_type(rejection.attempts, int)


async def rejected_later(rejection: Rejection) -> None:
    """Take a rejection, and wait for something."""


async def loading(client: DfineryClient) -> None:
    """Sources that are pulled, sync or async."""

    def pairs() -> Iterator[tuple[str, str]]:
        yield "u1", "df_login"

    async def pairs_later() -> AsyncIterator[tuple[Identity, Event]]:
        yield WHO, Event("df_login")

    assert_type(await client.load(pairs()), Report)
    assert_type(await client.load(pairs_later()), Report)
    report = await client.load([(WHO, "df_login"), ("u2", Event("df_login"))])
    assert_type(report.accepted, int)
    assert_type(report.to_dict(), dict[str, Any])


async def errors(client: DfineryClient) -> None:
    """Each error has its fields, and narrower ones come before wider ones."""
    try:
        await client.upsert_identity("u1")
    except RateLimited as error:
        assert_type(error.reset_at, dt.datetime | None)
    except (BadRequest, ValidationFailure, InvalidServiceId, InvalidToken, TooManyEvents, TooManyProfiles) as error:
        assert_type(error.message, str)
    except (DateRangeExceeded, QueryFailed, ExportInterrupted, ExportError, ServerError):
        raise
    except ApiError as error:
        assert_type(error.status, int | None)
        assert_type(error.code, int | None)
        assert_type(error.retryable, bool)
        assert_type(error.attempts, int)
    except InvalidInputError as error:
        as_value_error: ValueError = error
        assert_type(error.field, str | None)
        raise as_value_error from None
    except (ConnectionFailed, UnexpectedResponse, DeliveryError, QueueFull, ClientClosed, ConfigError) as error:
        assert_type(error.retryable, bool)
    except (SpoolFull, SpoolCorrupt, SpoolLocked, SpoolError):
        raise


async def emulating() -> None:
    """The emulator gives what a client needs."""
    async with (
        Emulator() as emulator,
        DfineryClient(
            emulator.service_id,
            import_token=emulator.import_token,
            export_token=emulator.export_token,
            base_url=emulator.base_url,
        ) as client,
    ):
        await client.send_events("u1", "df_login")
        assert_type(emulator.events, list[dict[str, Any]])


def taxonomies() -> None:
    """What is registered with a service."""
    taxonomy = read_taxonomy()
    assert_type(taxonomy, Taxonomy)
    assert_type(read_taxonomy("taxonomy.yaml", standard=False), Taxonomy)
    assert_type(taxonomy.events["df_purchase"].properties, tuple[str, ...])


class Rated(TypedEvent, frozen=True, kw_only=True):
    """A typed event, written by hand."""

    event_name = "shop_rated"

    shop_stars: int


def typed_events() -> None:
    """Typed events make events."""
    assert_type(Rated(shop_stars=5).event(), Event)
    assert_type(Rated(shop_stars=5).event(datetime=NOW, log_id="5f0c7c0e-6a0e-4d0e-9d53-6b1f7c1a90aa"), Event)
    assert_type(TypedItem().to_dict(), dict[str, Any])
    assert_type(TypedProfile().to_dict(), dict[str, Any])


def partitions(settings: dict[str, Any]) -> None:
    rows: Iterator[dict[str, Any]] = iter([{"identity": "u1", "event_name": "df_login"}])
    report = send_partition(rows, settings=settings)
    assert_type(report, PartitionReport)
    assert_type(report.delivered, int)
    assert_type(report.problems, tuple[str, ...])
    assert_type(report.error, str | None)
    assert_type(report.complete, bool)
    send_partition([], settings={"producer": {"linger": 0.1}, "ids": "content"})


class Looks:
    """An observer: sees requests, and may ask for figures."""

    def opened(self, client: Observed, service_id: str, loop: asyncio.AbstractEventLoop) -> None:
        """Take note of a client."""
        assert_type(client.stats(), Stats)
        assert_type(client.quota("events"), Quota)

    def closed(self, client: Observed) -> None:
        """Take note of its end."""

    def began(self, attempt: Attempt) -> None:
        """See a request begin."""

    def ended(self, attempt: Attempt) -> None:
        """See it end."""
        assert_type(attempt.seconds, float)
        assert_type(attempt.status, int | None)


def observed() -> None:
    """A client takes an observer, and tells the figures of all its producers."""
    observer: Observer = Looks()
    client = DfineryClient("svc", observer=observer)
    assert_type(client.stats().capacity, int)


def told(progress: ExportProgress) -> None:
    """How far an export is."""
    assert_type(progress.day, dt.date | None)
    assert_type(progress.bytes, int)


async def tables(client: DfineryClient, frame: Frame) -> None:
    """Frames in, tables and files out."""
    mapping = TableMapping(columns={"who": "identity.external_id"}, constants={"event_name": "df_login"}, zone=dt.UTC)
    assert_type(read_mapping("shop.toml"), TableMapping)
    assert_type(await client.load(frame, mapping=mapping), Report)
    await client.load(frame, mapping={"who": "identity.external_id"}, linger=1.0)
    export = client.export_events("2025-03-01", "2025-03-02", taxonomy=read_taxonomy("taxonomy.yaml"))
    async for batch in export.batches():
        assert batch.num_rows
    assert (await export.arrow()).num_rows
    await export.save("a.csv", resume=True, spreadsheet_safe=True, progress=told)


class Frame:
    """What any frame has."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return requested_schema
