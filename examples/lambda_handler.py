"""A short process in the style of AWS Lambda: a batch of messages is delivered before it returns, or handed back.

Each invocation has a loop of its own, and so a client of its own. Nothing is left for later: a process that is frozen
after its answer sends nothing more. Messages that could not be delivered in time are handed back to the queue, which
brings them again; as the id of the message is the id of the event, a second delivery can be told from a first.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

from dfinery_async import DeliveryError, DfineryClient, Event

RESERVE = 1.0  # seconds for the way back


class Context(Protocol):
    """What the platform hands over."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the process is ended."""
        ...


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    return asyncio.run(deliver(event["Records"], context.get_remaining_time_in_millis() / 1000 - RESERVE))


async def deliver(records: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    async with DfineryClient.from_env() as client, client.producer() as producer:
        receipts = {}
        for record in records:
            order = json.loads(record["body"])
            properties = {"df_order_id": order["id"], "df_total_purchase_amount": order["amount"]}
            event = Event("df_purchase", properties=properties, log_id=record["messageId"])
            receipts[record["messageId"]] = await producer.track(order["user"], event)
        await producer.aclose(timeout=seconds)
        failed = []
        for message, receipt in receipts.items():
            try:
                await receipt
            except DeliveryError:
                failed.append(message)
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
