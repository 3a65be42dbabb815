"""Limits by family, their windows, and the headers that tell of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from emulator_kit import (
    DELETION,
    EVENT_EXPORT,
    EVENTS,
    IDENTITIES,
    NOW,
    PROFILE,
    PROFILE_EXPORT,
    ManualClock,
    day_query,
    event,
    events_body,
    person_body,
    profile_body,
    running,
    until,
)

from dfinery_async.emulator import Emulator, Fault, Quota, parse_quota

MINUTE_END = int(NOW.replace(minute=16, second=0, microsecond=0).timestamp())


@pytest.mark.parametrize(
    ("text", "family", "quota", "seconds"),
    [
        ("events=1000/1m", "events", Quota(1000, 1, "m"), 60),
        ("exports=100/1H", "exports", Quota(100, 1, "h"), 3600),
        ("identities=5/10s", "identities", Quota(5, 10, "s"), 10),
        ("profiles=0/2d", "profiles", Quota(0, 2, "d"), 172_800),
    ],
)
def test_quotas_in_the_form_of_the_command_line(text: str, family: str, quota: Quota, seconds: int) -> None:
    assert parse_quota(text) == (family, quota)
    assert quota.seconds == seconds


@pytest.mark.parametrize(
    "text", ["events", "events=", "all=1/1m", "events=1", "events=-1/1m", "events=1/0m", "events=1/1M"]
)
def test_quotas_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="quota"):
        parse_quota(text)


def test_a_wrong_quota_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="quota: 'event'"):
        Emulator(quota={"event": "1/1m"})
    with pytest.raises(ValueError, match="quota '1'"):
        Emulator(quota={"events": "1"})


@pytest.mark.asyncio
async def test_default_limits_are_those_of_the_guide() -> None:
    async with running() as (_, client):
        replies = [
            await client.post(EVENTS, json=events_body(event())),
            await client.post(IDENTITIES, json=person_body(external_id="u")),
            await client.post(DELETION, json=person_body(external_id="u")),
            await client.post(PROFILE, json=profile_body({"a": 1}, external_id="u")),
            await client.post(EVENT_EXPORT, json=day_query()),
            await client.post(PROFILE_EXPORT, json={"properties_condition_type": "all"}),
        ]

    shown = [(reply.headers["x-ratelimit-limit"], int(reply.headers["x-ratelimit-remaining"])) for reply in replies]
    assert shown == [("1m", 999_999), ("1m", 9_999), ("1m", 9_998), ("1m", 9_999), ("1H", 99), ("1H", 98)]


@pytest.mark.asyncio
async def test_a_window_ends_on_the_clock_and_begins_anew() -> None:
    clock = ManualClock()
    async with running(clock=clock, quota={"events": "2/1m"}) as (emulator, client):
        codes: list[Any] = []
        resets: list[int] = []
        for advance in (0, 1, 0, 16.9, 0):
            clock.advance(advance)
            reply = await client.post(EVENTS, json=events_body(event()))
            codes.append((reply.status_code, reply.json()["code"], reply.headers["x-ratelimit-remaining"]))
            resets.append(int(reply.headers["x-ratelimit-reset"]) // 1000)

    assert codes == [
        (200, "20000", "1"),
        (200, "20000", "0"),
        (429, "40401", "0"),
        (200, "20000", "1"),
        (200, "20000", "0"),
    ]
    assert resets == [MINUTE_END] * 3 + [MINUTE_END + 60] * 2
    assert len(emulator.events) == 4


@pytest.mark.asyncio
async def test_a_window_may_begin_with_the_first_call() -> None:
    clock = ManualClock()
    async with running(clock=clock, quota={"events": "1/1m"}, windows="first_call", reset_unit="s") as (_, client):
        first = await client.post(EVENTS, json=events_body(event()))
        clock.advance(59)
        second = await client.post(EVENTS, json=events_body(event()))
        clock.advance(1)
        third = await client.post(EVENTS, json=events_body(event()))

    assert int(first.headers["x-ratelimit-reset"]) == int(NOW.timestamp()) + 61  # rounded up
    assert [reply.status_code for reply in (first, second, third)] == [200, 429, 200]


@pytest.mark.asyncio
async def test_the_identity_endpoints_share_a_limit() -> None:
    async with running(quota={"identities": "1/1m"}) as (_, client):
        first = await client.post(IDENTITIES, json=person_body(external_id="u"))
        second = await client.post(DELETION, json=person_body(external_id="u"))
        other = await client.post(PROFILE, json=profile_body({"a": 1}, external_id="u"))

    assert [reply.status_code for reply in (first, second, other)] == [200, 429, 200]


@pytest.mark.parametrize(("counts", "statuses"), [("calls", [200, 200, 200]), ("events", [200, 429, 429])])
@pytest.mark.asyncio
async def test_limits_count_calls_or_events(counts: str, statuses: list[int]) -> None:
    async with running(quota={"events": "5/1m"}, quota_counts=counts) as (_, client):
        replies = [await client.post(EVENTS, json=events_body(*[event() for _ in range(count)])) for count in (3, 3, 1)]

    assert [reply.status_code for reply in replies] == statuses


@pytest.mark.parametrize(
    ("over_limit", "status", "text"),
    [
        ("429", 429, '{"status": false, "code": "40401", "message": "TOO_MANY_REQUEST", "data": true}'),
        ("429-empty", 429, ""),
        ("200", 200, '{"status": false, "code": "40401", "message": "TOO_MANY_REQUEST", "data": true}'),
    ],
)
@pytest.mark.asyncio
async def test_forms_of_the_answer_over_the_limit(over_limit: str, status: int, text: str) -> None:
    async with running(quota={"events": "0/1m", "exports": "0/1m"}, over_limit=over_limit) as (emulator, client):
        reply = await client.post(EVENTS, json=events_body(event()))
        export = await client.post(EVENT_EXPORT, json=day_query())

    assert (reply.status_code, reply.text) == (status, text)
    assert reply.headers["x-ratelimit-remaining"] == "0"
    assert emulator.requests[0].code == 40401
    assert (export.status_code, export.json()) == (429, {"result": "fail", "message": "too_many_api_requests"})


@pytest.mark.parametrize(
    ("spelling", "names"),
    [
        ("x-ratelimit", {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}),
        ("x-rate-limit", {"x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"}),
        ("x-rate-limit-rest", {"x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-rest"}),
        ("none", set()),
    ],
)
@pytest.mark.asyncio
async def test_spellings_of_the_headers(spelling: str, names: set[str]) -> None:
    async with running(limit_headers=spelling) as (_, client):
        reply = await client.post(EVENTS, json=events_body(event()))

    assert {name for name in reply.headers if name.startswith("x-rate")} == names


@pytest.mark.asyncio
async def test_both_spellings_at_once_and_a_reset_in_seconds() -> None:
    async with running(limit_headers="both", reset_unit="s") as (_, client):
        reply = await client.post(EVENTS, json=events_body(event()))

    assert reply.headers["x-ratelimit-reset"] == reply.headers["x-rate-limit-reset"] == str(MINUTE_END)


@pytest.mark.parametrize(
    ("letters", "shown"),
    [("mixed", ["1s", "1m", "1H", "1d"]), ("upper", ["1S", "1M", "1H", "1D"]), ("lower", ["1s", "1m", "1h", "1d"])],
)
@pytest.mark.asyncio
async def test_letters_of_periods(letters: str, shown: list[str]) -> None:
    quota = {"events": "9/1s", "identities": "9/1m", "profiles": "9/1H", "exports": "9/1d"}
    async with running(quota=quota, period_letters=letters) as (_, client):
        replies = [await client.post(path, json={}) for path in (EVENTS, IDENTITIES, PROFILE, EVENT_EXPORT)]

    assert [reply.headers["x-ratelimit-limit"] for reply in replies] == shown


@pytest.mark.asyncio
async def test_refused_tokens_count_nothing_and_bad_calls_count() -> None:
    async with running(quota={"events": "9/1m"}) as (_, client):
        stranger = await client.post(EVENTS, json={}, headers={"access_token": "wrong"})
        bad = await client.post(EVENTS, json={})

    assert stranger.headers["x-ratelimit-remaining"] == "9"
    assert bad.headers["x-ratelimit-remaining"] == "8"


@pytest.mark.asyncio
async def test_a_lifted_limit_has_no_headers() -> None:
    async with running(quota={"events": None}) as (_, client):
        reply = await client.post(EVENTS, json=events_body(event()))

    assert "x-ratelimit-limit" not in reply.headers


@pytest.mark.asyncio
async def test_the_date_header_is_that_of_the_clock() -> None:
    async with running() as (_, client):
        reply = await client.post(EVENTS, json=events_body(event()))

    assert reply.headers["date"] == "Sun, 02 Mar 2025 04:15:42 GMT"


@pytest.mark.asyncio
async def test_the_sixth_export_at_once_is_refused_and_frees_nothing() -> None:
    async with running() as (emulator, client):
        hanging = emulator.inject(Fault("hang", times=5))
        tasks = [asyncio.create_task(client.post(EVENT_EXPORT, json=day_query())) for _ in range(5)]
        await until(lambda: len(emulator.requests) == 5)
        sixth = await client.post(PROFILE_EXPORT, json={"properties_condition_type": "all"})
        event_call = await client.post(EVENTS, json=events_body(event()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        later = await client.post(EVENT_EXPORT, json=day_query())
        while later.status_code == 429:
            later = await client.post(EVENT_EXPORT, json=day_query())

    assert hanging.hits == 5
    assert (sixth.status_code, sixth.json()["message"]) == (429, "too_many_api_requests")
    assert event_call.json()["code"] == "20000"
    assert later.status_code == 200
