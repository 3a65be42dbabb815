"""The judge of the engines' runs finds what it looks for."""

from __future__ import annotations

import pytest
from engine_rows import rows
from engine_verdict import judge


def event(order="1", log_id="a", user="u1", moment="2025-03-02T04:11:09.000Z"):
    return {
        "identity": {"external_id": user},
        "event_datetime": moment,
        "event_log_id": log_id,
        "event_properties": {"df_order_id": order},
    }


LATER = "2025-03-02T04:11:10.000Z"


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([event(), event(log_id="b")], "new_ids"),
        ([event(), event(order="2")], "shared_ids"),
        ([event(moment=LATER), event(order="2", log_id="b")], "overtaken"),
    ],
)
def test_a_fault_is_seen(events, fault):
    verdict = judge(events)

    assert {name for name in ("new_ids", "shared_ids", "overtaken") if verdict[name]} == {fault}


def test_repetitions_and_other_users_are_none():
    first, second = event(), event("2", "b", moment=LATER)
    other = event("3", "c", user="u2")

    verdict = judge([first, second, first, other, second])

    assert verdict == {"arrivals": 5, "events": 3, "ids": 3, "new_ids": 0, "shared_ids": 0, "overtaken": 0}


def test_the_rows_tell_all_events_of_a_user_apart_by_their_time():
    made = list(rows(2, 2))
    moments = {(row["identity"]["external_id"], row["event_datetime"]) for row in made}

    assert len(made) == len(moments) == 4 * 6919
    assert sorted(made, key=str) == sorted(rows(2, 2, by_user=True), key=str)
    assert len({row["event_properties"]["df_order_id"] for row in made}) == len(made)
