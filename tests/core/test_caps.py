"""The bound on events: it gives way to a refusal, finds a limit that is real, and comes back from one that was not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from dfinery_async.config import Family
from dfinery_async.core.caps import Caps
from dfinery_async.core.work import Batch, Work

LIMITS = st.integers(1, 100)


def batch(count: int, family: Family = "events") -> Batch:
    return Batch(b"u", [Work(family, b"", size=1)] * count)


def play(caps: Caps, requests: int, limit: int, *, in_air: int = 1, seed: int = 1) -> int:
    """Send full requests to a server that takes `limit` events in each. Returns how many new ones it refused."""
    order = random.Random(seed)
    air: list[tuple[int, bool]] = []  # size, and whether it is half of one that was refused
    refused = sent = 0
    while sent < requests or air:
        if sent < requests and len(air) < in_air:
            sent += 1
            air.append((caps.events, False))
            if caps.events > caps.proven:
                caps.tries(caps.events)
            continue
        count, half = air.pop(order.randrange(len(air)))
        if count <= limit:
            caps.delivered(batch(count))
        else:
            refused += not half
            caps.shrink(batch(count))
            air += [(count - count // 2, True), (count // 2, True)]
        assert 1 <= caps.proven <= caps.events <= min(100, 2 * caps.proven)
    return refused


def comes_back(caps: Caps) -> bool:
    caps.shrink(batch(100))
    play(caps, 60, limit=1)
    play(caps, 1200, limit=100)
    return caps.events == 100


def costs_little(caps: Caps, limit: int) -> bool:
    caps.shrink(batch(100))
    play(caps, 6000, limit=limit)
    return play(caps, 10_240, limit=limit) <= 10_240 // 1024 + 1


class Forever(Caps):
    def delivered(self, batch: Batch) -> None:
        pass


class Impatient(Caps):
    def delivered(self, batch: Batch) -> None:
        self._patience = 8
        super().delivered(batch)


def test_with_nothing_refused_nothing_changes() -> None:
    caps = Caps()
    assert play(caps, 1000, limit=100) == 0
    assert (caps.events, caps.proven) == (100, 100)


def test_a_refusal_halves_the_bound() -> None:
    caps = Caps()
    caps.shrink(batch(60))
    assert (caps.events, caps.proven) == (30, 30)
    caps.shrink(batch(3))
    assert (caps.events, caps.proven) == (1, 1)


def test_one_event_that_is_too_large_by_itself_teaches_nothing() -> None:
    caps = Caps()
    caps.shrink(batch(60))
    caps.shrink(batch(1))
    assert caps.events == 30


def test_what_was_sent_before_the_bound_was_learned_teaches_no_more() -> None:
    caps = Caps()
    for _ in range(64):
        caps.shrink(batch(100))
    assert (caps.events, caps.proven) == (50, 50)
    caps.delivered(batch(100))
    assert caps.proven == 50


def test_a_bound_of_one_comes_back_after_eight_full_requests_a_step() -> None:
    caps = Caps()
    caps.shrink(batch(3))
    sizes = []
    for _ in range(7 * 9 + 1):
        sizes.append(caps.events)
        play(caps, 1, limit=100)
    assert sizes == [size for bound in (1, 2, 4, 8, 16, 32, 64) for size in [bound] * 8 + [min(100, 2 * bound)]] + [100]


def test_one_trial_is_in_the_air_at_a_time() -> None:
    caps = Caps()
    caps.shrink(batch(40))
    for _ in range(8):
        caps.delivered(batch(20))
    assert caps.events == 40
    caps.tries(40)
    assert caps.events == 20
    caps.delivered(batch(20))
    assert caps.events == 20
    caps.delivered(batch(40))
    assert (caps.events, caps.proven) == (40, 40)


def test_half_empty_requests_prove_nothing() -> None:
    caps = Caps()
    caps.shrink(batch(40))
    for _ in range(1000):
        caps.delivered(batch(19))
    assert caps.events == 20


@pytest.mark.parametrize("family", ["profiles", "identities"])
def test_merged_work_proves_nothing_of_events(family: Family) -> None:
    caps = Caps()
    caps.shrink(batch(40))
    for _ in range(1000):
        caps.delivered(batch(20, family))
    assert caps.events == 20


@settings(max_examples=50)
@given(LIMITS, st.integers(1, 64), st.integers())
def test_a_real_limit_is_found_and_a_higher_one_as_well(limit: int, in_air: int, seed: int) -> None:
    caps = Caps()
    play(caps, 9000, limit, in_air=in_air, seed=seed)
    assert limit - 1 <= caps.proven <= limit
    play(caps, 9000, 100, in_air=in_air, seed=seed)
    assert caps.events == 100


@settings(max_examples=50)
@given(LIMITS, st.integers(1, 64), st.integers())
def test_a_limit_that_falls_is_found_again(limit: int, in_air: int, seed: int) -> None:
    caps = Caps()
    play(caps, 100, 100, in_air=in_air, seed=seed)
    play(caps, 9000, limit, in_air=in_air, seed=seed)
    assert limit - 1 <= caps.proven <= limit


@settings(max_examples=50)
@given(LIMITS)
def test_a_bound_comes_back_and_a_real_limit_costs_one_refusal_in_a_thousand(limit: int) -> None:
    assert comes_back(Caps())
    assert costs_little(Caps(), limit)


@pytest.mark.parametrize(
    ("broken", "check"),
    [(Forever, comes_back), (Impatient, lambda caps: costs_little(caps, 40))],
)
def test_the_checks_find_bounds_that_do_not_heal_and_those_that_cost(
    broken: type[Caps], check: Callable[[Caps], bool]
) -> None:
    assert not check(broken())
