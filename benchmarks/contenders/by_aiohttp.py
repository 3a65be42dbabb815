"""aiohttp with orjson: one request an event, and batched by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from contenders.common import Contender, Send, Target
from contenders.handmade import HEADERS, PATH, confirm, grouped, one_by_one, side_by_side
from kit.loads import Row


@asynccontextmanager
async def _open(target: Target, requests: Callable[[Iterable[Row]], Iterator[dict[str, Any]]]) -> AsyncIterator[Send]:
    import aiohttp
    import orjson

    connector = aiohttp.TCPConnector(limit=target.in_flight, ssl=target.context() or True)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:
        url = target.url + PATH

        async def post(request: dict[str, Any]) -> None:
            async with session.post(url, data=orjson.dumps(request)) as reply:
                confirm(reply.status, orjson.loads(await reply.read()))

        async def send(rows: Sequence[Row]) -> None:
            await side_by_side(requests(rows), [post] * target.in_flight)

        yield send


GATHER = Contender(label="aiohttp gather, orjson", kind="http", open=partial(_open, requests=one_by_one), cap=50_000)
BATCHED = Contender(label="aiohttp gather, orjson, batched by hand", kind="http", open=partial(_open, requests=grouped))
