"""What order per user costs: our lanes against a model that sends any events of a user at any time.

Both have the same stream of events, the same bound on what is pending, 32 requests in the air and 50 ms a round trip.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
import itertools
from collections import Counter
from random import Random

import httpx
from sim_loop import virtually

from dfinery_async import DfineryClient, Event, Identity
from dfinery_async.config import ConnectionConfig

__all__ = ["STREAMS", "ordered", "stream", "unordered"]

IN_FLIGHT = 32
ROUND_TRIP = 0.05
PENDING = 100_000
_MOST = 100
_FINE = httpx.Response(200, content=b'{"status":true,"code":"20000","message":"OK","data":true}')
_MOMENT = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)

STREAMS = {
    "even": lambda rank: 1.0,
    "zipf 1.0": lambda rank: 1.0 / (rank + 1),
    "zipf 1.2": lambda rank: (rank + 1) ** -1.2,
    "one hot user, 10 %": lambda rank: 1.0 if rank else 20_000 / 9,
}


def stream(name: str, events: int, users: int = 20_000) -> list[int]:
    """Whose each event is."""
    weights = list(itertools.accumulate(map(STREAMS[name], range(users))))
    return Random(f"{name} {events}").choices(range(users), cum_weights=weights, k=events)


class _Echo(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(ROUND_TRIP)
        return _FINE


def ordered(whose: list[int]) -> float:
    """Events a second of virtual time through the client."""

    async def scenario() -> float:
        who = [Identity(external_id=str(user)) for user in range(max(whose) + 1)]
        connections = ConnectionConfig(max_connections=IN_FLIGHT)
        client = DfineryClient("svc", import_token="t", transport=_Echo(), connections=connections)
        async with client, client.producer(max_pending_events=PENDING) as producer:
            for number, user in enumerate(whose):
                log_id = f"00000000-51ed-4abc-8def-{number:012x}"
                await producer.track(who[user], Event("e", datetime=_MOMENT, log_id=log_id))
            report = await producer.flush()
            assert report.delivered == len(whose)
            return report.delivered / report.seconds

    return virtually(scenario())


def unordered(whose: list[int]) -> float:
    """Events a second in a model without order: in every slot the user with the most events, as many as fit."""
    source = iter(whose)
    backlog = Counter[int]()
    longest: list[tuple[int, int]] = []
    pending = rounds = 0
    while True:
        for user in itertools.islice(source, PENDING - pending):
            backlog[user] += 1
            pending += 1
            heapq.heappush(longest, (-backlog[user], user))
        if not pending:
            return len(whose) / (rounds * ROUND_TRIP)
        rounds += 1
        free = IN_FLIGHT
        while free and longest:
            count, user = heapq.heappop(longest)
            if backlog[user] != -count:
                continue  # it has changed since
            sent = min(_MOST, backlog[user])
            pending -= sent
            backlog[user] -= sent
            if backlog[user]:
                heapq.heappush(longest, (-backlog[user], user))
            free -= 1
