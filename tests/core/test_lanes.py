"""Lanes: order, grouping and waiting, without an event loop. Time is a number that the tests move."""

from __future__ import annotations

import math

import pytest
from lanes_kit import event, fill, identity, must_take, profile

from dfinery_async.core.caps import Caps
from dfinery_async.core.lanes import FAMILIES, Lanes
from dfinery_async.core.work import Batch, Work


def test_an_event_is_ready_at_once() -> None:
    lanes = Lanes(Caps())
    [work] = fill(lanes, b"u", [event()])
    assert lanes.has_ready("events", 0.0)
    assert not lanes.has_ready("profiles", 0.0)
    assert must_take(lanes).works == [work]


def test_an_empty_house_gives_nothing_and_wakes_nobody() -> None:
    lanes = Lanes(Caps())
    assert lanes.take("events", 0.0) is None
    assert lanes.next_wake() == math.inf
    assert len(lanes) == 0


def test_neighbours_travel_together_up_to_the_cap() -> None:
    lanes = Lanes(Caps(events=3))
    works = fill(lanes, b"u", [event(n) for n in range(5)])
    first = must_take(lanes)
    assert first.works == works[:3]
    lanes.settle(first, 0.0)
    assert must_take(lanes).works == works[3:]


@pytest.mark.parametrize(
    ("caps", "works", "expected"),
    [
        (Caps(items=10), [event(items=6), event(items=4), event(items=1)], 2),
        (Caps(items=10), [event(items=11), event(items=1)], 1),
        (Caps(bytes=100), [event(size=30), event(size=30), event(size=30)], 2),
        (Caps(bytes=10), [event(size=500), event(size=1)], 1),
    ],
)
def test_items_and_bytes_bound_a_request_but_never_to_nothing(caps: Caps, works: list[Work], expected: int) -> None:
    lanes = Lanes(caps)
    fill(lanes, b"u", works)
    assert len(must_take(lanes).works) == expected


def test_one_request_of_a_user_is_in_the_air_at_a_time() -> None:
    lanes = Lanes(Caps(events=1))
    works = fill(lanes, b"u", [event(1), event(2)])
    first = must_take(lanes)
    assert lanes.take("events", 0.0) is None
    lanes.add(b"u", event(3), 0.0)
    assert lanes.take("events", 0.0) is None
    lanes.settle(first, 0.0)
    assert must_take(lanes).works == [works[1]]


def test_kinds_keep_the_order_of_the_calls() -> None:
    lanes = Lanes(Caps())
    fill(lanes, b"u", [event(1), event(2), profile(a=1), profile(a=2, b=3), identity(), event(4)])
    seen = []
    for family in ("events", "profiles", "identities", "events"):
        assert [other for other in FAMILIES if lanes.has_ready(other, 0.0)] == [family]
        batch = must_take(lanes, family)
        seen.append(len(batch.works))
        lanes.settle(batch, 0.0)
    assert seen == [2, 2, 1, 1]
    assert len(lanes) == 0


def test_neighbouring_profile_updates_merge_and_the_later_value_wins() -> None:
    lanes = Lanes(Caps())
    fill(lanes, b'{"external_id":"u"}', [profile(a=1, b=1), profile(b=2)])
    body = must_take(lanes, "profiles").body()
    assert body == (
        b'{"identity":{"external_id":"u"},"user_properties":{"a":1,"b":2},"request_datetime":"2025-01-01T00:00:00.000Z"}'
    )


def test_bodies_of_events_and_identities() -> None:
    lanes = Lanes(Caps())
    fill(lanes, b'{"external_id":"u"}', [event(7), event(8), identity(), identity()])
    batch = must_take(lanes)
    assert batch.endpoint.path == "/api/v1/events"
    assert batch.body() == b'{"common":{"identity":{"external_id":"u"}},"events":[7,8]}'
    lanes.settle(batch, 0.0)
    batch = must_take(lanes, "identities")
    assert batch.endpoint.path == "/api/v1/identities"
    assert batch.body() == b'{"identity":{"external_id":"u"},"request_datetime":"2025-01-01T00:00:00.000Z"}'


