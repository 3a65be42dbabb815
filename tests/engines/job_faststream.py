"""A FastStream application on a Redis stream: fills it with a file's rows, or sends what is in it until it is empty.

What an application that died has left unacknowledged is sent first, so that the order of each user holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter

from faststream import AckPolicy
from faststream.redis import RedisBroker, RedisStreamMessage, StreamSub
from redis.asyncio import Redis

from dfinery_async.integrations.faststream import DfinerySink

STREAM, GROUP = "events", "dfinery"
PIPELINE = 1000


async def fill(url: str, path: str) -> int:
    count = 0
    async with RedisBroker(url) as broker, Redis.from_url(url) as redis:
        await redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        pipeline = redis.pipeline(transaction=False)
        with open(path, "rb") as lines:  # noqa: ASYNC230, PTH123 - a script that does nothing else
            for line in lines:
                await broker.publish(json.loads(line), stream=STREAM, pipeline=pipeline)
                count += 1
                if count % PIPELINE == 0:
                    await pipeline.execute()
        await pipeline.execute()
    return count


async def send(url: str, batch: int) -> Counter[str]:
    totals: Counter[str] = Counter()
    async with DfinerySink() as sink, Redis.from_url(url) as redis:
        left = StreamSub(STREAM, group=GROUP, consumer="one", batch=True, max_records=batch, min_idle_time=0)
        await run(url, left, sink, redis, totals)
        new = StreamSub(STREAM, group=GROUP, consumer="one", batch=True, max_records=batch, polling_interval=100)
        await run(url, new, sink, redis, totals)
    return totals


async def run(url: str, stream: StreamSub, sink: DfinerySink, redis: Redis, totals: Counter[str]) -> None:
    broker, settled = RedisBroker(url, logger=None), asyncio.Event()

    @broker.subscriber(stream=stream, ack_policy=AckPolicy.MANUAL)
    async def events(message: RedisStreamMessage) -> None:
        outcome = await sink.deliver(message)
        totals.update(delivered=outcome.delivered, rejected=outcome.rejected)
        settled.set()

    async with broker:
        await broker.start()
        while not await is_empty(redis, only_pending=stream.min_idle_time is not None):
            await settled.wait()
            settled.clear()


async def is_empty(redis: Redis, *, only_pending: bool) -> bool:
    (group,) = await redis.xinfo_groups(STREAM)
    return group["pending"] == 0 and (only_pending or group["lag"] == 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--fill")
    parser.add_argument("--batch", type=int, default=5000)
    chosen = parser.parse_args()
    if chosen.fill:
        result: object = {"filled": asyncio.run(fill(chosen.url, chosen.fill))}
    else:
        result = asyncio.run(send(chosen.url, chosen.batch))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
