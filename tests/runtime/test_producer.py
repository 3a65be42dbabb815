"""The producer against a scripted API, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from far_end import Call, FarEnd, balanced, client_of, failed, numbered, ok, virtually

from dfinery_async import (
    ClientClosed,
    ConfigError,
    ConnectionConfig,
    ConnectionFailed,
    DeliveryError,
    DfineryError,
    Event,
    Identity,
    InvalidInputError,
    InvalidToken,
    QueueFull,
    Receipt,
    Rejection,
    Stats,
)


def test_every_event_arrives_once_in_order_in_full_requests() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer() as producer:
            for number in range(5000):
                await producer.track(f"u{number % 20}", numbered(number))
            report = await producer.flush()
        by_user = defaultdict(list)
        for user, number in far_end.applied():
            by_user[user].append(number)
        assert len(by_user) == 20
        for numbers in by_user.values():
            assert numbers == sorted(numbers)
        assert sum(map(len, by_user.values())) == 5000
        assert report.accepted == report.delivered == 5000
        assert report.requests == len(far_end.calls)
        assert report.requests <= 120
        assert balanced(report)

    virtually(scenario())


def test_one_event_leaves_at_once() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer() as producer:
            receipt = await producer.track("u", "df_login")
            delivery = await receipt
            assert (delivery.status, delivery.attempts) == ("delivered", 1)
            assert far_end.calls[0].at < 0.001
            assert receipt.done()
            assert "done" in repr(receipt)

    virtually(scenario())


def test_linger_waits_from_the_first_event() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(linger=1.0) as producer:
            await producer.track("u", "a")
            await asyncio.sleep(0.9)
            await producer.track("u", "b")
            await asyncio.sleep(0.5)
            assert [(round(call.at, 3), len(call.events)) for call in far_end.calls] == [(1.0, 2)]

    virtually(scenario())


def test_a_flush_ends_the_linger() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(linger=60.0) as producer:
            await producer.track("u", "a")
            report = await producer.flush()
            assert report.delivered == 1
            assert far_end.calls[0].at < 0.01

    virtually(scenario())


def test_profiles_and_identities_keep_their_place() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        who = Identity(external_id="u", email="kim@example.com")
        async with client_of(far_end) as client, client.producer() as producer:
            await producer.identify(who)
            await producer.identify(who)
            await producer.track(who, numbered(1))
            await producer.set_profile(who, {"a": 1, "b": 1})
            await producer.set_profile(who, {"b": 2})
            await producer.track(who, numbered(2))
            report = await producer.flush()
        assert [call.path.rsplit("/", 1)[1] for call in far_end.calls] == [
            "identities",
            "events",
            "user-profile",
            "events",
        ]
        assert far_end.calls[2].body["user_properties"] == {"a": 1, "b": 2}
        assert report.delivered == report.accepted == 6
        assert report.requests == 4

    virtually(scenario())


def test_exact_identities_are_users_of_their_own() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer() as producer:
            await producer.track("1", numbered(1))
            await producer.track(Identity(external_id="1"), numbered(2))
            await producer.track(Identity(external_id="1", email="kim@example.com"), numbered(3))
            await producer.track(Identity(email="1"), numbered(4))
        assert sorted(call.numbers for call in far_end.calls) == [[1, 2], [3], [4]]

    virtually(scenario())


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: failed(50000, message="INTERNAL_SERVER_ERROR"),
        lambda: httpx.Response(503, text="<html>"),
        lambda: httpx.Response(200, text="<html>log in</html>"),
        lambda: httpx.ConnectError("refused"),
        lambda: httpx.ReadTimeout("slow"),
        lambda: httpx.RemoteProtocolError("gone"),
    ],
)
def test_passing_trouble_is_retried_with_the_same_bytes(trouble: Callable[[], Any]) -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: trouble() if len(far_end.calls) <= 3 else None)
        async with client_of(far_end) as client, client.producer() as producer:
            receipt = await producer.track("u", numbered(1))
            await asyncio.sleep(0.01)
            await producer.track("u", numbered(2))
            assert (await receipt).attempts == 4
            report = await producer.flush()
        assert len({call.raw for call in far_end.calls[:4]}) == 1
        assert [call.numbers for call in far_end.calls[3:]] == [[1], [2]]
        assert report.retries == 3
        assert report.delivered == 2

    virtually(scenario())


def test_a_too_large_request_teaches_a_smaller_one() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed("40402", message="TOO_MANY_EVENTS") if len(call.events) > 30 else None)
        async with client_of(far_end) as client, client.producer() as producer:
            for number in range(400):
                await producer.track("u", numbered(number))
            report = await producer.flush()
        assert report.delivered == 400
        refused = [call for call in far_end.calls if len(call.events) > 30]
        assert len(refused) <= 4  # the last is a trial
        assert [number for call in far_end.calls if len(call.events) <= 30 for number in call.numbers] == [*range(400)]

    virtually(scenario())


def test_requests_grow_full_again_after_one_event_that_was_too_large() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: httpx.Response(413) if 99 in call.numbers else None)
        async with client_of(far_end) as client, client.producer() as producer:
            for number in range(3000):
                await producer.track("u", numbered(number))
            report = await producer.flush()
            assert (report.delivered, report.rejected) == (2999, 1)
            assert [len(call.events) for call in far_end.calls][-2] == 100
            assert len(far_end.calls) < 120

    virtually(scenario())


def test_a_refused_token_stops_everything_and_drops_nothing() -> None:
    async def scenario() -> None:
        good = "new-token"
        far_end = FarEnd(lambda call: None if call.headers["access_token"] == good else failed("40201"))
        async with client_of(far_end) as client:
            producer = client.producer()
            receipts = [await producer.track(f"u{number}", numbered(number)) for number in range(300)]
            await asyncio.sleep(600.0)
            stats = producer.stats()
            assert stats.state == "unauthorized"
            assert stats.pending == 300
            assert len(far_end.calls) <= 64 + 16  # those in the air when it was noticed, then slow probes
            client.set_tokens(import_token=good)
            assert (await receipts[-1]).status == "delivered"
            report = await producer.aclose()
            assert report.delivered == 300
            assert report.state == "closed"

    virtually(scenario())


def test_a_wrong_service_or_address_is_named() -> None:
    async def scenario(answer: httpx.Response) -> str:
        far_end = FarEnd(lambda call: answer)
        async with client_of(far_end) as client:
            producer = client.producer()
            await producer.track("u", "e")
            await asyncio.sleep(5)
            state = producer.stats().state
            report = await producer.aclose(timeout=0)
            assert report.dropped == 1
            return state

    for answer in (failed(40101), httpx.Response(302, headers={"location": "https://elsewhere.example"})):
        assert virtually(scenario(answer)) == "misconfigured"


def test_a_token_that_its_function_cannot_give_is_no_loss() -> None:
    async def scenario() -> None:
        tokens = ["first"]

        def token() -> str:
            if not tokens:
                raise ConfigError("the vault is sealed")
            return tokens[0]

        async with client_of(FarEnd()) as client:
            client.set_tokens(import_token=token)
            producer = client.producer()
            tokens.clear()
            receipt = await producer.track("u", "e")
            await asyncio.sleep(10)
            assert producer.stats().state == "unauthorized"
            tokens.append("second")
            assert (await receipt).status == "delivered"

    virtually(scenario())


def test_an_unreachable_api_is_named_and_waited_for() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: httpx.ConnectError("refused") if call.at < 100 else None)
        async with client_of(far_end) as client:
            producer = client.producer()
            receipts = [await producer.track(f"u{number}", "e") for number in range(5)]
            await asyncio.sleep(50)
            assert producer.stats().state == "unreachable"
            for receipt in receipts:
                assert (await receipt).status == "delivered"
            assert producer.stats().state == "running"

    virtually(scenario())


def test_throttling_without_a_reset_holds_and_repeats() -> None:
    async def scenario() -> None:
        far_end = FarEnd(
            lambda call: (
                failed(40401, 429, **{"x-ratelimit-limit": "1m", "x-ratelimit-remaining": "0"})
                if call.at < 20
                else None
            )
        )
        async with client_of(far_end) as client, client.producer() as producer:
            receipt = await producer.track("u", "e")
            await asyncio.sleep(0.1)
            assert producer.stats().state == "throttled"
            assert (await receipt).status == "delivered"
            report = await producer.flush()
        assert report.throttled >= 1
        assert report.throttled <= 9  # no end is named: a backoff, longer each time
        assert report.delivered == 1

    virtually(scenario())


def test_a_full_queue_makes_callers_wait_in_order() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(max_pending_events=10) as producer:
            most = 0

            async def hand_over(number: int) -> None:
                nonlocal most
                await producer.track("u", numbered(number))
                most = max(most, producer.stats().pending)

            async with asyncio.TaskGroup() as group:
                for number in range(500):
                    group.create_task(hand_over(number))
            await producer.flush()
            assert most == 10
        assert [number for _, number in far_end.applied()] == [*range(500)]

    virtually(scenario())


def test_a_full_queue_cuts_the_linger_short() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        producer_options: dict[str, Any] = {"max_pending_events": 4, "linger": 3600.0}
        async with client_of(far_end) as client, client.producer(**producer_options) as producer:
            for number in range(40):
                await producer.track(f"u{number}", "e")
            assert far_end.calls[-1].at < 10

    virtually(scenario())


def test_bytes_bound_the_queue_but_one_unit_always_fits() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer(max_pending_bytes=1000)
            large = Event("e", properties={"text": "x" * 5000})
            await producer.track("u", large)
            with pytest.raises(QueueFull, match="max_pending_bytes"):
                producer.track_nowait("u", "small")
            await producer.flush()
            producer.track_nowait("u", "small")
            assert (await producer.aclose()).delivered == 2

    virtually(scenario())


def test_on_full_raise_and_nowait() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client, client.producer(max_pending_events=2, on_full="raise") as producer:
            producer.track_nowait("u", "a")
            await producer.track("u", "b")
            with pytest.raises(QueueFull):
                await producer.track("u", "c")
            with pytest.raises(QueueFull):
                producer.track_nowait("u", "c")
            report = await producer.flush()
            assert report.accepted == report.delivered == 2

    virtually(scenario())


def test_on_full_drop_newest_counts_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer(max_pending_events=2, on_full="drop_newest")
            receipts = [await producer.track("u", "e") for _ in range(5)]
            receipts.append(producer.track_nowait("u", "e"))
            for receipt in receipts[2:]:
                with pytest.raises(DeliveryError) as caught:
                    await receipt
                assert isinstance(caught.value.__cause__, QueueFull)
            report = await producer.aclose()
            assert (report.accepted, report.delivered, report.dropped) == (6, 2, 4)
            assert balanced(report)

    virtually(scenario())
    assert len([record for record in caplog.records if "queue is full" in record.message]) == 1


def test_bad_input_is_refused_before_anything_is_queued() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd()) as client:
            producer = client.producer()
            for identity, event in (("", "e"), ("u", ""), (7, "e"), ("u", 7)):
                with pytest.raises(InvalidInputError):
                    await producer.track(identity, event)  # type: ignore[arg-type]
                with pytest.raises(InvalidInputError):
                    producer.track_nowait(identity, event)  # type: ignore[arg-type]
            with pytest.raises(InvalidInputError):
                await producer.set_profile("u", {})
            with pytest.raises(InvalidInputError):
                await producer.set_profile("u", {"a": float("nan")})
            with pytest.raises(InvalidInputError):
                await producer.identify("")
            assert producer.stats().accepted == 0

    virtually(scenario())


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


def test_whoever_waits_for_room_hears_of_the_close() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=3600.0)) as client:
            producer = client.producer(max_pending_events=1)
            await producer.track("u", "e")
            waiting = asyncio.create_task(producer.track("u", "e"))
            await asyncio.sleep(1)
            await producer.aclose(timeout=0)
            with pytest.raises(ClientClosed):
                await waiting

    virtually(scenario())


def test_a_cancelled_wait_for_room_accepts_nothing() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(max_pending_events=1) as producer:
            await producer.track("u", numbered(1))
            waiting = asyncio.create_task(producer.track("u", numbered(2)))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await producer.track("u", numbered(3))
            report = await producer.flush()
        assert report.accepted == 2
        assert [number for _, number in far_end.applied()] == [1, 3]

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


def test_requests_in_flight_are_bounded() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        async with client_of(far_end) as client, client.producer(max_in_flight=7) as producer:
            for number in range(500):
                await producer.track(f"u{number}", "e")
        assert far_end.most_in_air == 7
        far_end = FarEnd()
        few = ConnectionConfig(max_connections=3)
        async with client_of(far_end, connections=few) as client, client.producer(max_in_flight=50) as producer:
            await producer.track("warm", "e")
            await producer.flush()
            for number in range(100):
                await producer.track(f"u{number}", "e")
            await asyncio.sleep(0.01)
            assert producer.stats().in_flight == 3  # what has no connection stays in its lane, and packs
        assert far_end.most_in_air == 3

    virtually(scenario())


def test_load_pulls_a_source_no_faster_than_it_is_sent() -> None:
    async def scenario() -> None:
        far_end = FarEnd()
        pulled = 0
        ahead = 0
        seen: list[Stats] = []

        def source() -> Any:
            nonlocal pulled, ahead
            for number in range(5000):
                pulled += 1
                ahead = max(ahead, pulled - sum(len(call.events) for call in far_end.calls))
                yield f"u{number % 50}", numbered(number)

        async def asource() -> Any:
            for pair in source():
                yield pair

        async with client_of(far_end) as client:
            report = await client.load(source(), progress=seen.append, max_pending_events=200)
            assert report.delivered == 5000
            assert ahead <= 202
            assert (seen[0].delivered, seen[-1].delivered) == (0, 5000)
            report = await client.load(asource(), max_pending_events=200)
            assert report.delivered == 5000

    virtually(scenario())


def test_track_many_waits_for_room_and_counts() -> None:
    async def scenario() -> None:
        seen: list[Stats] = []
        async with client_of(FarEnd()) as client, client.producer(max_pending_events=10) as producer:
            pairs = ((f"u{number}", numbered(number)) for number in range(500))
            assert await producer.track_many(pairs, progress=seen.append) == 500
            assert producer.stats().accepted == 500
            assert (seen[0].accepted, seen[-1].accepted) == (0, 500)
            assert len(seen) > 3
            assert await producer.track_many([]) == 0

    virtually(scenario())


def test_a_cancelled_load_stops_pulling_and_closes() -> None:
    async def scenario() -> None:
        async with client_of(FarEnd(latency=3600.0)) as client:

            def endless() -> Any:
                while True:
                    yield "u", "e"

            task = asyncio.create_task(client.load(endless(), max_pending_events=10))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.get_running_loop().time() < 2

    virtually(scenario())


@pytest.mark.parametrize("seed", range(40))
def test_any_mixture_of_faults_loses_nothing(seed: int) -> None:
    """A short form of the simulation: random answers, random users, and books that balance at every step."""

    async def scenario() -> None:
        chance = random.Random(seed)
        poison = set(chance.sample(range(400), 8))
        applied: dict[str, list[int]] = defaultdict(list)

        def answer(call: Call) -> Any:
            if set(call.numbers) & poison:
                return failed(40001)
            roll = chance.random()
            if roll < 0.1:
                return httpx.ReadError("reset before it was processed")
            if roll < 0.2:
                return failed(chance.choice((40401, 50000)))
            applied[call.user] += call.numbers
            return httpx.ReadError("reset after it was processed") if roll < 0.3 else ok()

        rejected: list[Rejection] = []
        far_end = FarEnd(answer, latency=chance.random() / 10)
        async with client_of(far_end) as client:
            producer = client.producer(
                on_rejected=rejected.append,
                max_pending_events=chance.choice((5, 50, 1000)),
                linger=chance.choice((0, 0.1)),
            )
            receipts: list[Receipt] = []
            for number in range(400):
                receipts.append(await producer.track(f"u{int(chance.expovariate(0.3))}", numbered(number)))
                assert balanced(producer.stats())
            report = await producer.aclose(timeout=None)
            outcomes = await asyncio.gather(*receipts, return_exceptions=True)
        assert (report.delivered, report.rejected, report.dropped) == (392, 8, 0)
        assert {number for number, outcome in enumerate(outcomes) if isinstance(outcome, DfineryError)} == poison
        assert {
            rejection.event.properties["n"]
            for rejection in rejected
            if rejection.event is not None and rejection.event.properties
        } == poison
        assert {number for numbers in applied.values() for number in numbers} == set(range(400)) - poison
        for numbers in applied.values():
            assert list(dict.fromkeys(numbers)) == sorted(set(numbers)), "first deliveries out of order"

    virtually(scenario())


def test_the_last_error_of_a_refusal_is_typed() -> None:
    async def scenario() -> None:
        far_end = FarEnd(lambda call: httpx.Response(401))
        async with client_of(far_end) as client:
            with pytest.raises(InvalidToken):
                await client.send_events("u", "e")

    virtually(scenario())