def test_linger_counts_from_the_first_event() -> None:
    lanes = Lanes(Caps(), linger=1.0)
    fill(lanes, b"u", [event(1, at=0.0), event(2, at=0.9)])
    assert not lanes.has_ready("events", 0.99)
    assert lanes.next_wake() == 1.0
    assert len(must_take(lanes, now=1.0).works) == 2


@pytest.mark.parametrize(
    "works",
    [
        [event(n) for n in range(3)],
        [event(items=5), event(items=5)],
        [event(size=50), event(size=50)],
        [event(), profile(a=1)],
    ],
)
def test_linger_ends_when_the_request_can_get_no_fuller(works: list[Work]) -> None:
    lanes = Lanes(Caps(events=3, items=10, bytes=120), linger=60.0)
    fill(lanes, b"u", works[:-1])
    assert not lanes.has_ready("events", 0.0)
    fill(lanes, b"u", works[-1:])
    assert lanes.has_ready("events", 0.0)


def test_release_ends_all_linger_up_to_now() -> None:
    lanes = Lanes(Caps(), linger=60.0)
    fill(lanes, b"u", [event(1)])
    fill(lanes, b"v", [event(1)])
    lanes.release(5.0)
    first, second = must_take(lanes, now=5.0), must_take(lanes, now=5.0)
    lanes.add(b"u", event(2, at=4.0), 5.0)
    lanes.add(b"v", event(2, at=6.0), 6.0)
    lanes.settle(first, 6.0)
    lanes.settle(second, 6.0)
    assert must_take(lanes, now=6.0).key == b"u"  # accepted before the release
    assert not lanes.has_ready("events", 6.0)  # accepted after it


def test_release_leaves_a_time_of_retry_alone() -> None:
    lanes = Lanes(Caps(), linger=1.0)
    fill(lanes, b"u", [event(1)])
    lanes.put_back(must_take(lanes, now=1.0), 1.0, not_before=30.0)
    lanes.release(2.0)
    assert not lanes.has_ready("events", 29.9)
    assert lanes.has_ready("events", 30.0)


def test_what_comes_back_goes_in_front_as_it_was() -> None:
    lanes = Lanes(Caps(events=2))
    works = fill(lanes, b"u", [event(n) for n in range(3)])
    first = must_take(lanes)
    body = first.body()
    lanes.put_back(first, 0.0, not_before=5.0)
    lanes.add(b"u", event(9), 1.0)
    assert lanes.next_wake() == 5.0
    assert lanes.take("events", 4.9) is None
    again = must_take(lanes, now=5.0)
    assert again.works == works[:2]
    assert again.body() == body


def test_a_divided_request_keeps_its_order() -> None:
    lanes = Lanes(Caps())
    works = fill(lanes, b"u", [event(n) for n in range(5)])
    lanes.divide(must_take(lanes), 0.0)
    left = must_take(lanes)
    assert left.works == works[:3]
    lanes.divide(left, 0.0)
    order: list[Work] = []
    while (batch := lanes.take("events", 0.0)) is not None:
        order += batch.works
        lanes.settle(batch, 0.0)
    assert order == works


def test_halves_of_one_request_inherit_its_attempts() -> None:
    left, right = Batch(b"u", [event(1), event(2)], attempts=3).halves()
    assert (left.attempts, right.attempts) == (3, 3)


def test_a_trial_of_more_is_one_request_of_events() -> None:
    lanes = Lanes(Caps(events=4), linger=60.0)
    lanes.caps.shrink(Batch(b"u", [event(n) for n in range(4)]))
    for _ in range(8):
        lanes.caps.delivered(Batch(b"u", [event(n) for n in range(2)]))
    fill(lanes, b"u", [profile() for _ in range(5)])
    assert len(must_take(lanes, "profiles").works) == 4
    fill(lanes, b"v", [event(n) for n in range(3)])
    assert lanes.take("events", 0.0) is None  # a fourth has room
    fill(lanes, b"v", [event(n) for n in range(3)])
    trial = must_take(lanes)
    assert len(trial.works) == 4
    lanes.settle(trial, 0.0)
    assert len(must_take(lanes).works) == 2


