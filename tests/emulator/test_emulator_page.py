"""What the emulator's page asks for: counts, lists, details, faults; and that nobody else's page gets it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from emulator_kit import EVENTS, IDENTITIES, PROFILE, client_of, event, events_body, person_body, profile_body, running

import dfinery_async.emulator
from dfinery_async.emulator import Emulator, Fault

STATIC = Path(dfinery_async.emulator.__file__).parent / "static"
OURS = {"x-dfinery-emulator": "page"}


async def get(client: httpx.AsyncClient, path: str, **query: str) -> Any:
    reply = await client.get(path, params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.asyncio
async def test_counts_limits_and_faults_are_told() -> None:
    async with running(quota={"events": "3/1m", "exports": None}) as (emulator, client):
        emulator.inject(Fault("status", times=1, after=1))
        for _ in range(4):
            await client.post(EVENTS, json=events_body(event(), event(event_items=[{"a": 1}])))
        live = await get(client, "/page/live")

    assert live["stored"] == {"events": 6, "profiles": 1}
    assert live["outcomes"] == {"accepted": 3, "failed": 1}
    assert (live["requests"], live["event_requests"], live["events"], live["items"], live["hit"]) == (4, 4, 8, 4, 1)
    assert live["activity"][-1] == live["outcomes"]
    assert len(live["activity"]) == 60
    quotas = {quota["family"]: quota for quota in live["quotas"]}
    assert quotas["events"]["left"] == 0
    assert 0 < quotas["events"]["seconds"] <= 60
    assert quotas["identities"] == {
        "family": "identities",
        "calls": 10000,
        "period": "1 m",
        "left": 10000,
        "seconds": None,
    }
    assert quotas["exports"]["calls"] is None
    assert [(fault["text"], fault["hits"]) for fault in live["faults"]] == [("status,times=1,after=1", 1)]


@pytest.mark.asyncio
async def test_looking_at_the_limits_opens_no_window() -> None:
    async with running(windows="first_call", quota={"events": "1/1m"}) as (emulator, client):
        before = await get(client, "/page/live")
        emulator.settings.clock.advance(30)  # type: ignore[attr-defined]
        reply = await client.post(EVENTS, json=events_body(event()))

    assert before["quotas"][0]["seconds"] is None
    assert float(reply.headers["x-ratelimit-reset"]) == (emulator.settings.clock() + 60) * 1000


@pytest.mark.asyncio
async def test_requests_come_newest_first_a_page_at_a_time() -> None:
    async with running() as (_, client):
        for number in range(120):
            await client.post(IDENTITIES, json=person_body(external_id=f"u{number}"))
        first = await get(client, "/page/requests")
        second = await get(client, "/page/requests", before=str(first["before"]))
        third = await get(client, "/page/requests", before=str(second["before"]))

    rows = [*first["rows"], *second["rows"], *third["rows"]]
    assert [row["number"] for row in rows] == list(range(120, 0, -1))
    assert [row["who"] for row in rows] == [["external_id", f"u{number}"] for number in range(119, -1, -1)]
    assert (first["before"], second["before"], third["before"]) == (71, 21, None)


@pytest.mark.asyncio
async def test_old_requests_are_forgotten_and_numbers_stay() -> None:
    async with running(keep_requests=2) as (emulator, client):
        for number in range(5):
            await client.post(IDENTITIES, json=person_body(external_id=f"u{number}"))
        page = await get(client, "/page/requests")
        live = await get(client, "/page/live")
        gone = await client.get("/page/requests/3")
        kept = await get(client, "/page/requests/4")

    assert [row["number"] for row in page["rows"]] == [5, 4]
    assert len(emulator.requests) == 2
    assert live["requests"] == 5
    assert (gone.status_code, kept["who"]) == (404, ["external_id", "u3"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("u1", 1),
        ("SKU-9", 1),
        ("sku-9 U1", 1),
        ("sku-9 u2", 0),
        ("회원", 1),
        ("40001", 1),
        ("events[0].event_datetime", 1),
        ("/api/v1/identities", 1),
        ("", 3),
    ],
)
async def test_search_looks_at_everything_that_was_sent(search: str, found: int) -> None:
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(event(event_items=[{"df_item_id": "SKU-9"}])))
        await client.post(EVENTS, json=events_body(event(event_datetime="no"), external_id="u2"))
        await client.post(IDENTITIES, json=person_body(external_id="회원-7"))
        page = await get(client, "/page/requests", q=search)

    assert len(page["rows"]) == found


@pytest.mark.asyncio
async def test_a_long_search_goes_on_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfinery_async.emulator.desk._SEARCH_SECONDS", -1.0)
    found, befores = [], []
    async with running() as (_, client):
        for number in range(4):
            await client.post(IDENTITIES, json=person_body(external_id=f"u{number % 2}"))
        page = await get(client, "/page/requests", q="u1")
        while page["before"]:
            found += page["rows"]
            befores.append(page["before"])
            page = await get(client, "/page/requests", q="u1", before=str(page["before"]))

    assert [row["number"] for row in found] == [4, 2]
    assert befores == sorted(befores, reverse=True)


@pytest.mark.asyncio
async def test_outcomes_are_told_apart() -> None:
    async with running(quota={"profiles": "0/1m"}) as (emulator, client):
        await client.post(EVENTS, json=events_body(event()))
        await client.post(EVENTS, json=events_body())
        await client.post(EVENTS, json=events_body(event()), params={"service_id": "other"})
        await client.post(PROFILE, json=profile_body({"a": 1}, external_id="u"))
        emulator.inject(Fault("status", family="identities"))
        await client.post(IDENTITIES, json=person_body(external_id="u9"))
        rows = (await get(client, "/page/requests"))["rows"]
        hit = (await get(client, "/page/requests", outcome="fault"))["rows"]
        refused = (await get(client, "/page/requests", outcome="refused"))["rows"]

    assert [row["outcome"] for row in reversed(rows)] == ["accepted", "refused", "refused", "throttled", "failed"]
    assert [(row["fault"], row["who"]) for row in hit] == [("status", ["external_id", "u9"])]
    assert [row["number"] for row in refused] == [3, 2]


@pytest.mark.asyncio
async def test_a_refused_request_is_explained_field_by_field() -> None:
    bad = event(event_datetime="yesterday", event_properties={"n": 2**63, "ok": 1}, event_items=[{"x": {"y": 1}}])
    del bad["event_log_id"]
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(event(), bad))
        found = await get(client, "/page/requests/1")

    assert {each["field"]: each["sent"] for each in found["wrong"]} == {
        "events[1].event_log_id": None,
        "events[1].event_datetime": '"yesterday"',
        "events[1].event_properties.n": "9223372036854775808",
        "events[1].event_items[0].x": '{"y": 1}',
    }
    assert all(each["what"] for each in found["wrong"])
    assert [part["wrong"] for part in found["parts"]] == [0, 4]
    marked = [line["text"] for line in found["parts"][1]["lines"] if line["wrong"]]
    assert marked == ["{", '"event_datetime": "yesterday",', '"n": 9223372036854775808,', '"x": {']
    assert not any(line["wrong"] for line in [*found["head"], *found["parts"][0]["lines"]])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"params": {"service_id": "other"}}, "service_id"),
        ({"headers": {"access_token": "wrong"}}, "access_token"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, ""),
        ({"json": events_body(*(event() for _ in range(101)))}, "events"),
        ({"json": {"common": {"identity": {}}, "events": [event()]}}, "common.identity"),
        ({"json": ["no object"]}, ""),
        ({"json": events_body("no object")}, "events[0]"),  # type: ignore[arg-type]
    ],
)
async def test_every_refusal_has_its_reason(changes: dict[str, Any], field: str) -> None:
    async with running() as (_, client):
        await client.post(EVENTS, **{"json": events_body(event()), **changes})
        found = await get(client, "/page/requests/1")

    assert found["outcome"] == "refused"
    assert field in [each["field"] for each in found["wrong"]]


@pytest.mark.asyncio
async def test_tokens_are_not_shown() -> None:
    async with running() as (emulator, client):
        await client.post(EVENTS, json=events_body(event()))
        await client.post(EVENTS, json=events_body(event()), headers={"access_token": "secret-of-someone"})
        shown = [dict((await get(client, f"/page/requests/{number}"))["headers"]) for number in (1, 2)]
        every = await client.get("/page/requests/1")

    assert [headers["access_token"] for headers in shown] == ["(a valid token)", "(no valid token)"]
    assert [headers["authorization"] for headers in shown] == ["(a valid token)"] * 2
    assert emulator.import_token not in every.text


@pytest.mark.asyncio
async def test_the_connection_shows_no_token_of_the_users_own() -> None:
    async with running(import_token="own", export_token=None) as (emulator, client):
        shown = await get(client, "/page/connection")

    assert shown == {**emulator.environment, "DFINERY_IMPORT_TOKEN": None}


@pytest.mark.asyncio
async def test_values_that_no_browser_can_hold_arrive_as_text() -> None:
    content = json.dumps(events_body(event(event_properties={"a": float("nan"), "b": 2**60, "c": "\ud800"}))).encode()
    async with running() as (_, client):
        await client.post(EVENTS, content=content, headers={"content-type": "application/json"})
        found = await get(client, "/page/requests/1")

    texts = [line["text"] for line in found["parts"][0]["lines"]]
    assert {'"a": NaN,', f'"b": {2**60},', '"c": "\\ud800"'} <= set(texts)


@pytest.mark.asyncio
async def test_a_long_body_is_cut() -> None:
    properties = {f"p{number}": number for number in range(3000)}
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(event(event_properties=properties)))
        found = await get(client, "/page/events/1")

    assert len(found["lines"]) == 2001
    assert found["lines"][-1]["text"] == "…"


@pytest.mark.asyncio
async def test_events_and_profiles_with_their_details() -> None:
    async with running() as (emulator, client):
        sent = event("df_purchase", event_properties={"df_order_id": "O-1"}, event_items=[{"df_item_id": "A"}])
        await client.post(EVENTS, json=events_body(event(), sent, external_id="u1"))
        await client.post(PROFILE, json=profile_body({"df_gender": "Female"}, external_id="u2", email="e@example.com"))
        rows = (await get(client, "/page/events"))["rows"]
        found = (await get(client, "/page/events", q="o-1"))["rows"]
        one = await get(client, "/page/events/2")
        people = (await get(client, "/page/profiles"))["rows"]
        some = (await get(client, "/page/profiles", q="female"))["rows"]
        older = (await get(client, "/page/profiles", before="2"))["rows"]
        first = emulator.profiles[0].unified_id
        profile = await get(client, f"/page/profiles/{first}")
        missing = [(await client.get(path)).status_code for path in ("/page/events/9", "/page/profiles/nobody")]

    assert [(row["number"], row["name"], row["together"], row["items"]) for row in rows] == [
        (2, "df_purchase", 2, 1),
        (1, "df_login", 2, 0),
    ]
    assert [row["number"] for row in found] == [2]
    assert one["unified_id"] == first
    assert '"df_order_id": "O-1"' in [line["text"] for line in one["lines"]]
    assert [row["who"] for row in people] == [["external_id", "u2"], ["external_id", "u1"]]
    assert people == [*some, *older]
    assert some[0]["known"] == ["external_id", "email"]
    assert [row["number"] for row in profile["events"]] == [2, 1]
    assert missing == [404, 404]


@pytest.mark.asyncio
async def test_faults_are_switched_on_and_off() -> None:
    async with running() as (emulator, client):
        on = await client.post("/page/faults", content="5xx=100%,family=events", headers=OURS)
        hit = await client.post(EVENTS, json=events_body(event()))
        number = on.json()["faults"][0]["number"]
        off = await client.delete(f"/page/faults/{number}", headers=OURS)
        well = await client.post(EVENTS, json=events_body(event()))
        unknown = await client.post("/page/faults", content="flood=1%", headers=OURS)

    assert (hit.status_code, well.status_code) == (500, 200)
    assert off.json()["faults"] == []
    assert (unknown.status_code, emulator._board.handles) == (400, ())
    assert "expected one of" in unknown.json()["error"]


@pytest.mark.asyncio
async def test_everything_can_be_emptied() -> None:
    async with running() as (emulator, client):
        await client.post(EVENTS, json=events_body(event()))
        emulator.inject(Fault("hang"))
        live = (await client.post("/page/reset", headers=OURS)).json()

    assert (live["requests"], live["stored"], live["faults"]) == (0, {"events": 0, "profiles": 0}, [])
    assert (emulator.events, emulator.requests) == ([], [])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/page/reset", {}),
        ("POST", "/page/faults", {"content-type": "application/json"}),
        ("DELETE", "/page/faults/1", {}),
        ("POST", "/page/reset", {**OURS, "origin": "https://evil.example"}),
        ("POST", "/page/reset", {**OURS, "origin": "null"}),
        ("POST", "/page/reset", {**OURS, "sec-fetch-site": "cross-site"}),
        ("POST", "/page/reset", {**OURS, "host": "evil.example"}),
        ("GET", "/page/live", {"origin": "http://127.0.0.1:1"}),
        ("GET", "/page/live", {"sec-fetch-site": "cross-site"}),
        ("GET", "/page/live", {"host": "evil.example"}),
        ("OPTIONS", "/page/reset", {"origin": "https://evil.example"}),
    ],
)
async def test_other_sites_get_nothing(method: str, path: str, headers: dict[str, str]) -> None:
    async with running() as (emulator, client):
        await client.post(EVENTS, json=events_body(event()))
        reply = await client.request(method, path, headers=headers)

    assert reply.status_code == 403
    assert len(emulator.events) == 1
    assert "access-control-allow-origin" not in reply.headers
    assert "u1" not in reply.text


@pytest.mark.asyncio
async def test_the_body_of_a_change_is_small() -> None:
    async with running() as (_, client):
        reply = await client.post("/page/faults", content="x" * 5000, headers=OURS)

    assert reply.status_code == 403


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/", *(f"/{path.name}" for path in sorted(STATIC.iterdir()) if path.stem != "index")])
async def test_the_files_load_nothing_from_elsewhere(path: str) -> None:
    async with running() as (_, client):
        reply = await client.get(path)

    assert reply.status_code == 200
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    code = re.sub(r"^\s*//.*|/\*.*?\*/", "", reply.text, flags=re.MULTILINE)
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+", code))
    assert addresses <= {"http://www.w3.org"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|style=|\son\w+=", reply.text)


@pytest.mark.asyncio
async def test_a_call_from_before_a_reset_is_not_carried_out() -> None:
    async with Emulator() as emulator, client_of(emulator) as client:
        emulator.inject(Fault("latency", seconds=0.2))
        handle = emulator.inject(Fault("poison", match="never"))

        async def reset_when_it_came() -> None:
            while not emulator._board.handles[0].hits:  # noqa: ASYNC110  # the server's thread counts it
                await asyncio.sleep(0)
            emulator.reset()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reset_when_it_came())
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(EVENTS, json=events_body(event()))
        after = await client.post(EVENTS, json=events_body(event()))

    assert handle.hits == 0
    assert (after.status_code, len(emulator.events), len(emulator.requests)) == (200, 1, 1)
