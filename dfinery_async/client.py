"""The client: settings in, six calls and a producer out. It wires; what is decided is decided in `core/`."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from dfinery_async.addresses import DEFAULT_BASE_URL, parse_origin
from dfinery_async.config import (
    FAMILIES,
    ConnectionConfig,
    DeliveryConfig,
    Family,
    PacingConfig,
    RetryConfig,
    SpoolConfig,
    TimeoutConfig,
    TokenSource,
    check_methods,
    environment,
    parse_service_id,
    setting,
)
from dfinery_async.core import codec
from dfinery_async.core.batching import cut_events
from dfinery_async.core.endpoints import (
    DELETE_IDENTITY,
    EVENTS,
    EXPORT_EVENTS,
    IDENTITIES,
    PROFILES,
    Endpoint,
)
from dfinery_async.core.mapping import TableMapping
from dfinery_async.core.taxonomy import Taxonomy
from dfinery_async.errors import ClientClosed, ConfigError, DfineryError, InvalidInputError
from dfinery_async.models import Event, Identity, Probe, Quota, Report, Stats
from dfinery_async.runtime import clock
from dfinery_async.runtime.calls import Caller
from dfinery_async.runtime.export_calls import ExportCalls
from dfinery_async.runtime.feeding import UNTIL_THE_END
from dfinery_async.runtime.frames import ArrowStream, frame_events
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.intake import check_events, check_user_properties
from dfinery_async.runtime.lending import SHARING, QuotaShare
from dfinery_async.runtime.loading import Progress, Reporter, Source, check_source
from dfinery_async.runtime.observing import OBSERVING, Observer, WatchedGateway
from dfinery_async.runtime.pacer import make_pacers
from dfinery_async.runtime.place import Place
from dfinery_async.runtime.probe import probe
from dfinery_async.runtime.producer import Producer
from dfinery_async.runtime.producers import Producers, bounded, kind_of
from dfinery_async.runtime.rejects import OnRejected, is_callback
from dfinery_async.runtime.tasks import TaskOwner
from dfinery_async.runtime.transport import AsyncBaseTransport, Transport
from dfinery_async.values import check_text, moment_text

__all__ = ["DfineryClient"]


class DfineryClient(ExportCalls):
    """Talks to one DFINERY service.

    Use it with `async with`, or call `aclose()` in the end. It belongs to the event loop of its first use.

    Args:
        service_id: the service, as the console shows it.
        import_token: for events, identities and profiles; a text, or a function that gives the current one.
        export_token: for exports; the same. Either may be left out when it is not used.
        base_url: https, or http to loopback, where an emulator listens.
        transport: an `httpx.AsyncBaseTransport` to use instead of our own, such as `httpx.MockTransport`.
        http2: speak HTTP/2; it costs more per request than HTTP/1.1. Needs the `h2` package.
        timeouts: deadlines of one attempt.
        connections: how many, and how they are made.
        retry: when direct calls and producers try again.
        pacing: how the quota is spent.
        quota_share: where the quota is shared with other processes and hosts, such as
            `integrations.redis.RedisQuota(url="redis://…")`; without it each sees by its replies what others use.
        observer: sees each request, and may ask for the figures, such as `integrations.opentelemetry.OpenTelemetry()`.

    Raises ConfigError when a setting cannot work; it says which and why.
    """

    def __init__(
        self,
        service_id: str,
        *,
        import_token: TokenSource | None = None,
        export_token: TokenSource | None = None,
        base_url: str = DEFAULT_BASE_URL,
        transport: AsyncBaseTransport | None = None,
        http2: bool = False,
        timeouts: TimeoutConfig | None = None,
        connections: ConnectionConfig | None = None,
        retry: RetryConfig | None = None,
        pacing: PacingConfig | None = None,
        observer: Observer | None = None,
        quota_share: QuotaShare | None = None,
    ) -> None:
        self._connections = setting(ConnectionConfig, connections, "connections")
        self._retry = setting(RetryConfig, retry, "retry")
        pacing = setting(PacingConfig, pacing, "pacing")
        timeouts = setting(TimeoutConfig, timeouts, "timeouts")
        check_methods(observer, "observer", OBSERVING, "integrations.opentelemetry.OpenTelemetry()")
        check_methods(quota_share, "quota_share", SHARING, "integrations.redis.RedisQuota(url=…)")
        self._random = random.Random(os.urandom(16))  # noqa: S311 - jitter, not secrets
        self._tasks = TaskOwner()
        self._transport = Transport(timeouts, self._connections, http2=http2, custom=transport)
        gateway: Callable[..., Gateway] = Gateway if observer is None else partial(WatchedGateway, observer=observer)
        self._observer = observer
        service_id = parse_service_id(service_id)
        leases = None if quota_share is None else partial(quota_share.open, service_id)
        self._gateway = gateway(
            self._transport,
            make_pacers(pacing, self._retry, self._tasks, self._random, leases),
            origin=parse_origin(base_url),
            service_id=service_id,
            import_token=import_token,
            export_token=export_token,
            concurrent_exports=pacing.concurrent_exports,
            patience=self._retry.total,
        )
        self._caller = Caller(self._gateway, retry=self._retry, tasks=self._tasks, random=self._random)
        self._producers = Producers()
        self._closing: asyncio.Task[None] | None = None
        self._place: Place | None = None  # of the first use

    @classmethod
    def from_env(cls, **settings: Any) -> DfineryClient:
        """Make a client from `DFINERY_SERVICE_ID`, `DFINERY_IMPORT_TOKEN`, `DFINERY_EXPORT_TOKEN`, `DFINERY_BASE_URL`.

        Args:
            **settings: arguments of the client; they win over the environment.

        Raises:
            ConfigError: the service id is in neither.
        """
        merged: dict[str, Any] = {**environment(), **settings}
        if "service_id" not in merged:
            raise ConfigError("DFINERY_SERVICE_ID is not set")
        return cls(**merged)

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<DfineryClient of {self._gateway.service_id} at {self._gateway.origin}>"

    async def aclose(self) -> None:
        """End producers that are still open (in their default time), then all tasks and connections.

        Called by an `on_rejected`, for which a close waits, it returns as soon as only rejections are left to be told,
        and the rest goes on by itself. Raises ClientClosed in another event loop or process than that of its first use.
        """
        if self._place is not None and (self._closing is None or not self._closing.done()):
            self._place.check("client")
        if self._closing is None:
            loop, context = asyncio.get_running_loop(), self._tasks.context()
            self._closing = loop.create_task(self._close(), name="dfinery:close", context=context)
        try:
            if is_callback():
                for producer in self._producers:
                    await producer.aclose()
            else:
                await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            for producer in self._producers:
                producer.abandon()  # whoever is cancelled waits no longer; the rest of the closing goes on by itself
            if self._closing.cancelled():  # not so where the loop ends: it has cancelled that task, too
                await self._close()
            raise

    async def _close(self) -> None:
        async with AsyncExitStack() as closing:  # all of it, also where the loop ends meanwhile and cancels us
            if self._observer is not None:
                closing.callback(self._observer.closed, self)
            closing.push_async_callback(self._transport.aclose)
            for pacer in self._gateway.pacers.values():
                closing.push_async_callback(pacer.aclose)
            closing.push_async_callback(self._tasks.aclose)
            for producer in self._producers:
                await producer.aclose()

    async def send_events(self, identity: Identity | str, events: Event | str | Iterable[Event | str]) -> None:
        """Send events of one user, in order, and return when the API has confirmed all of them.

        Any number: they are split to the API's limits of 100 events and 100 items a request, sent one after another.
        Trouble may take `RetryConfig.total` in all: of that, a request that goes well at once takes nothing.

        Args:
            identity: whose events they are; a plain text is an `external_id`.
            events: the events; a plain text is an event of that name, now. For none at all nothing is sent.

        Raises:
            InvalidInputError: a value that the API has no room for; nothing was sent.
            DfineryError: a request failed for good. `.delivered` says how many events, from the first, were confirmed
                before, `.refused` which were in the request that failed; later ones were not sent.
        """
        self._check_call(EVENTS)
        key = codec.encode_identity(Identity.of(identity))
        sent, time = 0, self._caller.time()
        for group in cut_events(key, check_events(events)):
            try:
                await self._caller.call(EVENTS, codec.events_body(key, group), time)
            except DfineryError as error:
                error.delivered = sent
                error.refused = range(sent, sent + len(group))
                raise
            sent += len(group)

    async def upsert_identity(self, identity: Identity | str) -> None:
        """Create or update the unified profile of an identity (API guide, "Create and update a unified profile")."""
        self._check_call(IDENTITIES)
        key = codec.encode_identity(Identity.of(identity))
        await self._caller.call(IDENTITIES, codec.identity_body(key, moment_text(clock.wall())))

    async def delete_identity(self, external_id: str) -> None:
        """Delete the unified profile of an `external_id`. There is no way back (API guide, "Delete…")."""
        self._check_call(DELETE_IDENTITY)
        key = codec.encode_identity(Identity(external_id=check_text(external_id, "external_id")))
        await self._caller.call(DELETE_IDENTITY, codec.identity_body(key, moment_text(clock.wall())))

    async def update_profile(self, identity: Identity | str, properties: Mapping[str, Any]) -> None:
        """Set user properties (API guide, "Create and update user properties"); call it when one has changed.

        Raises:
            InvalidInputError: no property at all, or a value that the API has no room for.
        """
        self._check_call(PROFILES)
        key = codec.encode_identity(Identity.of(identity))
        checked = check_user_properties(properties)
        await self._caller.call(PROFILES, codec.profile_body(key, checked, moment_text(clock.wall())))

    def quota(self, api: Family) -> Quota:
        """Return what is known of the quota of a family of calls: documented at first, corrected by every reply.

        Args:
            api: `"events"`, `"identities"`, `"profiles"` or `"exports"`.
        """
        if api not in FAMILIES:
            raise InvalidInputError(f"must be one of {', '.join(FAMILIES)}", field="api")
        return self._gateway.pacers[api].quota(api)

    def stats(self) -> Stats:
        """Return the books of all producers that this client has had, as one; `state` is the worst there is."""
        return self._producers.stats()

    async def probe(self, kind: Literal["import", "export"] = "import") -> Probe:
        """Look at the API by one call that it has to refuse, as it is empty; nothing is created or changed.

        Args:
            kind: `"import"` for a call without any event, `"export"` for one of the 100 export calls an hour.
        """
        self._check_call(EVENTS if kind == "import" else EXPORT_EVENTS)
        return await probe(self._gateway, self._tasks, kind)

    def set_tokens(self, *, import_token: TokenSource | None = None, export_token: TokenSource | None = None) -> None:
        """Use other tokens from the next request on; work that waits for a good token goes on.

        After a reissue the old token stays valid for two weeks (API guide, "Authentication"). Raises ClientClosed in
        another event loop, thread or process than that of the client's first use; there is
        `loop.call_soon_threadsafe`, or a function as a token, which is asked where it is needed.
        """
        if self._place is not None:
            self._place.check("client")
        if import_token is not None:
            self._gateway.set_token("import", import_token)
        if export_token is not None:
            self._gateway.set_token("export", export_token)
        for producer in self._producers:
            producer.resume()

    def producer(
        self,
        *,
        linger: float = 0.0,
        max_in_flight: int | None = None,
        max_pending_events: int = 100_000,
        max_pending_bytes: int = 64 * 1024 * 1024,
        max_batch_bytes: int = 1024 * 1024,
        on_full: Literal["wait", "raise", "drop_newest"] = "wait",
        delivery_timeout: float | None = None,
        on_rejected: OnRejected | None = None,
        taxonomy: Taxonomy | None = None,
        validate: Literal["off", "warn", "raise"] = "off",
        spool: SpoolConfig | str | os.PathLike[str] | None = None,
    ) -> Producer:
        """Make a producer: many events, best throughput, in order per user. Use it with `async with`.

        Args:
            linger: seconds that the first event of a request waits for more. With 0 a request leaves at once while
                there is room, and gets fuller by itself when there is none, or for up to 2 s while callers hand over
                64 and more in every turn of the loop.
            max_in_flight: requests in the air at the most; by default, and at most, as many as connections.
            max_pending_events: units that may wait or be in the air.
            max_pending_bytes: their encoded size at the most.
            max_batch_bytes: size of one request at the most; a single larger event travels alone.
            on_full: what `track` does without room: `"wait"`, `"raise"` QueueFull, or `"drop_newest"`.
            delivery_timeout: seconds after which a unit that waits is dropped; `None` is never. With a spool nothing
                is dropped by it: an awaited receipt says `"spooled"` then, and the unit still goes in its turn.
            on_rejected: called with a `Rejection` for each unit that the API refused for good, sync or async; or the
                path of a JSON Lines file, to which such units are added for mending. Events, profiles and identities
                stand in it side by side; `dfinery load` takes one kind at a time (docs/delivery.md).
            taxonomy: what is registered with the service, from `read_taxonomy()`; what is standard by default.
            validate: what happens to an event or a user property that the taxonomy does not know: with `"raise"` the
                call raises InvalidInputError, with `"warn"` it is logged (once a minute for each) and sent.
            spool: keeps on disk what was accepted until the API has confirmed it: a folder, or a `SpoolConfig`. What
                waits there is sent first. `max_pending_events` and `max_pending_bytes` then bound what is in memory;
                the rest waits on disk, and `track` raises SpoolFull when there is no more room.

        Raises ConfigError when an option cannot work. Whether the spool can be used shows when the producer is entered.
        """
        self._check_call(EVENTS)
        connections = self._connections.max_connections
        config = DeliveryConfig(
            linger=linger,
            max_in_flight=connections if max_in_flight is None else max_in_flight,
            max_pending_events=max_pending_events,
            max_pending_bytes=max_pending_bytes,
            max_batch_bytes=max_batch_bytes,
            on_full=on_full,
            delivery_timeout=delivery_timeout,
        )
        kind = kind_of(None if spool is None else SpoolConfig.of(spool), taxonomy, validate)
        producer = kind(
            self._gateway,
            bounded(config, connections),
            retry=self._retry,
            tasks=self._tasks,
            random=self._random,
            on_rejected=on_rejected,
        )
        self._producers.add(producer)
        return producer

    async def load(
        self,
        source: Source | ArrowStream,
        *,
        mapping: TableMapping | Mapping[str, str] | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Report:
        """Send all events of a source through a producer, pulled only as fast as they are sent.

        Args:
            source: pairs of identity and event, sync or async, never made a list of; or a table, read batch by batch:
                anything with `__arrow_c_stream__`, such as a frame of Polars or pandas (extra `arrow`). Ids of events
                that a table does not have are derived from its rows, so that a second load makes no new events.
            mapping: fields of an event by the table's columns, or a `TableMapping`.
            progress: called with the books (`Stats`) a few times a second.
            **options: as for `producer`. A table's requests wait until they are full, unless `linger` is given.

        Returns:
            The final books. Raises InvalidInputError for what is no such source, and where a table's columns or one of
            its rows can't be sent.
        """
        if isinstance(source, ArrowStream):
            source = frame_events(source, mapping, options.get("taxonomy"))
            options.setdefault("linger", UNTIL_THE_END)
        elif mapping is not None:
            raise InvalidInputError("is for tables; pairs of identity and event need none", field="mapping")
        else:
            check_source(source)  # before there is a producer, which may have a spool to open
        async with self.producer(**options) as producer:
            await producer.track_many(source, progress=progress)
            with Reporter(producer.stats, progress):
                await producer.flush()
        return await producer.aclose()

    def _check_call(self, endpoint: Endpoint) -> None:
        self._check_open()
        self._gateway.require(endpoint)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise ClientClosed("the client is closed; make a new one")
        if self._place is None:
            self._place = Place()
            if self._observer is not None:
                self._observer.opened(self, self._gateway.service_id, asyncio.get_running_loop())
        else:
            self._place.check("client")
