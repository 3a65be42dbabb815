"""What the library says in the log: seldom, with fields for machines, and nothing personal."""

from __future__ import annotations

import logging

import pytest
from far_end import FarEnd, client_of, failed, virtually

from dfinery_async.runtime.logs import Seldom


def test_a_producer_says_what_hinders_delivery_once_a_minute(caplog: pytest.LogCaptureFixture):
    async def scenario() -> None:
        far_end = FarEnd(lambda call: failed(40201, 401, "bad token") if call.at < 100 else None)
        async with client_of(far_end) as client, client.producer() as producer:
            await producer.track("kim@example.com", "df_login")
            report = await producer.flush()
            assert report.delivered == 1

    virtually(scenario())
    records = [record for record in caplog.records if "hindered" in record.message]
    assert [record.message.split(":")[1] for record in records] == [" unauthorized"] * len(records)
    assert 1 <= len(records) <= 3
    assert (vars(records[0])["dfinery_state"], vars(records[0])["dfinery_error"]) == ("unauthorized", "InvalidToken")
    assert records[0].message.startswith("delivery is hindered: unauthorized: ")


def test_warnings_of_a_kind_come_once_a_minute_and_say_how_many_were_left_out(caplog: pytest.LogCaptureFixture):
    seldom = Seldom(logging.getLogger("dfinery_async.test"))
    for now in (0.0, 1.0, 59.0, 60.0, 61.0, 130.0):
        seldom.warning("a", now, "it happened", {"n": now})
    seldom.warning("b", 61.0, "something else", {})

    assert [record.getMessage() for record in caplog.records] == [
        "it happened",
        "it happened (2 more of these in between)",
        "it happened (1 more of these in between)",
        "something else",
    ]
    assert [vars(record).get("dfinery_left_out") for record in caplog.records] == [0, 2, 1, 0]


def test_kinds_that_are_remembered_are_bounded(caplog: pytest.LogCaptureFixture):
    seldom = Seldom(logging.getLogger("dfinery_async.test"))
    for number in range(1001):
        seldom.warning(str(number), 0.0, "new", {})
    seldom.warning("1000", 0.0, "known", {})
    seldom.warning("0", 0.0, "forgotten", {})

    assert len(caplog.records) == 1002
    assert caplog.records[-1].getMessage() == "forgotten"
