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
    ConfigError,
    DfineryError,
    Identity,
    InvalidInputError,
    InvalidToken,
    Receipt,
    Rejection,
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
