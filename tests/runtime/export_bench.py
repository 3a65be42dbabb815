"""A far end for exports: answers that a test scripts, and a look at what is left behind."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import asynccontextmanager

import anyio.lowlevel

from dfinery_async.config import RetryConfig
from dfinery_async.core.endpoints import EXPORT_EVENTS
from dfinery_async.core.export_plan import ExportCall
from dfinery_async.core.outcome import classify_export
from dfinery_async.errors import ConnectionFailed
from dfinery_async.runtime.export import Export
from dfinery_async.runtime.tasks import TaskOwner
from dfinery_async.runtime.taxonomy import standard_taxonomy

HEADER = b"df_event_datetime,df_event_name,df_order_id\n"
ROWS = b"2025-03-01 10:00:00.001,df_purchase,00000001\n2025-03-01 10:00:00.002,df_purchase,00000002\n"
CSV = HEADER + ROWS
BREAK = ConnectionFailed("the connection broke")
HANG = object()
DAY = dt.date(2025, 3, 1)
KINDS = {name: column.type for name, column in standard_taxonomy().columns.items() if column.type is not None}


class Reply:
    """A scripted answer: bytes are given, exceptions raised, HANG never goes on."""

    def __init__(self, *script, status=200, complete=True):
        self.status = status
        self.headers = []
        self.complete = complete
        self.script = script
        self.chunks_closed = False
        self.given = 0

    async def chunks(self):
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if step is HANG:
                    await asyncio.Event().wait()
                self.given += 1
                yield step
                await asyncio.sleep(0)  # pieces arrive one by one
        finally:
            self.chunks_closed = True


class Source:
    """The far end: one scripted answer a call, and a count of the places that are taken."""

    secrets = ()

    def __init__(self, *replies, hold=0.0):
        self.replies = list(replies)
        self.bodies = []
        self.taken = 0
        self.hold = hold
        self.throttled = 0
        self.tasks = set()

    @asynccontextmanager
    async def open(self, endpoint, body):
        assert endpoint is EXPORT_EVENTS
        self.bodies.append(body)
        self.tasks.add(asyncio.current_task())
        self.taken += 1
        try:
            reply = self.replies.pop(0)
            if reply is HANG:
                await asyncio.Event().wait()
            if isinstance(reply, Exception):
                raise reply
            yield reply
        finally:
            await anyio.lowlevel.cancel_shielded_checkpoint()
            self.taken -= 1

    def failed_export(self, status, headers, body):
        return classify_export(status, body)

    def note_throttled(self, family, error, retry_after=None):
        assert family == "exports"
        self.throttled += 1
        error.reset_at = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
        return self.hold


class Bench:
    def __init__(self, *replies, parts=1, hold=0.0, **options):
        self.source = Source(*replies, hold=hold)
        self.tasks = TaskOwner()
        self.slept = []
        self.export = Export(
            self.source,
            EXPORT_EVENTS,
            [ExportCall(f"part {n}".encode(), DAY + dt.timedelta(n), DAY + dt.timedelta(n)) for n in range(parts)],
            tasks=self.tasks,
            retry=RetryConfig(),
            random=lambda: 0.5,
            sleep=self.sleep,
            **{"kinds": KINDS, **options},
        )

    async def sleep(self, seconds):
        self.slept.append(seconds)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        """Whatever happened, nothing is left behind."""
        assert self.source.taken == 0
        for _turn in range(3):  # a task ends a turn of the loop before its owner forgets it
            await asyncio.sleep(0)
        assert len(self.tasks) == 0


async def ids(export):
    return [row["df_order_id"] async for row in export]


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the scripted far end moves on with every turn of the loop
        await asyncio.sleep(0)