def test_expired_works_leave_their_lanes_wherever_they_stand() -> None:
    lanes = Lanes(Caps(events=2), timeout=10.0)
    old = fill(lanes, b"ready", [event(1, at=0.0)])
    young = fill(lanes, b"ready", [event(2, at=5.0)])
    retried = fill(lanes, b"retried", [event(3, at=0.0), event(4, at=6.0), event(5, at=6.0)])
    batch = must_take(lanes)
    while batch.key != b"retried":
        lanes.put_back(batch, 0.0)
        batch = must_take(lanes)
    lanes.put_back(batch, 6.0, not_before=20.0)
    assert lanes.expired(9.9) == []
    assert lanes.next_wake() == 10.0
    assert sorted(work.payload for work in lanes.expired(10.0)) == [b"1", b"3"]
    assert {old[0].accepted_at, retried[0].accepted_at} == {0.0}
    assert must_take(lanes, now=10.0).works == young
    assert lanes.take("events", 10.0) is None  # the retry keeps its time
    assert [work.payload for work in lanes.expired(16.0)] == [b"4", b"5"]
    assert lanes.take("events", 30.0) is None


def test_expiry_of_a_whole_retry_frees_the_lane_behind_it() -> None:
    lanes = Lanes(Caps(events=1), timeout=10.0)
    works = fill(lanes, b"u", [event(1, at=0.0), event(2, at=9.0)])
    lanes.put_back(must_take(lanes), 1.0, not_before=15.0)
    assert lanes.expired(10.0) == works[:1]
    assert must_take(lanes, now=10.0).works == works[1:]


def test_what_is_in_the_air_expires_only_when_it_comes_back() -> None:
    lanes = Lanes(Caps(), timeout=10.0)
    works = fill(lanes, b"u", [event(1)])
    batch = must_take(lanes)
    assert lanes.expired(50.0) == []
    lanes.put_back(batch, 50.0)
    assert lanes.expired(50.0) == works
    assert len(lanes) == 0


def test_what_waits_behind_a_request_in_the_air_expires_on_time() -> None:
    lanes = Lanes(Caps(), timeout=10.0)
    fill(lanes, b"u", [event(1)])
    batch = must_take(lanes)
    behind = fill(lanes, b"u", [event(2, at=1.0), event(3, at=2.0), event(4, at=8.0)])
    assert lanes.next_wake() == 11.0
    assert lanes.expired(11.0) == behind[:1]
    assert lanes.next_wake() == 12.0
    assert lanes.expired(18.0) == behind[1:]
    assert lanes.next_wake() == math.inf
    late = fill(lanes, b"u", [event(5, at=20.0)])
    lanes.settle(batch, 25.0)
    assert lanes.expired(29.0) == []
    assert lanes.expired(30.0) == late
    assert len(lanes) == 0


def test_half_of_a_request_expires_behind_the_other_half_in_the_air() -> None:
    lanes = Lanes(Caps(), timeout=10.0)
    left, right = fill(lanes, b"u", [event(1), event(2)])
    lanes.divide(must_take(lanes), 5.0)
    batch = must_take(lanes, now=5.0)
    assert batch.works == [left]
    assert lanes.expired(10.0) == [right]
    lanes.settle(batch, 12.0)
    assert len(lanes) == 0


def test_take_all_empties_the_house_in_order() -> None:
    lanes = Lanes(Caps(events=2), linger=5.0)
    works = fill(lanes, b"u", [event(n) for n in range(5)])
    other = fill(lanes, b"v", [event(9)])
    lanes.put_back(must_take(lanes), 0.0, not_before=3.0)
    assert list(lanes.take_all()) == [*((b"u", work) for work in works), (b"v", other[0])]
    assert len(lanes) == 0
    assert lanes.next_wake() == math.inf
    assert lanes.take("events", 100.0) is None


def test_a_long_wait_at_the_top_does_not_keep_the_forgotten() -> None:
    lanes = Lanes(Caps(), timeout=100.0)
    fill(lanes, b"slow", [event(at=0.0)])
    slow = must_take(lanes)
    for number in range(1000):
        fill(lanes, b"u%d" % number, [event(at=1.0)])
        lanes.settle(must_take(lanes, now=1.0), 1.0)
    lanes.put_back(slow, 2.0, not_before=50.0)
    assert len(lanes._alarms) < 300


