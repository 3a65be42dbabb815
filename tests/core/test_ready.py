"""Who goes next."""

from __future__ import annotations

from dfinery_async.core.ready import Ready


class Lane:
    def __init__(self, name: str) -> None:
        self.name = name
        self.among: Ready[Lane] | None = None
        self.level = 0
        self.place = 0
        self.ready_since = 0.0


def names(ready: Ready[Lane]) -> list[str]:
    order = []
    while (lane := ready.pop()) is not None:
        order.append(lane.name)
    return order


def test_levels_then_age() -> None:
    ready: Ready[Lane] = Ready()
    for name, backlog, since in (("a", 1, 0.0), ("b", 300, 1.0), ("c", 1, 2.0), ("d", 40, 3.0), ("e", 290, 4.0)):
        ready.add(Lane(name), backlog, since)
    assert bool(ready)
    assert names(ready) == ["b", "e", "d", "a", "c"]
    assert not ready
    assert ready.pop() is None


def test_every_eighth_turn_goes_to_the_oldest() -> None:
    ready: Ready[Lane] = Ready()
    ready.add(Lane("old"), 1, 0.0)
    for number in range(20):
        ready.add(Lane(f"hot{number}"), 100, 1.0)
    order = names(ready)
    assert order.index("old") == 7


def test_a_lane_rises_as_its_backlog_grows() -> None:
    ready: Ready[Lane] = Ready()
    small, large = Lane("small"), Lane("large")
    ready.add(large, 8, 0.0)
    ready.add(small, 1, 0.0)
    ready.grew(small, 1)
    assert small.level == 1
    ready.grew(small, 2**30)
    assert names(ready) == ["small", "large"]


def test_removed_is_gone() -> None:
    ready: Ready[Lane] = Ready()
    one, two = Lane("one"), Lane("two")
    ready.add(one, 1, 0.0)
    ready.add(two, 1, 0.0)
    ready.remove(one)
    assert names(ready) == ["two"]


def test_only_high_levels_where_only_they_may_go() -> None:
    ready: Ready[Lane] = Ready()
    ready.add(Lane("small"), 3, 0.0)
    assert ready.pop(least=5) is None
    ready.add(Lane("large"), 40, 1.0)
    large = ready.pop(least=5)
    assert large is not None
    assert large.name == "large"
    assert ready.pop(least=5) is None
    assert names(ready) == ["small"]


def test_places_that_lanes_left_do_not_pile_up() -> None:
    ready: Ready[Lane] = Ready()
    stays = [Lane(f"stays{number}") for number in range(3)]
    for lane in stays:
        ready.add(lane, 1, 0.0)
    for _ in range(1000):
        passing = Lane("passing")
        ready.add(passing, 1, 1.0)
        ready.remove(passing)
    assert sum(len(level.line) for level in ready._levels.values()) < 100
    ready.remove(stays[1])
    assert names(ready) == ["stays0", "stays2"]


def test_a_lane_is_found_where_it_stands_now_and_not_where_it_stood() -> None:
    one: Ready[Lane] = Ready()
    other: Ready[Lane] = Ready()
    lane, before, behind = Lane("lane"), Lane("before"), Lane("behind")
    for each in (before, lane, behind):
        one.add(each, 1, 0.0)
    one.remove(lane)
    other.add(Lane("first"), 1, 0.0)
    other.add(lane, 1, 0.0)
    assert lane.place == 1  # the number of the place that it left, in another line
    assert names(one) == ["before", "behind"]
    assert names(other) == ["first", "lane"]
