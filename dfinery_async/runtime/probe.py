"""A look at the API that changes nothing there: the way to it, its answer to an empty request, and its clock.

The API has no call for this. So one is made that it has to refuse: no identity and no event, or an export that asks for
nothing (API guide, "Loading an event": at least one identifier, at least one event).
"""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import Literal

import msgspec

from dfinery_async.core.endpoints import EVENTS, EXPORT_EVENTS
from dfinery_async.core.outcome import DELIVERED, Outcome, Verdict
from dfinery_async.core.quota_headers import server_time
from dfinery_async.core.reply import Headers
from dfinery_async.errors import ConnectionFailed, DfineryError
from dfinery_async.models import Probe
from dfinery_async.runtime import clock
from dfinery_async.runtime.gateway import Gateway
from dfinery_async.runtime.tasks import TaskOwner

__all__ = ["probe"]

_NO_EVENTS = b'{"common":{"identity":{}},"events":[]}'
_NO_EXPORT = b"{}"
_LONGEST_FAILURE = 4096


async def probe(gateway: Gateway, tasks: TaskOwner, kind: Literal["import", "export"]) -> Probe:
    """Look at the API with the token of one kind.

    Args:
        gateway: the API.
        tasks: owner of the task that does it.
        kind: which token.
    """
    return await tasks.run(_probe(gateway, kind), "probe")


async def _probe(gateway: Gateway, kind: Literal["import", "export"]) -> Probe:
    route = await gateway.look()
    found = Probe() if route is None else Probe(**msgspec.structs.asdict(route))
    if found.trouble is not None:
        return msgspec.structs.replace(found, error=ConnectionFailed(found.trouble))
    loop = asyncio.get_running_loop()
    heard: list[Headers] = []
    begin, before = loop.time(), clock.wall()
    try:
        outcome = await (_ask_import if kind == "import" else _ask_export)(gateway, heard)
        error = outcome.error
    except DfineryError as failure:
        error = failure
    after = clock.wall()
    if not heard:
        return msgspec.structs.replace(found, error=error)
    return msgspec.structs.replace(
        found,
        error=error,
        answer_seconds=loop.time() - begin,
        skew=_skew(server_time(heard[0], math.nan), before, after),
    )


async def _ask_import(gateway: Gateway, heard: list[Headers]) -> Outcome:
    await gateway.pacers["events"].take(asyncio.get_running_loop().time() + gateway.patience)
    return await gateway.send(EVENTS, _NO_EVENTS, heard)


async def _ask_export(gateway: Gateway, heard: list[Headers]) -> Outcome:
    body = b""
    async with gateway.open(EXPORT_EVENTS, _NO_EXPORT) as reply:
        heard.append(reply.headers)
        async with aclosing(reply.chunks()) as pieces:
            async for piece in pieces:
                body += piece
                if not body.startswith(b"{") or len(body) > _LONGEST_FAILURE:
                    break
    body = body.lstrip()
    if reply.status == 200 and body and not body.startswith((b"{", b"<")):
        return DELIVERED  # an export of something: it is not read
    outcome = gateway.failed_export(reply.status, reply.headers, body)
    if outcome.verdict is Verdict.THROTTLED:
        gateway.note_throttled("exports", outcome.error, outcome.retry_after)
    return outcome


def _skew(date: float, before: float, after: float) -> float | None:
    """Return the seconds by which our clock is certainly ahead of the server's, or behind it where they are negative.

    `Date` has whole seconds, and was written at some moment between the request and the answer.
    """
    if math.isnan(date):
        return None
    least, most = before - (date + 1), after - date
    return 0.0 if least <= 0 <= most else least if least > 0 else most
