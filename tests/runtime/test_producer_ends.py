"""How receipts, flushes, blocks and producers come to their ends. In virtual time."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from far_end import FarEnd, balanced, client_of, virtually

from dfinery_async import (
    ClientClosed,
    ConnectionFailed,
    DeliveryError,
    DfineryError,
)


def test_a_receipt_may_be_awaited_by_many_and_again() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer() as producer:
            receipt = await producer.track("u", "e")

            async def wait() -> str:
                return (await receipt).status

            cancelled = asyncio.create_task(wait())
            await asyncio.sleep(0)
            cancelled.cancel()
            assert [*await asyncio.gather(wait(), wait())] == ["delivered"] * 2
            assert (await receipt).status == "delivered"

    virtually(scenario())


def test_aclose_delivers_what_is_left_and_refuses_more() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client:
            async with client.producer() as producer:
                for number in range(1000):
                    await producer.track(f"u{number}", "e")
            report = await producer.aclose()
            assert report.delivered == 1000
            assert await producer.aclose() is report
            assert await producer.flush() is report
            assert producer.stats().state == "closed"
            for call in (producer.track("u", "e"), producer.identify("u"), producer.set_profile("u", {"a": 1})):
                with pytest.raises(ClientClosed):
                    await call
            with pytest.raises(ClientClosed):
                producer.track_nowait("u", "e")

    virtually(scenario())


def test_aclose_in_time_with_exact_books_whatever_the_api_does() -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=3600.0)
        async with client_of(far_end) as client:
            producer = client.producer()
            receipts = [await producer.track(f"u{number}", "e") for number in range(200)]
            flush = asyncio.create_task(producer.flush())
            before = asyncio.get_running_loop().time()
            report = await producer.aclose(timeout=2.0)
            assert asyncio.get_running_loop().time() - before <= 2.5
            assert (report.accepted, report.dropped, report.pending) == (200, 200, 0)
            assert (await flush).to_dict() == report.to_dict()
            with pytest.raises(DeliveryError) as caught:
                await receipts[0]
            assert isinstance(caught.value.__cause__, ClientClosed)

    virtually(scenario())


def test_a_cancelled_close_ends_at_once_with_exact_books() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=3600.0)) as client:
            producer = client.producer()
            await producer.track("u", "e")
            closing = asyncio.create_task(producer.aclose())
            await asyncio.sleep(1)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert (producer.stats().dropped, producer.stats().pending) == (1, 0)

    virtually(scenario())


def test_a_cancelled_block_closes_at_once() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=3600.0)) as client:
            producer = client.producer()

            async def work() -> None:
                async with producer:
                    await producer.track("u", "e")
                    await asyncio.sleep(3600)

            task = asyncio.create_task(work())
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.get_running_loop().time() < 2
            assert producer.stats().state == "closed"

    virtually(scenario())


def test_flush_covers_what_came_before_and_keeps_its_time() -> None:
    async def scenario() -> None:
        far_end = FarEnd(latency=1.0)
        async with client_of(far_end) as client, client.producer() as producer:
            assert (await producer.flush()).accepted == 0
            await producer.track("u", "a")
            await asyncio.sleep(0.5)
            flush = asyncio.create_task(producer.flush())
            await asyncio.sleep(0)
            await producer.track("u", "b")
            report = await flush
            assert (report.delivered, report.pending) == (1, 1)
            report = await producer.flush(timeout=0.1)
            assert report.pending == 1
            assert (await producer.flush(timeout=10)).pending == 0

    virtually(scenario())


def test_a_delivery_timeout_drops_what_could_not_be_delivered() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: httpx.ConnectError("refused"))
        async with client_of(far_end) as client, client.producer(delivery_timeout=30.0) as producer:
            receipt = await producer.track("u", "e")
            with pytest.raises(DeliveryError, match="delivery_timeout") as caught:
                await receipt
            assert isinstance(caught.value.__cause__, ConnectionFailed)
            assert asyncio.get_running_loop().time() < 60.5
            assert producer.stats().dropped == 1

    virtually(scenario())


def test_a_producer_never_closed_warns() -> None:
    async def scenario() -> None:
        client = client_of(FarEnd(latency=1.0))
        producer = client.producer()
        await producer.track("u", "e")
        with pytest.warns(ResourceWarning, match="never closed: 1 units"):
            producer.__del__()
        await client.aclose()

    virtually(scenario())


def test_a_transport_with_a_bug_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(lambda call: KeyError("bug"))) as client:
            producer = client.producer(max_pending_events=2)
            receipt = await producer.track("u", "e")
            await producer.track("v", "e")
            waiting = asyncio.create_task(producer.track("w", "e"))
            flushing = asyncio.create_task(producer.flush())
            with pytest.raises(DeliveryError) as caught:
                await receipt
            assert isinstance(caught.value.__cause__, DfineryError)
            assert isinstance(caught.value.__cause__.__cause__, KeyError)
            with pytest.raises(ClientClosed):
                await waiting
            assert balanced(await flushing)
            with pytest.raises(ClientClosed):
                await producer.track("u", "e")
            assert producer.stats().state == "failed"
            assert (await producer.aclose()).dropped == 2

    virtually(scenario())
    assert any("the producer stopped: KeyError" in record.message for record in caplog.records)
