"""Waits between attempts: exponential, capped, with full jitter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from dfinery_async import RetryConfig
from dfinery_async.core.retry import RetryBudget, backoff


@pytest.mark.parametrize(
    ("failures", "longest"),
    [
        (-1, 0.2),
        (0, 0.2),
        (1, 0.2),
        (2, 0.4),
        (3, 0.8),
        (4, 1.6),
        (7, 12.8),
        (8, 25.6),
        (9, 30.0),
        (33, 30.0),
        (10**9, 30.0),
    ],
)
@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_a_wait_is_a_part_of_a_doubling_bound(failures: int, longest: float, chance: float) -> None:
    assert backoff(RetryConfig(), failures, chance) == pytest.approx(chance * longest)


@pytest.mark.parametrize(
    ("base", "cap"), [(1e-300, 1e-290), (1e300, 1e308), (1.7e308, 1.7e308), (5.0, 1.0), (1, 10**400)]
)
def test_extreme_settings_give_a_finite_wait(base: float, cap: float) -> None:
    for failures in (1, 2, 32, 33, 34, 10**9):
        assert 0 <= backoff(RetryConfig(base=base, cap=cap), failures, 0.999) < math.inf


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_a_wait_never_exceeds_the_cap_and_never_shrinks(failures: int, chance: float, base: float, cap: float) -> None:
    config = RetryConfig(base=base, cap=cap)
    wait = backoff(config, failures, chance)

    assert 0 <= wait <= cap
    assert wait <= backoff(config, failures + 1, chance)


def test_chance_spreads_clients_over_the_whole_wait() -> None:
    waits = [backoff(RetryConfig(), 4, number / 1000) for number in range(1000)]

    assert min(waits) == 0.0
    assert max(waits) < 1.6
    assert sum(waits) / 1000 == pytest.approx(0.8, rel=0.01)


def test_a_full_budget_lets_retries_go() -> None:
    budget = RetryBudget()
    spent = 0
    while budget.wait(0.0) == 0.0:
        budget.spend(0.0)
        spent += 1
    assert spent == 50


def empty() -> RetryBudget:
    budget = RetryBudget()
    for _ in range(60):
        budget.spend(0.0)
    return budget


def test_an_empty_budget_slows_to_a_tenth_of_the_successes() -> None:
    budget, retries = empty(), 0
    for tick in range(10_000):
        budget.succeeded(retried=False)
        if budget.wait(tick / 1e6) == 0.0:
            budget.spend(tick / 1e6)
            retries += 1
    assert retries == pytest.approx(1000, abs=2)


def test_an_empty_budget_never_stops() -> None:
    budget = empty()
    assert budget.wait(0.0) == 1.0
    assert budget.wait(0.25) == 0.75
    assert budget.wait(1.0) == 0.0
    budget.spend(1.0)
    assert budget.wait(1.0) == 1.0


def test_a_retry_that_went_well_gives_itself_back() -> None:
    budget = empty()
    budget.succeeded(retried=True)
    assert budget.wait(0.0) == 0.0
    budget.spend(0.0)
    budget.succeeded(retried=False)
    assert budget.wait(0.0) > 0.0


def test_a_full_budget_gets_no_fuller() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.succeeded(retried=True)
    for _ in range(50):
        assert budget.wait(0.0) == 0.0
        budget.spend(0.0)
    assert budget.wait(0.0) > 0.0
