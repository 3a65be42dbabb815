"""Exports: filters, conventions of the CSV and their switches."""

from __future__ import annotations

from datetime import date, timedelta, timezone
from typing import Any

import pytest
from emulator_kit import (
    EVENT_EXPORT,
    EVENTS,
    PROFILE,
    PROFILE_EXPORT,
    ManualClock,
    client_of,
    day_query,
    event,
    events_body,
    profile_body,
    rows_of,
    running,
)

from dfinery_async.emulator import Emulator, Profile

ALL_PROFILES = {"properties_condition_type": "all"}
SYSTEM = {
    "df_api_version", "df_correction_datetime", "df_event_datetime", "df_event_detail_log_id", "df_event_log_id",
    "df_event_name", "df_server_datetime", "df_service_id", "df_source_type", "df_unified_id",
}  # fmt: skip


@pytest.mark.asyncio
async def test_columns_are_sorted_and_hold_the_standard_ones_from_the_start() -> None:
    async with running() as (_, client):
        header = (await client.post(EVENT_EXPORT, json=day_query())).text.strip().split(",")

    assert header == sorted(header)
    assert len(header) == 10 + 9 + 10
    assert set(header) > SYSTEM | {"df_order_id", "df_items_df_category5"}


@pytest.mark.asyncio
async def test_unset_and_set_values() -> None:
    full = {"flag": True, "off": False, "tags": ["a,b", '"'], "count": 3, "ratio": 2.0, "when": "2025-01-06T01:38:10Z"}
    async with running() as (_, client):
        await client.post(
            EVENTS, json=events_body(event(event_properties=full, event_items=[{"gift": True, "n": [1]}]))
        )
        await client.post(EVENTS, json=events_body(event(event_properties={"ratio": None})))
        first, second = await rows_of(client, EVENT_EXPORT, day_query())

    picked = ("flag", "off", "tags", "count", "ratio", "when", "df_items_gift", "df_items_n", "df_order_id")
    shown = ["TRUE", "FALSE", '["a,b","\\""]', "3", "2.0", "2025-01-06 10:38:10.000", "TRUE", "[1]", ""]
    assert [first[name] for name in picked] == shown
    assert [second[name] for name in picked] == ["FALSE", "FALSE", "null", "", "", "", "FALSE", "null", ""]


@pytest.mark.asyncio
async def test_system_columns() -> None:
    sent = event(event_datetime="2025-03-01T20:00:00Z")
    async with running() as (emulator, client):
        await client.post(EVENTS, json=events_body(sent))
        (row,) = await rows_of(client, EVENT_EXPORT, day_query())

    assert {name: row[name] for name in SYSTEM} == {
        "df_api_version": "1.0.0",
        "df_correction_datetime": "2025-03-02 05:00:00.000",
        "df_event_datetime": "2025-03-02 05:00:00.000",
        "df_event_detail_log_id": f"1740888942113:{sent['event_log_id']}",
        "df_event_log_id": f"1740888942113:{sent['event_log_id']}",
        "df_event_name": "df_login",
        "df_server_datetime": "2025-03-02 13:15:42.113",
        "df_service_id": emulator.service_id,
        "df_source_type": "HTTP_API",
        "df_unified_id": emulator.profiles[0].unified_id,
    }


@pytest.mark.asyncio
async def test_a_property_named_like_a_system_column_does_not_take_its_place() -> None:
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(event(event_properties={"df_event_name": "other"})))
        (row,) = await rows_of(client, EVENT_EXPORT, day_query())

    assert row["df_event_name"] == "df_login"


