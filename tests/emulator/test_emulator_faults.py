"""Injected faults: what the caller sees, what is stored, how often they hit."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from emulator_kit import (
    EVENT_EXPORT,
    EVENTS,
    IDENTITIES,
    NOW,
    PROFILE,
    day_query,
    event,
    events_body,
    person_body,
    profile_body,
    running,
    until,
)

from dfinery_async.emulator import Emulator, Fault

BODY = events_body(event())


def exchange(emulator: Emulator, path: str = EVENTS, body: Any = BODY) -> bytes:
    """All bytes that come back on a connection of its own until it ends."""
    content = json.dumps(body).encode()
    lines = [
        f"POST {path}?service_id={emulator.service_id} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"access_token: {emulator.import_token}",
        f"Authorization: Bearer {emulator.export_token}",
        f"Content-Length: {len(content)}",
    ]
    received = b""
    with socket.create_connection(("127.0.0.1", int(emulator.base_url.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
        while part := connection.recv(65536):
            received += part
    return received


@pytest.mark.asyncio
async def test_latency_adds_up() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("latency", family="events", seconds=0.1))
        emulator.inject(Fault("latency", path=EVENTS, seconds=0.05))
        began = time.perf_counter()
        reply = await client.post(EVENTS, json=BODY)
        took = time.perf_counter() - began

    assert took >= 0.15
    assert reply.json()["code"] == "20000"
    assert [record.fault for record in emulator.requests] == ["latency"]


@pytest.mark.asyncio
async def test_other_calls_go_on_while_one_waits() -> None:
    async with running() as (emulator, client):
        waiting = emulator.inject(Fault("latency", family="events", seconds=600))
        slow = asyncio.create_task(client.post(EVENTS, json=BODY))
        await until(lambda: waiting.hits == 1)
        reply = await client.post(IDENTITIES, json=person_body(external_id="u"))
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)

    assert reply.json()["code"] == "20000"


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (
            Fault("status"),
            500,
            '{"status": false, "code": "50000", "message": "INTERNAL_SERVER_ERROR", "data": true}',
        ),
        (
            Fault("status", status=400),
            400,
            '{"status": false, "code": "40000", "message": "BAD_REQUEST", "data": true}',
        ),
        (Fault("status", status=502, body="empty"), 502, ""),
        (Fault("status", status=202), 202, '{"status": true, "code": "20000", "message": "OK", "data": true}'),
        (Fault("status", status=204), 204, ""),
        (Fault("code"), 200, '{"status": false, "code": "50000", "message": "INTERNAL_SERVER_ERROR", "data": true}'),
        (
            Fault("code", code=40403),
            200,
            '{"status": false, "code": "40403", "message": "TOO_MANY_USER_PROFILES", "data": true}',
        ),
        (
            Fault("code", code=50101, message="KINESIS_SENDER_ERROR"),
            200,
            '{"status": false, "code": "50101", "message": "KINESIS_SENDER_ERROR", "data": true}',
        ),
        (Fault("code", code=99999), 200, '{"status": false, "code": "99999", "message": "UNKNOWN", "data": true}'),
        (Fault("throttle"), 429, '{"status": false, "code": "40401", "message": "TOO_MANY_REQUEST", "data": true}'),
        (Fault("redirect"), 307, ""),
        (Fault("redirect", status=302), 302, ""),
    ],
)
@pytest.mark.asyncio
async def test_wrong_answers_for_imports(fault: Fault, status: int, text: str) -> None:
    async with running() as (emulator, client):
        handle = emulator.inject(fault)
        reply = await client.post(EVENTS, json=BODY)
        handle.remove()
        handle.remove()
        after = await client.post(EVENTS, json=BODY)

    assert (reply.status_code, reply.text) == (status, text)
    assert reply.headers["date"]
    assert handle.hits == 1
    assert after.json()["code"] == "20000"
    assert len(emulator.events) == 1
    assert [(record.status, record.fault) for record in emulator.requests] == [(status, fault.kind), (200, None)]


@pytest.mark.asyncio
async def test_pages_and_broken_json_in_place_of_an_answer() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("html", times=1))
        page = await client.post(EVENTS, json=BODY)
        emulator.inject(Fault("status", status=503, body="html", retry_after="7", times=1))
        gateway = await client.post(EVENTS, json=BODY)
        emulator.inject(Fault("status", status=200, body="broken"))
        broken = await client.post(EVENTS, json=BODY)

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<html>" in page.text
    assert (gateway.status_code, gateway.headers["retry-after"]) == (503, "7")
    assert "<html>" in gateway.text
    with pytest.raises(json.JSONDecodeError):
        broken.json()


@pytest.mark.asyncio
async def test_wrong_answers_for_exports() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("code", times=1))
        closed = await client.post(EVENT_EXPORT, json=day_query())
        emulator.inject(Fault("status", message="query_error", times=1))
        failed = await client.post(EVENT_EXPORT, json=day_query())
        emulator.inject(Fault("throttle", seconds=30, times=1))
        throttled = await client.post(EVENT_EXPORT, json=day_query())

    assert (closed.status_code, closed.json()) == (200, {"result": "fail", "message": "client_connection_closed"})
    assert (failed.status_code, failed.json()) == (500, {"result": "fail", "message": "query_error"})
    assert (throttled.status_code, throttled.json()["message"]) == (429, "too_many_api_requests")
    assert throttled.headers["x-ratelimit-remaining"] == "0"
    assert int(throttled.headers["x-ratelimit-reset"]) == int((NOW.timestamp() + 30) * 1000)


@pytest.mark.parametrize(
    "fault", [Fault("status", processed=True), Fault("html", processed=True), Fault("lost_answer")]
)
@pytest.mark.asyncio
async def test_calls_that_are_carried_out_though_the_answer_is_wrong(fault: Fault) -> None:
    async with running() as (emulator, client):
        emulator.inject(fault)
        try:
            await client.post(EVENTS, json=BODY)
        except httpx.RemoteProtocolError as error:
            assert fault.kind == "lost_answer", error  # noqa: PT017  # other kinds do answer
        stored = emulator.events

    assert len(stored) == 1


@pytest.mark.asyncio
async def test_a_reset_is_a_reset_and_nothing_is_stored() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("reset", family="events"))
        with pytest.raises(httpx.ReadError):
            await client.post(EVENTS, json=BODY)
        with pytest.raises(ConnectionResetError):
            exchange(emulator)
        other = await client.post(IDENTITIES, json=person_body(external_id="u"))

    assert other.json()["code"] == "20000"
    assert emulator.events == []
    assert [(record.status, record.fault) for record in emulator.requests][:2] == [(None, "reset")] * 2


@pytest.mark.asyncio
async def test_a_lost_answer_ends_the_connection_in_good_order() -> None:
    async with running() as (emulator, _):
        emulator.inject(Fault("lost_answer"))
        received = exchange(emulator)

    assert received == b""
    assert len(emulator.events) == 1
    assert [(record.status, record.fault) for record in emulator.requests] == [(None, "lost_answer")]


@pytest.mark.asyncio
async def test_raw_bytes_in_place_of_an_answer() -> None:
    async with running() as (emulator, _):
        emulator.inject(Fault("raw", payload=b"HTTP/1.1 999 What\r\n\r\n"))
        received = exchange(emulator)

    assert received == b"HTTP/1.1 999 What\r\n\r\n"
    assert emulator.events == []


@pytest.mark.asyncio
async def test_a_hanging_call_ends_with_its_caller() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("hang"))
        with pytest.raises(httpx.ReadTimeout):
            await client.post(EVENTS, json=BODY, timeout=httpx.Timeout(10, read=0.05))

    assert emulator.events == []
    assert emulator.requests[0].status is None


@pytest.mark.asyncio
async def test_an_emulator_stops_in_spite_of_calls_that_hang_and_wait() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("hang", family="events"))
        emulator.inject(Fault("latency", family="profiles", seconds=600))
        tasks = [
            asyncio.create_task(client.post(EVENTS, json=BODY)),
            asyncio.create_task(client.post(PROFILE, json=profile_body({"a": 1}, external_id="u"))),
        ]
        await until(lambda: len(emulator.requests) == 1)
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, httpx.TransportError) for result in results)


async def _with_rows(client: httpx.AsyncClient, rows: int) -> None:
    for _ in range(rows // 100):
        await client.post(EVENTS, json=events_body(*[event() for _ in range(100)]))


@pytest.mark.asyncio
async def test_an_export_that_is_cut_between_chunks() -> None:
    async with running() as (emulator, client):
        await _with_rows(client, 500)
        emulator.inject(Fault("truncate", size=40_000))
        received = exchange(emulator, EVENT_EXPORT, day_query())
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await client.post(EVENT_EXPORT, json=day_query())

    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert not body.endswith(b"0\r\n\r\n")
    assert 40_000 <= len(body) <= 40_100


@pytest.mark.asyncio
async def test_an_export_whose_end_is_that_of_the_connection() -> None:
    async with running() as (emulator, client):
        await _with_rows(client, 500)
        whole = (await client.post(EVENT_EXPORT, json=day_query())).content
        emulator.inject(Fault("truncate", size=40_000, form="close"))
        received = exchange(emulator, EVENT_EXPORT, day_query())
        reply = await client.post(EVENT_EXPORT, json=day_query())

    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"chunked" not in head
    assert b"content-length" not in head
    assert body == whole[:40_000] == reply.content


@pytest.mark.parametrize("size", [0, 40_000])
@pytest.mark.asyncio
async def test_a_failure_behind_the_rows_of_an_export(size: int) -> None:
    async with running() as (emulator, client):
        await _with_rows(client, 500)
        whole = (await client.post(EVENT_EXPORT, json=day_query())).content
        emulator.inject(Fault("truncate", size=size, form="json"))
        reply = await client.post(EVENT_EXPORT, json=day_query())

    assert reply.status_code == 200
    assert reply.content == whole[:size] + b'{"result": "fail", "message": "client_connection_closed"}'


@pytest.mark.asyncio
async def test_an_import_answer_that_is_cut() -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("truncate", size=10))
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(EVENTS, json=BODY)

    assert len(emulator.events) == 1


@pytest.mark.asyncio
async def test_an_answer_that_is_reset_half_way() -> None:
    async with running() as (emulator, client):
        await _with_rows(client, 500)
        emulator.inject(Fault("truncate", size=1000, form="reset"))
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await client.post(EVENT_EXPORT, json=day_query())


@pytest.mark.parametrize("path", [EVENTS, EVENT_EXPORT])
@pytest.mark.asyncio
async def test_an_answer_byte_by_byte(path: str) -> None:
    async with running() as (emulator, client):
        emulator.inject(Fault("drip", seconds=0.0001))
        body = BODY if path == EVENTS else day_query()
        async with client.stream("POST", path, json=body) as reply:
            chunks = [len(chunk) async for chunk in reply.aiter_raw()]

    assert reply.status_code == 200
    assert len(chunks) > 10
    assert sum(chunks) == int(reply.headers["content-length"])


@pytest.mark.parametrize(
    "match",
    ["df_bad", "00000000-0000-4000-8000-000000000001", "trigger", "value", lambda sent: sent["event_name"] == "df_bad"],
)
@pytest.mark.asyncio
async def test_poisoned_events_are_refused_with_their_batch(match: Any) -> None:
    bad = event(
        "df_bad", event_log_id="00000000-0000-4000-8000-000000000001", event_properties={"trigger": 1, "other": "value"}
    )
    async with running() as (emulator, client):
        handle = emulator.inject(Fault("poison", match=match))
        batch = await client.post(EVENTS, json=events_body(event(), bad))
        alone = await client.post(EVENTS, json=events_body(event()))

    assert (batch.json()["code"], alone.json()["code"]) == ("40001", "20000")
    assert handle.hits == 1
    assert [problem.field for problem in emulator.requests[0].problems] == ["events[1]"]


@pytest.mark.asyncio
async def test_times_after_family_and_path() -> None:
    async with running() as (emulator, client):
        by_count = emulator.inject(Fault("code", family="events", after=1, times=2))
        by_path = emulator.inject(Fault("code", path=IDENTITIES, code=40001))
        codes = [(await client.post(EVENTS, json=BODY)).json()["code"] for _ in range(4)]
        identity = await client.post(IDENTITIES, json=person_body(external_id="u"))
        profile = await client.post(PROFILE, json=profile_body({"a": 1}, external_id="u"))

    assert codes == ["20000", "50000", "50000", "20000"]
    assert (identity.json()["code"], profile.json()["code"]) == ("40001", "20000")
    assert (by_count.hits, by_path.hits) == (2, 1)


@pytest.mark.asyncio
async def test_chance_repeats_with_the_seed() -> None:
    async with running(seed=3) as (emulator, client):
        runs: list[list[str]] = []
        for _ in range(2):
            emulator.reset()
            emulator.inject(Fault("code", rate=0.5))
            runs.append([(await client.post(EVENTS, json=BODY)).json()["code"] for _ in range(40)])

    assert runs[0] == runs[1]
    assert 8 < Counter(runs[0])["50000"] < 32
