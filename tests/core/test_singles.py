"""Users with one event: no lane, and no difference that anybody could see."""

from __future__ import annotations

import math

from dfinery_async.core.caps import Caps
from dfinery_async.core.lane import Lane
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.singles import Singles
from dfinery_async.core.work import Work


def event(at: float = 0.0, *, items: int = 0, size: int = 10) -> Work:
    return Work("events", b"{}", size=size, items=items, accepted_at=at)


def has_lane(lanes: Lanes, key: bytes) -> bool:
    return isinstance(lanes._users[key], Lane)


def test_one_event_makes_no_lane_and_a_second_one_does() -> None:
    lanes = Lanes(Caps())
    first, second = event(), event(1.0)
    lanes.add(b"u", first, 0.0)
    assert not has_lane(lanes, b"u")
    lanes.add(b"u", second, 1.0)
    assert has_lane(lanes, b"u")
    batch = lanes.take("events", 1.0)
    assert batch is not None
    assert batch.works == [first, second]


def test_a_second_event_waits_for_the_first_in_the_air() -> None:
    lanes = Lanes(Caps())
    lanes.add(b"u", event(), 0.0)
    batch = lanes.take("events", 0.0)
    assert batch is not None
    later = event(1.0)
    lanes.add(b"u", later, 1.0)
    assert lanes.take("events", 1.0) is None
    lanes.settle(batch, 2.0)
    after = lanes.take("events", 2.0)
    assert after is not None
    assert after.works == [later]
    lanes.settle(after, 2.0)
    assert len(lanes) == 0


def test_what_is_full_by_itself_or_came_out_of_turn_gets_a_lane() -> None:
    lanes = Lanes(Caps(items=5, bytes=200))
    for key, work in ((b"items", event(items=5)), (b"bytes", event(size=190)), (b"usual", event(3.0))):
        lanes.add(key, work, 3.0)
    lanes.add(b"early", event(2.0), 3.0)

    assert [has_lane(lanes, key) for key in (b"items", b"bytes", b"usual", b"early")] == [True, True, False, True]


def test_they_go_in_the_order_of_their_arrival_and_a_longer_backlog_before_them() -> None:
    lanes = Lanes(Caps())
    for number in range(4):
        lanes.add(b"u%d" % number, event(float(number)), float(number))
    for number in range(3):
        lanes.add(b"long", event(10.0 + number), 10.0)
    order = [batch.key for _ in range(5) if (batch := lanes.take("events", 20.0))]

    assert order == [b"long", b"u0", b"u1", b"u2", b"u3"]


def test_they_do_not_starve_behind_longer_backlogs() -> None:
    lanes = Lanes(Caps(events=1))
    lanes.add(b"single", event(1.0), 1.0)
    for number in range(100):
        lanes.add(b"old", event(0.5 if number < 1 else 2.0), 2.0)
        lanes.add(b"hot", event(2.0), 2.0)
    order = []
    for _ in range(20):
        batch = lanes.take("events", 3.0)
        assert batch is not None
        order.append(batch.key)
        lanes.settle(batch, 3.0)

    assert b"single" in order[:16]


def test_of_the_same_rank_whoever_waited_longer_goes_first() -> None:
    lanes = Lanes(Caps())
    lanes.add(b"early", event(5.0), 5.0)
    lanes.add(b"lane", event(2.0), 6.0)  # out of turn: it has a lane, and is ready since 6
    lanes.add(b"late", event(7.0), 7.0)
    order = [batch.key for _ in range(3) if (batch := lanes.take("events", 8.0))]

    assert order == [b"early", b"lane", b"late"]


def test_they_are_given_up_in_time() -> None:
    lanes = Lanes(Caps(), timeout=10.0)
    works = [event(float(number)) for number in range(3)]
    for number, work in enumerate(works):
        lanes.add(b"u%d" % number, work, float(number))
    assert lanes.next_wake() == 10.0
    assert lanes.expired(9.9) == []
    assert lanes.expired(11.5) == works[:2]
    assert lanes.sleeps_until == lanes.next_wake() == 12.0
    assert lanes.expired(100.0) == works[2:]
    assert lanes.next_wake() == math.inf
    assert len(lanes) == 0


def test_a_lane_made_of_one_keeps_its_time() -> None:
    lanes = Lanes(Caps(), timeout=10.0)
    lanes.add(b"u", event(1.0), 1.0)
    lanes.add(b"u", event(5.0), 5.0)
    assert lanes.next_wake() == 11.0
    assert len(lanes.expired(11.0)) == 1
    assert lanes.next_wake() == 15.0


def test_while_callers_hand_over_fast_they_wait_to_get_fuller() -> None:
    lanes = Lanes(Caps())
    lanes.add(b"u", event(0.0), 0.0)
    assert not lanes.has_ready("events", 1.0, patience=2.0)
    assert lanes.take("events", 1.0, patience=2.0) is None
    assert lanes.has_ready("events", 2.0, patience=2.0)
    assert lanes.take("events", 2.0, patience=2.0) is not None
    assert not lanes.has_ready("events", 2.0, patience=2.0)
    one_each = Lanes(Caps(events=1))
    one_each.add(b"u", event(0.0), 0.0)
    assert one_each.has_ready("events", 1.0, patience=2.0)
    assert one_each.take("events", 1.0, patience=2.0) is not None


def test_with_other_kinds_waiting_all_are_told() -> None:
    lanes = Lanes(Caps())
    lanes.add(b"u", event(), 0.0)
    lanes.add(b"v", Work("identities", None, size=10, moment="x"), 0.0)
    lanes.add(b"w", event(), 0.0)
    lanes.add(b"w", event(), 0.0)

    assert list(lanes.ready(0.0)) == [("identities", False), ("events", False)]
    lanes.take("events", 0.0)
    assert list(lanes.ready(0.0)) == [("identities", False), ("events", False)]
    lanes.take("events", 0.0)
    assert list(lanes.ready(0.0)) == [("identities", False)]


def test_at_the_end_all_that_waits_comes_out() -> None:
    lanes = Lanes(Caps())
    works = [event(), event()]
    lanes.add(b"air", event(), 0.0)
    lanes.take("events", 0.0)
    lanes.add(b"u", works[0], 0.0)
    lanes.add(b"v", works[1], 0.0)

    assert list(lanes.take_all()) == [(b"u", works[0]), (b"v", works[1])]


def test_places_left_behind_do_not_pile_up() -> None:
    users: dict[bytes, object] = {}
    singles = Singles(users, math.inf)
    last = event()
    for number in range(1000):
        singles.add(b"u%d" % number, last := event(float(number)))
        if number < 999:
            users[b"u%d" % number] = "a lane"
            singles.left()

    assert len(singles._keys) < 100
    assert singles.pop() == (b"u999", last)
