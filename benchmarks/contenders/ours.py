"""This project's client, by its public calls alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from contenders.common import Contender, Send, Target
from contenders.handmade import by_user, side_by_side
from dfinery_async import ConnectionConfig, DfineryClient, Event, PacingConfig
from kit.loads import Row

_WIDE_OPEN = PacingConfig(events=10**9)  # the quota is not what is measured
_LONG_KEPT = 600.0
_Group: TypeAlias = "tuple[str, list[Event]]"


class NotDeliveredError(Exception):
    """The books at the end do not say that all was delivered."""


def client_of(target: Target) -> DfineryClient:
    """Make a client towards the sink."""
    connections = ConnectionConfig(
        max_connections=target.connections or target.in_flight,
        keepalive_expiry=_LONG_KEPT,
        verify=target.context(),
    )
    return DfineryClient(
        "service", import_token="token", base_url=target.url, connections=connections, pacing=_WIDE_OPEN
    )


@asynccontextmanager
async def _track(target: Target) -> AsyncIterator[Send]:
    async with client_of(target) as client, client.producer(**target.producer) as producer:

        async def send(rows: Sequence[Row]) -> None:
            for user, name, properties in rows:
                await producer.track(user, Event(name, properties=properties))
            report = await producer.flush()
            if report.delivered != report.accepted:
                raise NotDeliveredError(report)

        yield send


async def _load_all(client: DfineryClient, rows: Sequence[Row], options: dict[str, Any]) -> None:
    events = ((user, Event(name, properties=properties)) for user, name, properties in rows)
    report = await client.load(events, **options)
    if report.delivered != len(rows):
        raise NotDeliveredError(report)


@asynccontextmanager
async def _load(target: Target) -> AsyncIterator[Send]:
    async with client_of(target) as client:

        async def send(rows: Sequence[Row]) -> None:
            await _load_all(client, rows, target.producer)

        yield send


@asynccontextmanager
async def _among_idle(target: Target) -> AsyncIterator[Send]:
    """Open all connections with the first rows, and use but a few of them for the rest."""
    async with client_of(target) as client:
        few: dict[str, int] = {}

        async def send(rows: Sequence[Row]) -> None:
            await _load_all(client, rows, {**target.producer, **few})
            few["max_in_flight"] = target.in_flight

        yield send


@asynccontextmanager
async def _receipts(target: Target) -> AsyncIterator[Send]:
    async with client_of(target) as client, client.producer(**target.producer) as producer:

        async def send(rows: Sequence[Row]) -> None:
            receipts = [
                await producer.track(user, Event(name, properties=properties)) for user, name, properties in rows
            ]
            for receipt in receipts:
                await receipt

        yield send


@asynccontextmanager
async def _tasks(target: Target) -> AsyncIterator[Send]:
    async with client_of(target) as client, client.producer(**target.producer) as producer:

        async def deliver(row: Row) -> None:
            user, name, properties = row
            await (await producer.track(user, Event(name, properties=properties)))

        async def send(rows: Sequence[Row]) -> None:
            async with asyncio.TaskGroup() as group:
                for row in rows:
                    group.create_task(deliver(row))

        yield send


def _event(name: str, properties: dict[str, object]) -> Event:
    return Event(name, properties=properties)


@asynccontextmanager
async def _send(target: Target, *, whole_users: bool) -> AsyncIterator[Send]:
    async with client_of(target) as client:

        async def call(group: _Group) -> None:
            await client.send_events(*group)

        async def send(rows: Sequence[Row]) -> None:
            if whole_users:
                groups = iter(by_user(rows, _event).items())
            else:
                groups = ((user, [_event(name, properties)]) for user, name, properties in rows)
            await side_by_side(groups, [call] * target.in_flight)

        yield send


TRACK = Contender(label="our producer, track", kind="ours", open=_track)
LOAD = Contender(label="ours, client.load", kind="ours", open=_load)
AMONG_IDLE = Contender(label="ours, client.load, most connections idle", kind="ours", open=_among_idle)
RECEIPTS = Contender(label="our producer, every receipt awaited", kind="ours", open=_receipts)
TASKS = Contender(label="our producer, a task for every event", kind="ours", open=_tasks)
SEND_MANY = Contender(
    label="ours, send_events, a user's events at once", kind="ours", open=partial(_send, whole_users=True)
)
SEND_ONE = Contender(
    label="ours, send_events, one event a call", kind="ours", open=partial(_send, whole_users=False), cap=20_000
)
