"""How a producer behaves towards a server in trouble, and how it comes back. In virtual time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, client_of, failed, virtually

from dfinery_async import ClientClosed, ConnectionFailed, DeliveryError, DfineryError, InvalidToken
from dfinery_async.runtime.pacer import Pacer


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_server_in_trouble_gets_fewer_requests_at_a_time() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(50000) if 5 < call.at < 30 else None, latency=0.5)
        async with client_of(far_end) as client:
            producer = client.producer(max_pending_events=1000)
            feeder = asyncio.create_task(feed(producer))
            await asyncio.sleep(25)
            far_end.most_in_air = 0
            await asyncio.sleep(5)
            during = far_end.most_in_air
            await asyncio.sleep(25)
            far_end.most_in_air = 0
            await asyncio.sleep(5)
            after = far_end.most_in_air
            feeder.cancel()
            await producer.aclose(timeout=0)
        assert during <= 4
        assert after == 64

    async def feed(producer: Any) -> None:
        number = 0
        while True:
            await producer.track(f"u{number}", "e")
            number += 1

    virtually(scenario())


def test_a_storm_of_retries_is_slowed_and_nothing_is_dropped() -> None:
    """Every first attempt of every other user fails: retries are held to what the successes allow."""

    async def scenario() -> None:
        seen: set[str] = set()
        retries: list[float] = []

        def answer(call: Call) -> Any:
            if int(call.identity["external_id"]) % 2:
                return None
            if call.user in seen:
                retries.append(call.at)
            seen.add(call.user)
            return failed(50000) if call.at < 120 else None

        far_end = FarEnd(answer)
        async with client_of(far_end) as client:
            producer = client.producer()
            for number in range(4000):
                await producer.track(str(number), "e")
            await asyncio.sleep(110)
            late = [at for at in retries if at > 60]
            successes = sum(60 < call.at < 110 and int(call.identity["external_id"]) % 2 for call in far_end.calls)
            assert 40 <= len(late) <= 50 + successes / 10 + 1
            report = await producer.aclose(timeout=None)
            assert report.delivered == 4000

    virtually(scenario())


def test_an_outage_is_probed_gently_and_made_up_for_quickly() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: httpx.ConnectError("refused") if call.at < 600 else None, latency=0.01)
        async with client_of(far_end) as client:
            producer = client.producer()
            for number in range(2000):
                await producer.track(f"u{number}", "e")
            await asyncio.sleep(599)
            assert producer.stats().state == "unreachable"
            assert len(far_end.calls) < 400
            await producer.flush()
            assert now() < 600 + 60
            report = await producer.aclose()
            assert report.delivered == 2000

    virtually(scenario())


def test_retry_after_is_honoured() -> None:
    async def scenario() -> None:
        far_end = FarEnd(
            lambda call: httpx.Response(503, headers={"retry-after": "17"}) if len(far_end.calls) == 1 else None
        )
        async with client_of(far_end) as client, client.producer() as producer:
            await (await producer.track("u", "e"))
            assert 17 <= far_end.calls[1].at <= 18
        far_end.calls.clear()
        before = now()
        async with client_of(far_end) as client:
            await client.send_events("u", "e")
            assert 17 <= now() - before <= 18

    virtually(scenario())


def test_retry_after_counts_for_a_throttled_call_without_a_reset() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40401, 429, **{"retry-after": "12"}) if len(far_end.calls) == 1 else None)
        async with client_of(far_end) as client, client.producer() as producer:
            await (await producer.track("u", "e"))
            assert 12 <= far_end.calls[1].at <= 14.1

    virtually(scenario())


def test_a_stale_connection_is_tried_again_once_at_once() -> None:
    async def scenario() -> None:
        gone = httpx.RemoteProtocolError("Server disconnected without sending a response.")
        far_end = FarEnd(lambda call: gone if len(far_end.calls) <= 1 else None)
        async with client_of(far_end) as client, client.producer() as producer:
            await (await producer.track("u", "e"))
            assert far_end.calls[1].at - far_end.calls[0].at == pytest.approx(0.05, abs=0.001)
        far_end.calls.clear()
        async with client_of(far_end) as client:
            await client.send_events("u", "e")
            assert far_end.calls[1].at - far_end.calls[0].at == pytest.approx(0.05, abs=0.001)
        far_end.calls.clear()
        always = FarEnd(lambda call: gone)
        async with client_of(always) as client:
            producer = client.producer()
            await producer.track("u", "e")
            await asyncio.sleep(60)
            assert len(always.calls) < 40
            await producer.aclose(timeout=0)

    virtually(scenario())


def test_a_producer_that_cannot_succeed_says_so_after_a_minute() -> None:
    async def scenario() -> None:
        good = "new-token"
        far_end = FarEnd(lambda call: None if call.headers["access_token"] == good else failed(40201))
        async with client_of(far_end) as client:
            producer = client.producer(max_pending_events=2)
            kept = [await producer.track("u", "e") for _ in range(2)]
            waiting = asyncio.create_task(producer.track("u", "e"))
            with pytest.raises(DeliveryError, match="40201") as caught:
                await waiting
            assert isinstance(caught.value.__cause__, InvalidToken)
            assert 59 <= now() <= 130
            with pytest.raises(DeliveryError):
                await producer.track("u", "e")
            with pytest.raises(DeliveryError):
                producer.track_nowait("u", "e")
            client.set_tokens(import_token=good)
            late = await producer.track("u", "e")
            assert [(await receipt).status for receipt in (*kept, late)] == ["delivered"] * 3
            await producer.aclose()

    virtually(scenario())


def test_another_loop_is_told_apart() -> None:
    async def first() -> tuple[Any, Any]:
        client = client_of(FarEnd())
        producer = client.producer()
        await producer.track("u", "e")
        await producer.flush()
        return client, producer

    async def second(client: Any, producer: Any) -> None:
        with pytest.raises(ClientClosed, match="another event loop"):
            await producer.track("u", "e")
        for call in (client.send_events("u", "e"), producer.flush(), producer.aclose(), client.aclose()):
            with pytest.raises(ClientClosed, match="another event loop"):
                await call

    virtually(second(*virtually(first())))


def test_the_loop_of_another_thread_is_refused_at_once(tmp_path: Path) -> None:
    async def elsewhere(client: Any, *producers: Any) -> None:
        calls = [client.aclose(), *(call() for each in producers for call in (each.flush, each.aclose))]
        for call in (*calls, producers[1].__aenter__()):
            with pytest.raises(ClientClosed, match="another event loop"):
                await call

    async def main() -> None:
        client = client_of(FarEnd(latency=0.01))
        async with client.producer() as producer, client.producer(spool=tmp_path) as spooled:
            await producer.track("u", "e")
            await asyncio.to_thread(asyncio.run, elsewhere(client, producer, spooled))
            assert (await producer.flush()).delivered == 1
        await client.aclose()
        await asyncio.to_thread(asyncio.run, once_more(client, producer))

    async def once_more(client: Any, producer: Any) -> None:
        """What has ended tells so anywhere."""
        await client.aclose()
        assert (await producer.aclose()).delivered == 1

    asyncio.run(main())


def test_tokens_are_changed_where_the_client_is_used() -> None:
    async def main() -> None:
        far_end = FarEnd(latency=0.01)
        client = client_of(far_end)
        await asyncio.to_thread(client.set_tokens, import_token="from-anywhere")
        async with client, client.producer() as producer:
            await producer.track("u", "e")
            with pytest.raises(ClientClosed, match="client belongs to another event loop"):
                await asyncio.to_thread(client.set_tokens, import_token="refused")
            await producer.flush()
            client.set_tokens(import_token="from-here")
            await producer.track("u", "e")
        tokens = [call.headers["access_token"] for call in far_end.calls]
        assert tokens == ["from-anywhere", "from-here"]

    asyncio.run(main())


FORKED = """
import asyncio, os, sys
import httpx
from dfinery_async import ClientClosed, DfineryClient
from dfinery_async.runtime import place

