"""What a careful engineer writes around a general HTTP client: events, bodies, workers, a look at the answer."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from kit.loads import MOST_PER_REQUEST, Row

PATH = "/api/v1/events?service_id=service"
HEADERS = {"access_token": "token", "content-type": "application/json"}
_T = TypeVar("_T")


class NotConfirmedError(Exception):
    """The sink's answer was not the one for a success."""


def event_of(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Return an event as the API takes it, with an id of its own and now as its time."""
    now = dt.datetime.now(dt.UTC)
    return {
        "event_log_id": str(uuid.uuid4()),
        "event_name": name,
        "event_datetime": f"{now.isoformat(timespec='milliseconds')[:-6]}Z",
        "event_properties": properties,
        "event_items": None,
    }


def payload(user: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a request says."""
    return {"common": {"identity": {"external_id": user}}, "events": events}


def one_by_one(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Make a request of every event."""
    for user, name, properties in rows:
        yield payload(user, [event_of(name, properties)])


def grouped(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Make requests of up to 100 events of one user: full ones as they fill, the rest at the end."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for user, name, properties in rows:
        group = groups.setdefault(user, [])
        group.append(event_of(name, properties))
        if len(group) == MOST_PER_REQUEST:
            yield payload(user, groups.pop(user))
    for user, group in groups.items():
        yield payload(user, group)


def by_user(rows: Iterable[Row], make: Callable[[str, dict[str, Any]], _T]) -> dict[str, list[_T]]:
    """Sort all rows by user."""
    users: dict[str, list[_T]] = {}
    for user, name, properties in rows:
        users.setdefault(user, []).append(make(name, properties))
    return users


def confirm(status: int, envelope: Any) -> None:
    """Look at an answer.

    Raises:
        NotConfirmedError: it is not a success.
    """
    if status != 200 or envelope["status"] is not True or envelope["code"] != "20000":
        raise NotConfirmedError(f"status {status}")


async def side_by_side(jobs: Iterable[_T], work: Sequence[Callable[[_T], Awaitable[object]]]) -> None:
    """Do all jobs, one at a time with each of the workers."""
    rest = iter(jobs)

    async def run(do: Callable[[_T], Awaitable[object]]) -> None:
        for job in rest:
            await do(job)

    await asyncio.gather(*(run(do) for do in work))