@pytest.mark.parametrize(
    ("switches", "column", "shown"),
    [
        ({"csv_datetime": "minutes"}, "df_event_datetime", "2025.3.2 13:15"),
        ({"csv_datetime": "iso"}, "df_event_datetime", "2025-03-02T13:15:41.007+09:00"),
        ({"csv_zone": timezone(timedelta(hours=1))}, "df_event_datetime", "2025-03-02 05:15:41.007"),
        ({"csv_booleans": "lower"}, "flag", "true"),
        ({"csv_booleans": "upper"}, "flag", "TRUE"),
        ({"csv_log_id": "bare"}, "df_event_log_id", "0d4c1a8e-98a2-4f0c-8c0b-02c6a1f1a7d4"),
        (
            {"csv_log_id": "double"},
            "df_event_log_id",
            "1740888942113:1740888941007:0d4c1a8e-98a2-4f0c-8c0b-02c6a1f1a7d4",
        ),
        ({"csv_event_name": "event_name"}, "event_name", "df_login"),
        ({"source_type": "SDK"}, "df_source_type", "SDK"),
    ],
)
@pytest.mark.asyncio
async def test_switches_of_single_cells(switches: dict[str, Any], column: str, shown: str) -> None:
    sent = event(event_log_id="0d4c1a8e-98a2-4f0c-8c0b-02c6a1f1a7d4", event_properties={"flag": True})
    async with running(**switches) as (_, client):
        await client.post(EVENTS, json=events_body(sent))
        (row,) = await rows_of(client, EVENT_EXPORT, day_query())

    assert row[column] == shown


@pytest.mark.parametrize(
    ("style", "event_cell", "profile_cell"), [("lower", "false", "true"), ("upper", "FALSE", "TRUE")]
)
@pytest.mark.asyncio
async def test_booleans_of_both_exports(style: str, event_cell: str, profile_cell: str) -> None:
    async with running(csv_booleans=style) as (_, client):
        await client.post(EVENTS, json=events_body(event(event_properties={"flag": True}), event()))
        await client.post(PROFILE, json=profile_body({"df_push_optin": True}, external_id="u1"))
        rows = await rows_of(client, EVENT_EXPORT, day_query())
        (profile,) = await rows_of(client, PROFILE_EXPORT, ALL_PROFILES)

    assert rows[1]["flag"] == event_cell
    assert (profile["df_push_optin"], profile["df_sms_ads_optin"]) == (profile_cell, "")


@pytest.mark.asyncio
async def test_bom_line_ends_and_content_type() -> None:
    async with running(csv_bom=True, csv_line_end="\r\n", csv_content_type="text/plain") as (_, client):
        reply = await client.post(EVENT_EXPORT, json=day_query())

    assert reply.content.startswith(b"\xef\xbb\xbfdf_api_version,")
    assert reply.content.endswith(b"df_unified_id\r\n")
    assert reply.headers["content-type"] == "text/plain"


@pytest.mark.asyncio
async def test_a_row_for_each_item_or_for_each_event() -> None:
    sent = event(event_properties={"df_order_id": "o"}, event_items=[{"df_item_id": "1"}, {"df_item_id": "2"}])
    shown: dict[str, list[list[str]]] = {}
    for rows_by in ("item", "event"):
        async with running(item_rows=rows_by) as (_, client):
            await client.post(EVENTS, json=events_body(sent))
            rows = await rows_of(client, EVENT_EXPORT, day_query())
        names = ("df_order_id", "df_items_df_item_id", "df_event_log_id", "df_event_detail_log_id")
        shown[rows_by] = [[row[name] for name in names] for row in rows]

    log_id = f"1740888942113:{sent['event_log_id']}"
    assert shown["item"] == [["o", "1", log_id, f"{log_id}:0"], ["o", "2", log_id, f"{log_id}:1"]]
    assert shown["event"] == [["o", "1", log_id, log_id]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, "abc"),
        ({"events": ["a", "c"], "events_condition_type": "include"}, "ac"),
        ({"events": ["a", "x"], "events_condition_type": "exclude"}, "bc"),
        ({"events": ["a"], "events_condition_type": "all"}, "abc"),
        ({"events": [], "events_condition_type": "include"}, ""),
        ({"events": None, "events_condition_type": "include"}, "abc"),
    ],
)
@pytest.mark.asyncio
async def test_filters_of_events(query: dict[str, Any], names: str) -> None:
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(*[event(name) for name in "abc"]))
        rows = await rows_of(client, EVENT_EXPORT, day_query(**query))

    assert [row["df_event_name"] for row in rows] == list(names)


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ({"properties": ["p", "df_items_i"], "properties_condition_type": "include"}, {"p", "df_items_i"}),
        ({"properties": ["i", "df_unified_id"], "properties_condition_type": "include"}, set[str]()),
        ({"properties": [], "properties_condition_type": "include"}, set[str]()),
    ],
)
@pytest.mark.asyncio
async def test_filters_of_properties_keep_the_system_columns(query: dict[str, Any], columns: set[str]) -> None:
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(event(event_properties={"p": 1, "q": 2}, event_items=[{"i": 3}])))
        (row,) = await rows_of(client, EVENT_EXPORT, day_query(**query))

    assert set(row) == SYSTEM | columns