def test_idle_users_cost_nothing() -> None:
    lanes = Lanes(Caps(), timeout=100.0)
    for number in range(10_000):
        fill(lanes, b"u%d" % number, [event(at=float(number) / 1000)])
        lanes.settle(must_take(lanes, now=float(number) / 1000), 0.0)
    assert len(lanes) == 0
    assert len(lanes._alarms) < 200


def test_the_longest_backlog_goes_first_and_the_cold_are_served() -> None:
    lanes = Lanes(Caps(events=10))
    for number in range(50):
        fill(lanes, b"cold%d" % number, [event(at=0.0)])
    fill(lanes, b"hot", [event(at=1.0) for _ in range(1000)])
    order = []
    for _ in range(60):
        batch = must_take(lanes, now=1.0)
        order.append(batch.key)
        lanes.settle(batch, 1.0)
    assert order[0] == b"hot"
    assert order.count(b"hot") >= 50
    assert order.count(b"hot") < 60


def test_what_could_get_fuller_is_left_for_a_while() -> None:
    lanes = Lanes(Caps(events=3))
    fill(lanes, b"small", [event(1, at=0.0)])
    assert lanes.has_ready("events", 0.5)
    assert not lanes.has_ready("events", 0.5, patience=1.0)
    assert lanes.take("events", 0.5, patience=1.0) is None
    fill(lanes, b"full", [event(n, at=0.6) for n in range(3)])
    full = lanes.take("events", 0.6, patience=1.0)
    assert full is not None
    assert full.key == b"full"
    assert not lanes.has_ready("events", 0.99, patience=1.0)
    assert lanes.has_ready("events", 1.0, patience=1.0)
    small = lanes.take("events", 1.0, patience=1.0)
    assert small is not None
    assert small.key == b"small"


@pytest.mark.parametrize("works", [[event(items=10)], [event(size=100)], [event(), profile(a=1)], [event(), event()]])
def test_what_is_full_in_any_way_goes_at_once(works: list[Work]) -> None:
    lanes = Lanes(Caps(events=2, items=10, bytes=120))
    fill(lanes, b"u", works)
    assert lanes.has_ready("events", 0.0, patience=1.0)
    assert len(must_take(lanes).works) == min(len(works), 2) - (works[-1].family == "profiles")


def test_what_is_repeated_is_as_full_as_it_gets() -> None:
    lanes = Lanes(Caps())
    fill(lanes, b"u", [event(1)])
    lanes.put_back(must_take(lanes), 0.0)
    lanes.add(b"u", event(2), 0.0)
    assert lanes.has_ready("events", 0.0, patience=1.0)


def test_a_lane_that_was_of_several_kinds_is_not_any_more() -> None:
    lanes = Lanes(Caps(), timeout=10.0)
    fill(lanes, b"u", [event(1), profile(a=1), event(2, at=5.0)])
    lanes.settle(must_take(lanes), 0.0)
    assert [work.family for work in lanes.expired(10.0)] == ["profiles"]
    assert not lanes.has_ready("events", 10.0, patience=60.0)
    fill(lanes, b"v", [event(3, at=10.0), profile(a=1, at=10.0)])
    batch = must_take(lanes, now=12.0)
    assert lanes.next_wake() == 15.0 >= lanes.sleeps_until
    lanes.expired(16.0)
    lanes.settle(batch, 16.0)


def test_retries_are_told_apart_and_come_first() -> None:
    lanes = Lanes(Caps())
    assert list(lanes.ready(0.0)) == []
    fill(lanes, b"new", [event(1)])
    fill(lanes, b"rare", [profile(a=1)])
    fill(lanes, b"old", [event(2)])
    failed = must_take(lanes)
    failed.failures = 1
    lanes.put_back(failed, 0.0, not_before=1.0)
    assert lanes.ready(0.0) == [("profiles", False), ("events", False)]
    assert lanes.ready(1.0) == [("events", True), ("profiles", False), ("events", False)]
    assert lanes.take("events", 1.0, retry=True) is failed
