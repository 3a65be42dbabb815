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