@pytest.mark.asyncio
async def test_properties_can_be_left_out() -> None:
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(event(event_properties={"p": 1, "q": 2})))
        query = day_query(properties=["p", "df_event_name"], properties_condition_type="exclude")
        (row,) = await rows_of(client, EVENT_EXPORT, query)

    assert "p" not in row
    assert row["q"] == "2"
    assert row["df_event_name"] == "df_login"


@pytest.mark.asyncio
async def test_days_are_seoul_days_with_both_ends() -> None:
    moments = ["2025-02-28T14:59:59.999Z", "2025-02-28T15:00:00Z", "2025-03-02T14:59:59Z", "2025-03-02T15:00:00Z"]
    async with running() as (_, client):
        await client.post(EVENTS, json=events_body(*[event(event_datetime=moment) for moment in moments]))
        rows = await rows_of(client, EVENT_EXPORT, day_query(from_date="2025-03-01"))

    assert [row["df_event_datetime"][:10] for row in rows] == ["2025-03-01", "2025-03-02"]


@pytest.mark.parametrize(
    ("switches", "start", "status"),
    [
        ({}, "2025-01-31", 200),
        ({}, "2025-01-30", 400),
        ({"export_days": 1}, "2025-02-28", 400),
        ({"export_days": None}, "1997-01-01", 200),
        ({"today": date(1997, 1, 20)}, "1997-01-01", 200),
    ],
)
@pytest.mark.asyncio
async def test_how_far_back_an_export_may_start(switches: dict[str, Any], start: str, status: int) -> None:
    async with running(**switches) as (_, client):
        reply = await client.post(EVENT_EXPORT, json=day_query(from_date=start))

    assert reply.status_code == status
    assert status == 200 or reply.json() == {"result": "fail", "message": "exceed_date_range_limit"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("events_condition_type", None),
        ("events_condition_type", "some"),
        ("events", "df_login"),
        ("events", [1]),
        ("properties_condition_type", "some"),
        ("properties_condition_type", {}),
        ("properties", {}),
        ("from_date", None),
        ("from_date", "2025-02-30"),
        ("from_date", "20250301"),
        ("from_date", "2025-03-03"),
        ("to_date", 20250302),
        ("limit", 5),
    ],
)
@pytest.mark.asyncio
async def test_bad_event_queries(field: str, value: Any) -> None:
    async with running() as (emulator, client):
        reply = await client.post(EVENT_EXPORT, json=day_query(**{field: value}))

    assert (reply.status_code, reply.json()) == (400, {"result": "fail", "message": "invalid_parameter"})
    assert emulator.requests[0].problems[0].field in {field, "to_date"}


