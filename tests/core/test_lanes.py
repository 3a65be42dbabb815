"""Lanes: order, grouping and waiting, without an event loop. Time is a number that the tests move."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

import pytest

from dfinery_async.config import Family
from dfinery_async.core.caps import Caps
from dfinery_async.core.lane import Lane
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.work import Batch, Work

FAMILIES: tuple[Family, ...] = ("events", "identities", "profiles")


def event(number: int = 0, *, at: float = 0.0, items: int = 0, size: int = 10) -> Work:
    return Work("events", b"%d" % number, size=size, items=items, accepted_at=at)


def profile(*, at: float = 0.0, **properties: object) -> Work:
    return Work("profiles", properties, size=10, moment="2025-01-01T00:00:00.000Z", accepted_at=at)


def identity(*, at: float = 0.0) -> Work:
    return Work("identities", None, size=10, moment="2025-01-01T00:00:00.000Z", accepted_at=at)


def fill(lanes: Lanes, key: bytes, works: Iterable[Work]) -> list[Work]:
    listed = list(works)
    for work in listed:
        lanes.add(key, work, work.accepted_at)
    return listed


def must_take(lanes: Lanes, family: Family = "events", now: float = 0.0) -> Batch:
    batch = lanes.take(family, now)
    assert batch is not None
    return batch


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


class Checker:
    """Holds what lanes give out against what was put in."""

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self.waiting: dict[bytes, list[Work]] = {}
        self.in_air: set[bytes] = set()

    def added(self, key: bytes, work: Work) -> None:
        self.waiting.setdefault(key, []).append(work)

    def took(self, batch: Batch) -> None:
        assert batch.key not in self.in_air, "two requests of a user in the air"
        self.in_air.add(batch.key)
        assert batch.works
        assert len({work.family for work in batch.works}) == 1, "kinds are mixed"
        assert len(batch.works) <= max(self.caps.events, 1)
        assert len(batch.works) == 1 or sum(work.items for work in batch.works) <= self.caps.items
        assert self.waiting[batch.key][: len(batch.works)] == list(batch.works), "out of order"

    def settled(self, batch: Batch) -> None:
        self.in_air.discard(batch.key)
        del self.waiting[batch.key][: len(batch.works)]
        if not self.waiting[batch.key]:
            del self.waiting[batch.key]


def play(lanes: Lanes, seed: int, steps: int = 300) -> None:
    """Random work for random users, random answers, and a check of every request."""
    chance = random.Random(seed)
    checker = Checker(lanes.caps)
    now, air = 0.0, list[Batch]()
    for number in range(steps):
        now += chance.random() * 0.1
        match chance.choice(("add", "add", "take", "take", "answer", "answer", "release")):
            case "add":
                key = b"u%d" % int(chance.expovariate(0.4))
                kind = chance.choice(("event", "event", "event", "profile", "identity"))
                if kind == "event":
                    work = event(number, at=now, items=chance.choice((0, 0, 1, 3)))
                else:
                    work = profile(at=now, n=number) if kind == "profile" else identity(at=now)
                checker.added(key, work)
                lanes.add(key, work, now)
            case "take":
                batch = lanes.take(chance.choice(FAMILIES), now)
                if batch is not None:
                    checker.took(batch)
                    air.append(batch)
            case "answer" if air:
                batch = air.pop(chance.randrange(len(air)))
                answer = chance.choice(("settle", "put back", "later", "divide"))
                if answer == "settle" or (answer == "divide" and len(batch.works) == 1):
                    checker.settled(batch)
                    lanes.settle(batch, now)
                else:
                    checker.in_air.discard(batch.key)
                    if answer == "put back":
                        lanes.put_back(batch, now)
                    elif answer == "later":
                        lanes.put_back(batch, now, now + chance.random())
                    else:
                        lanes.divide(batch, now)
            case "release":
                lanes.release(now)
            case _:
                pass
    now += 1000.0
    for batch in air:
        checker.settled(batch)
        lanes.settle(batch, now)
    while batch := next((taken for family in FAMILIES if (taken := lanes.take(family, now))), None):
        checker.took(batch)
        checker.settled(batch)
        lanes.settle(batch, now)
    assert not checker.waiting, "work was lost"
    assert len(lanes) == 0
    assert lanes.next_wake() == math.inf


@pytest.mark.parametrize("linger", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(300))
def test_any_schedule_keeps_order_and_loses_nothing(seed: int, linger: float) -> None:
    play(Lanes(Caps(events=4, items=5), linger=linger, timeout=1e6), seed)


def _skips_the_queue(lanes: Lanes) -> None:
    put_back: Callable[..., None] = lanes.put_back

    def behind(batch: Batch, now: float, not_before: float = -math.inf) -> None:
        put_back(batch, now, not_before)
        front = lanes._lane(batch.key).front
        assert front
        front.append(front.pop(0))

    lanes.put_back = behind  # type: ignore[method-assign]


def _two_in_the_air(lanes: Lanes) -> None:
    add = lanes.add

    def forgetful(key: bytes, work: Work, now: float) -> None:
        add(key, work, now)
        lane = lanes._users[key]
        if isinstance(lane, Lane) and lane.in_air:
            lane.in_air = False
            lanes._make_ready(lane, now)

    lanes.add = forgetful  # type: ignore[method-assign]


def _loses_the_tail(lanes: Lanes) -> None:
    cut = lanes._cut

    def short(lane: object) -> Batch:
        batch = cut(lane)  # type: ignore[arg-type]
        batch.works = batch.works[:1]
        return batch

    lanes._cut = short  # type: ignore[method-assign]


@pytest.mark.parametrize("bug", [_skips_the_queue, _two_in_the_air, _loses_the_tail])
def test_the_checker_finds_seeded_bugs(bug: Callable[[Lanes], None]) -> None:
    found = 0
    for seed in range(30):
        lanes = Lanes(Caps(events=4, items=5))
        bug(lanes)
        try:
            play(lanes, seed)
        except (AssertionError, KeyError, IndexError):
            found += 1
    assert found


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
