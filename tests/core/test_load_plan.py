"""A plan counts the requests that a producer makes, and holds no more than one may hold."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, strategies as st

from dfinery_async import Event, Identity
from dfinery_async.config import DeliveryConfig
from dfinery_async.core import codec
from dfinery_async.core.batching import cut_events
from dfinery_async.core.load_plan import LoadPlan, seconds_for
from dfinery_async.core.work import Work


def key(user: int) -> bytes:
    return codec.encode_identity(Identity(external_id=f"u{user}"))


def work(event: Event) -> Work:
    payload = codec.encode_event(event)
    return Work("events", payload, size=len(payload), items=len(event.items or ()))


def planned(users: list[int], config: DeliveryConfig | None = None) -> LoadPlan:
    plan = LoadPlan(config or DeliveryConfig())
    for user in users:
        plan.add(key(user), work(Event("e")))
    plan.finish()
    return plan


def test_nothing_needs_no_request() -> None:
    plan = planned([])

    assert (plan.units, plan.users, plan.requests, plan.requests_least, plan.longest) == (0, 0, 0, 0, 0)


def test_all_events_of_a_user_go_together_where_there_is_room() -> None:
    plan = planned([number % 7 for number in range(1001)])

    assert (plan.units, plan.users, plan.requests, plan.requests_least, plan.longest) == (1001, 7, 14, 14, 2)


def test_a_full_producer_sends_before_it_takes_more() -> None:
    """Twenty users take turns: with room for ten units no two of one user meet, with room for all they do."""
    turns = [number % 20 for number in range(200)]

    assert planned(turns, DeliveryConfig(max_pending_events=10)).requests == 200
    assert planned(turns, DeliveryConfig(max_pending_events=200)).requests == 20
    assert planned(turns, DeliveryConfig(max_pending_events=10)).requests_least == 20
    size = work(Event("e")).size
    assert planned(turns, DeliveryConfig(max_pending_bytes=10 * size)).requests == 200


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_the_least_is_what_direct_calls_would_make(seed: int, room: int) -> None:
    chance = random.Random(seed)
    sent: dict[int, list[Event]] = {}
    plan = LoadPlan(DeliveryConfig(max_pending_events=room, max_batch_bytes=chance.choice([600, 4000, 2**20])))
    for _ in range(chance.randrange(400)):
        event = Event(
            "e",
            properties={"filler": "x" * chance.randrange(300)},
            items=[{"a": 1}] * chance.choice([0, 0, 1, 60, 100]),
        )
        user = chance.randrange(chance.choice([2, 30]))
        sent.setdefault(user, []).append(event)
        plan.add(key(user), work(event))
        assert plan._books.pending <= room
    plan.finish()
    groups = [len(list(cut_events(key(user), events, plan._caps))) for user, events in sent.items()]

    assert (plan.requests_least, plan.longest) == (sum(groups), max(groups, default=0))
    assert plan.requests_least <= plan.requests <= plan.units


@pytest.mark.parametrize(
    ("calls", "limit", "period", "most", "seconds"),
    [
        (0, 10, 60.0, None, 0.0),
        (1, 10, 60.0, 0.001, 0.0),
        (11, 10, 60.0, None, 60.0),
        (11, 10, 60.0, 1.0, 60.0),
        (11, 10, 60.0, 0.1, 100.0),
        (100, 100, 3600.0, None, 0.0),  # a long window is spent in a burst
        (101, 100, 3600.0, None, 3600.0),
        (101, 100, 3600.0, 0.01, 10000.0),
        (101, 100, 3600.0, 100.0, 3600.0),
    ],
)
def test_how_long_calls_take(calls: int, limit: int, period: float, most: float | None, seconds: float) -> None:
    assert seconds_for(calls, limit, period, most=most) == pytest.approx(seconds)