@pytest.mark.parametrize(
    "query",
    [{}, {**ALL_PROFILES, "audience": 5}, {**ALL_PROFILES, "identities": "all"}, {**ALL_PROFILES, "events": []}],
)
@pytest.mark.asyncio
async def test_bad_profile_queries(query: dict[str, Any]) -> None:
    async with running() as (_, client):
        reply = await client.post(PROFILE_EXPORT, json=query)
        broken = await client.post(PROFILE_EXPORT, content=b"{", headers={"content-type": "application/json"})

    assert (reply.status_code, reply.json()["message"]) == (400, "invalid_parameter")
    assert (broken.status_code, broken.json()["message"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("path", [EVENT_EXPORT, PROFILE_EXPORT])
@pytest.mark.asyncio
async def test_only_the_export_token_as_bearer_is_taken(path: str) -> None:
    async with running() as (emulator, client):
        wrong = [
            await client.post(path, json={}, headers={"authorization": value})
            for value in ("", "Bearer", f"Bearer {emulator.import_token}", emulator.export_token)
        ]
        del client.headers["authorization"]
        wrong.append(await client.post(path, json={}, headers={"access_token": emulator.export_token}))
        service = await client.post(path, json={}, params={"service_id": "other"})

    assert {reply.status_code for reply in wrong} == {401}
    assert {reply.json()["message"] for reply in wrong} == {"unauthorized_token"}
    assert (service.status_code, service.json()["message"]) == (400, "invalid_parameter")


@pytest.mark.asyncio
async def test_events_become_visible_after_a_delay() -> None:
    clock = ManualClock()
    async with running(clock=clock, visibility_delay=300) as (_, client):
        await client.post(EVENTS, json=events_body(event()))
        early = await rows_of(client, EVENT_EXPORT, day_query())
        clock.advance(300)
        late = await rows_of(client, EVENT_EXPORT, day_query())

    assert (len(early), len(late)) == (0, 1)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, False),
        ({"identities": ["df_external_id"], "identities_condition_type": "include"}, True),
        ({"identities": ["df_external_id"], "identities_condition_type": "exclude"}, False),
        ({"identities": ["df_email"], "identities_condition_type": "include"}, False),
        ({"identities_condition_type": "all"}, True),
    ],
)
@pytest.mark.asyncio
async def test_the_external_id_is_the_only_identity_and_only_on_request(query: dict[str, Any], shown: bool) -> None:
    async with running() as (_, client):
        await client.post(PROFILE, json=profile_body({"a": 1}, external_id="u", email="e@example.com"))
        (row,) = await rows_of(client, PROFILE_EXPORT, {**ALL_PROFILES, **query})

    assert row.get("df_external_id") == ("u" if shown else None)
    assert "e@example.com" not in row.values()


@pytest.mark.asyncio
async def test_audiences() -> None:
    def is_gold(profile: Profile) -> bool:
        return profile.properties.get("df_membership") == "GOLD"

    async with running(audiences={"listed": {"a", "b"}, "gold": is_gold}) as (_, client):
        for external_id, level in (("a", "GOLD"), ("b", "SILVER"), ("c", "GOLD")):
            await client.post(PROFILE, json=profile_body({"df_membership": level}, external_id=external_id))
        query = {**ALL_PROFILES, "identities_condition_type": "all"}
        members = {
            audience: [
                row["df_external_id"] for row in await rows_of(client, PROFILE_EXPORT, {**query, "audience": audience})
            ]
            for audience in ("listed", "gold", "unknown")
        }

    assert members == {"listed": ["a", "b"], "gold": ["a", "c"], "unknown": []}


@pytest.mark.asyncio
async def test_a_long_export_comes_in_chunks_and_in_order() -> None:
    async with running() as (_, client):
        for batch in range(30):
            events = [event(event_properties={"n": batch * 100 + number}) for number in range(100)]
            await client.post(EVENTS, json=events_body(*events))
        async with client.stream("POST", EVENT_EXPORT, json=day_query()) as reply:
            chunks = [len(chunk) async for chunk in reply.aiter_raw()]
        rows = await rows_of(client, EVENT_EXPORT, day_query())

    assert reply.headers["transfer-encoding"] == "chunked"
    assert len(chunks) > 5
    assert [int(row["n"]) for row in rows] == list(range(3000))


@pytest.mark.asyncio
async def test_a_reader_that_leaves_frees_its_slot() -> None:
    async with Emulator(exports_at_once=1, export_days=None) as emulator, client_of(emulator) as client:
        for _ in range(20):
            tags = ["x" * 1000] * 30
            events = [event(event_properties={"tags": tags}) for _ in range(30)]
            await client.post(EVENTS, json=events_body(*events))
        async with client_of(emulator) as leaver, leaver.stream("POST", EVENT_EXPORT, json=day_query()) as reply:
            async for _ in reply.aiter_raw():
                break
        while (await client.post(EVENT_EXPORT, json=day_query(from_date="2025-03-03", to_date="2025-03-03"))).is_error:
            pass
