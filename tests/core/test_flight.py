"""How many requests may be in the air."""

from __future__ import annotations

from hypothesis import given, strategies as st

from dfinery_async.core.flight import FlightLimit


def test_it_begins_with_all_of_it() -> None:
    assert FlightLimit(64).size == 64


def test_trouble_lowers_it_once_for_all_that_were_in_the_air() -> None:
    limit = FlightLimit(64)
    limit.lost(launched_at=1.0, now=2.0)
    assert limit.size == 44
    for _ in range(43):
        limit.lost(launched_at=1.5, now=2.1)
    assert limit.size == 44
    limit.lost(launched_at=2.0, now=3.0)
    assert limit.size == 31


def test_it_never_falls_below_one() -> None:
    limit = FlightLimit(8)
    for moment in range(50):
        limit.lost(float(moment), moment + 0.5)
    assert limit.size == 1


def test_it_comes_back_by_doubling_first_and_by_one_a_round_then() -> None:
    limit = FlightLimit(64)
    for moment in range(20):
        limit.lost(float(moment), moment + 0.5)
    assert limit.size == 1
    rounds = 0
    while limit.size < 32:  # half of what it was when the trouble began
        for _ in range(limit.size):
            limit.succeeded(limit.size)
        rounds += 1
    assert rounds == 5
    size = limit.size
    for _ in range(size):
        limit.succeeded(limit.size)
    assert size <= limit.size <= size + 1


def test_a_bound_that_is_not_used_does_not_grow() -> None:
    limit = FlightLimit(64)
    limit.lost(1.0, 2.0)
    for _ in range(1000):
        limit.succeeded(in_air=3)
    assert limit.size == 44
    for _ in range(10_000):
        limit.succeeded(in_air=64)
    assert limit.size == 64


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 64)), max_size=300))
def test_it_stays_within_its_bounds(steps: list[tuple[bool, int]]) -> None:
    limit = FlightLimit(32)
    for now, (well, in_air) in enumerate(steps):
        if well:
            limit.succeeded(in_air)
        else:
            limit.lost(float(now), now + 0.5)
        assert 1 <= limit.size <= 32
