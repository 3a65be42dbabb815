"""What the emulator's tests share: a clock to move by hand, a running emulator with a plain HTTP client, bodies."""

from __future__ import annotations

import asyncio
import csv
import io
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from dfinery_async.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

EVENTS = "/api/v1/events"
IDENTITIES = "/api/v1/identities"
DELETION = "/api/v1/identities/delete"
PROFILE = "/api/v1/user-profile"
EVENT_EXPORT = "/api/v1/export/event"
PROFILE_EXPORT = "/api/v1/export/userprofile"

NOW = datetime(2025, 3, 2, 4, 15, 42, 113000, tzinfo=UTC)
WHEN = "2025-03-02T04:15:41.007Z"


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = NOW) -> None:
        self.now = start.timestamp()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@asynccontextmanager
async def running(**switches: Any) -> AsyncIterator[tuple[Emulator, httpx.AsyncClient]]:
    """An emulator whose clock stands still, and a client with its tokens and its service id."""
    switches.setdefault("clock", ManualClock())
    async with Emulator(**switches) as emulator, client_of(emulator) as client:
        yield emulator, client


def client_of(emulator: Emulator) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=emulator.base_url,
        params={"service_id": emulator.service_id},
        headers={"access_token": emulator.import_token, "authorization": f"Bearer {emulator.export_token}"},
        trust_env=False,
        timeout=10,
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the emulator's thread does."""
    while not condition():  # noqa: ASYNC110  # another thread makes it true, without an event of this loop
        await asyncio.sleep(0)


def event(name: str = "df_login", **fields: Any) -> dict[str, Any]:
    made = {
        "event_log_id": str(uuid.uuid4()),
        "event_name": name,
        "event_datetime": WHEN,
        "event_properties": None,
        "event_items": None,
    }
    return {**made, **fields}


def events_body(*events: dict[str, Any], **identity: str) -> dict[str, Any]:
    return {"common": {"identity": identity or {"external_id": "u1"}}, "events": list(events)}


def person_body(**identity: str) -> dict[str, Any]:
    return {"identity": identity, "request_datetime": WHEN}


def profile_body(properties: dict[str, Any], **identity: str) -> dict[str, Any]:
    return {**person_body(**identity), "user_properties": properties}


def day_query(**fields: Any) -> dict[str, Any]:
    return {"events_condition_type": "all", "from_date": "2025-03-02", "to_date": "2025-03-02", **fields}


async def rows_of(client: httpx.AsyncClient, path: str, query: dict[str, Any]) -> list[dict[str, str]]:
    reply = await client.post(path, json=query)
    assert reply.status_code == 200, reply.text
    return list(csv.DictReader(io.StringIO(reply.text, newline="")))
