"""A plain asyncio worker: takes orders from standard input, one JSON object a line, until it is told to end.

    python examples/worker.py < orders.jsonl

SIGTERM, as a deploy sends it, or Ctrl-C: it reads no more, and delivers what it took for at most 20 seconds. What is
left then stays in the folder `worker-spool`, and the next start sends it first.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from dfinery_async import DfineryClient, Event


async def orders(stop: asyncio.Event) -> AsyncIterator[dict[str, Any]]:
    """Give one order after another; whatever you take work from stands here."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    stopped = asyncio.ensure_future(stop.wait())
    while not stopped.done():
        line = asyncio.ensure_future(reader.readline())
        await asyncio.wait({line, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not line.done():
            line.cancel()
            return
        if not line.result():
            stopped.cancel()
            return
        yield json.loads(line.result())


async def main() -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with DfineryClient.from_env() as client, client.producer(spool="worker-spool") as producer:
        print("working", flush=True)
        async for order in orders(stop):
            properties = {"df_order_id": order["id"], "df_total_purchase_amount": order["amount"]}
            await producer.track(order["user"], Event("df_purchase", properties=properties))
        report = await producer.aclose(timeout=20)
    print(json.dumps({"delivered": report.delivered, "spooled": report.spooled}))


if __name__ == "__main__":
    asyncio.run(main())
