"""One measurement: the same rows on the way of one engine to the sink, in this process.

    python -m kit.engine_paths '{"way": "send_partition", "users": 1000, "events": 50000, "url": "http://…", "desk": 1}'

An engine's own work (the shuffle of Spark, the files of dlt) is measured only where it runs in this process: of Spark
and Ray it is what a task does with its rows, of dlt all of a pipeline's run.
"""

from __future__ import annotations

import datetime as dt
import gc
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from dfinery_async import DfineryClient, Event, Identity, PacingConfig, send_partition
from kit.child import Meter, answer
from kit.far_end import ask

Row = dict[str, Any]
Way = Callable[[Any, dict[str, Any]], Awaitable[int]]
_BATCH = 5_000
_WARM_UP = 500


def rows_of(users: int, events: int) -> list[Row]:
    """Rows sorted by user and time, without ids."""
    each = events // users
    return [
        {
            "identity": {"external_id": f"user-{user:06}"},
            "event_name": "df_purchase",
            "event_datetime": f"2025-03-02T04:{number // 60 % 60:02}:{number % 60:02}.120Z",
            "event_properties": {"df_order_id": f"{user}-{number}", "df_total_purchase_amount": 12.5},
        }
        for user in range(users)
        for number in range(each)
    ]


async def load(rows: list[Row], settings: dict[str, Any]) -> int:
    """`client.load`: what the others are compared with. It makes its events of the same rows, with new ids."""
    parse = dt.datetime.fromisoformat
    events = (
        (
            Identity(**row["identity"]),
            Event(row["event_name"], properties=row["event_properties"], datetime=parse(row["event_datetime"])),
        )
        for row in rows
    )
    async with DfineryClient(**settings) as client:
        return (await client.load(events, linger=0.05)).delivered


async def partition(rows: list[Row], settings: dict[str, Any]) -> int:
    return send_partition(rows, settings=settings).delivered


async def partition_by_content(rows: list[Row], settings: dict[str, Any]) -> int:
    return send_partition(rows, settings={**settings, "ids": "content"}).delivered


async def partition_with_ids(rows: list[Row], settings: dict[str, Any]) -> int:
    return send_partition(rows, settings=settings).delivered


def _arrow(rows: list[Row]) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(rows)


async def spark(table: Any, settings: dict[str, Any]) -> int:
    from dfinery_async.integrations.spark import DfinerySource

    pacing = settings.pop("pacing")
    source: Any = DfinerySource
    source = source({**settings, "pacing.events": str(pacing.events)})
    delivered: int = source.writer(None, overwrite=False).write(iter(table.to_batches(10_000))).report.delivered
    return delivered


async def ray(table: Any, settings: dict[str, Any]) -> int:
    from dfinery_async.integrations.ray import DfineryDatasink

    return DfineryDatasink(settings).write([table], None).delivered


async def dlt(rows: list[Row], settings: dict[str, Any]) -> int:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt

    from dfinery_async.integrations.dlt import destination

    reports: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench", destination=destination(settings, on_report=reports.append), pipelines_dir=folder
        )
        pipeline.run(rows, table_name="events")
    return sum(report.delivered for report in reports)


async def faststream(bodies: list[bytes], settings: dict[str, Any]) -> int:
    from faststream.message import StreamMessage

    from dfinery_async.integrations.faststream import DfinerySink

    logging.disable()

    async def decode(message: Any) -> Any:
        return [msgspec.json.decode(body) for body in message.body]

    delivered = 0
    async with DfinerySink(**settings) as sink:
        for begin in range(0, len(bodies), _BATCH):
            several = bodies[begin : begin + _BATCH]
            raw = {"channel": "events", "message_ids": [b"%d-0" % (begin + number) for number in range(len(several))]}
            message: Any = StreamMessage(raw, several)
            message.set_decoder(decode)
            delivered += (await sink.deliver(message)).delivered
    return delivered


WAYS: dict[str, Way] = {
    "client.load": load,
    "send_partition": partition,
    "send_partition, ids by content": partition_by_content,
    "send_partition, rows with ids": partition_with_ids,
    "Spark: a task's writer": spark,
    "Ray: a task's write": ray,
    "FastStream: batches of 5,000": faststream,
    "dlt: a pipeline's run": dlt,
}


def _prepared(way: str, rows: list[Row]) -> Any:
    if way.startswith(("Spark", "Ray")):
        return _arrow(rows)
    if way.startswith("FastStream"):
        return [msgspec.json.encode(row) for row in rows]
    if way.endswith("with ids"):
        return [{**row, "event_log_id": f"5f0c7c0e-6a0e-4d0e-9d53-{number:012x}"} for number, row in enumerate(rows)]
    return rows


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Send, and return what it took."""
    way = WAYS[spec["way"]]
    rows = rows_of(spec["users"], spec["events"])
    early, work = _prepared(spec["way"], rows[:_WARM_UP]), _prepared(spec["way"], rows)

    def settings() -> dict[str, Any]:
        wide_open = PacingConfig(events=10**9)
        return {"service_id": "service", "import_token": "token", "base_url": spec["url"], "pacing": wide_open}

    await way(early, settings())
    ask(spec["desk"], "/reset")
    gc.collect()
    gc.freeze()
    meter = Meter()
    meter.start()
    delivered = await way(work, settings())
    took = meter.stop()
    return {**took, "events": len(rows), "delivered": delivered, "seen": ask(spec["desk"], "/stats")}


if __name__ == "__main__":
    answer(measure)