async def main():
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"status": True, "code": 20000}))
    async with DfineryClient("s", import_token="t", transport=transport) as client, client.producer() as producer:
        await producer.track("u", "e")
        child = os.fork()
        if child:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        if FORGETS:
            place._forks[0] = 0
        told = 0
        for call in (producer.track("u", "e"), client.upsert_identity("u")):
            try:
                await call
            except ClientClosed as error:
                told += "process" in str(error)
            except RuntimeError:
                pass  # the child has no loop that runs
        os._exit(told)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.parametrize(("forgets", "told"), [(False, 2), (True, 0)])
def test_a_forked_child_is_told_apart(forgets: bool, told: int) -> None:
    """One that does not count its fork goes on with its parent's connections: the check can fail."""
    done = subprocess.run([sys.executable, "-c", f"FORGETS = {forgets}\n{FORKED}"], check=False)

    assert done.returncode == told


def test_the_end_of_the_pacing_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seeded defect in the pacer: callers and producers hear of it at once."""

    def broken(self: Pacer) -> int:
        raise OverflowError("seeded")

    monkeypatch.setattr(Pacer, "_lease", broken)

    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer()
            receipt = await producer.track("u", "e")
            with pytest.raises(DfineryError, match="pacing"):
                await client.send_events("u", "e")
            with pytest.raises(DeliveryError):
                await receipt
            assert producer.stats().state == "failed"
            with pytest.raises(DfineryError, match="pacing"):
                await client.send_events("u", "e")

    virtually(scenario())


def test_time_without_an_answer_is_told() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: httpx.ReadTimeout("slow"), latency=4.0)
        async with client_of(far_end) as client:
            producer = client.producer()
            assert producer.stats().silent_for == 0.0
            await producer.track("u", "e")
            await asyncio.sleep(30)
            assert 28 <= producer.stats().silent_for <= 30
            assert isinstance(producer.trouble, ConnectionFailed)
            await producer.aclose(timeout=0)
            assert producer.stats().silent_for == 0.0

    virtually(scenario())
