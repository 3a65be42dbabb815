"""Plain httpx: in a gather, one after another, and in several small clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import httpx

from contenders.common import Contender, Send, Target
from contenders.handmade import HEADERS, PATH, confirm, one_by_one, side_by_side
from kit.loads import Row

_SHARD = 8


@asynccontextmanager
async def _open(target: Target, *, shard: int | None = None, in_flight: int | None = None) -> AsyncIterator[Send]:
    in_flight = in_flight or target.in_flight
    shard = shard or in_flight
    limits = httpx.Limits(max_connections=shard, max_keepalive_connections=shard)
    verify = target.context() or True
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=target.url, headers=HEADERS, limits=limits, verify=verify)
            )
            for _ in range(max(1, in_flight // shard))
        ]

        async def post(request: dict[str, Any], client: httpx.AsyncClient) -> None:
            reply = await client.post(PATH, json=request)
            confirm(reply.status_code, reply.json())

        work = [partial(post, client=clients[number % len(clients)]) for number in range(in_flight)]

        async def send(rows: Sequence[Row]) -> None:
            await side_by_side(one_by_one(rows), work)

        yield send


GATHER = Contender(label="httpx gather, one client", kind="http", open=_open, cap=4_000)
SHARDS = Contender(
    label="httpx gather, clients of 8 connections", kind="http", open=partial(_open, shard=_SHARD), cap=8_000
)
SEQUENTIAL = Contender(label="httpx, one after another", kind="http", open=partial(_open, in_flight=1), cap=4_000)
