"""Clients that share a quota without knowing of each other, a few seeds of each kind; `nox -s quota` runs many."""

from __future__ import annotations

import asyncio

import pytest
from quota_world import Client, Fixed, Plan, TokenBucket, World, coming_and_going, simulate
from sim_loop import virtually

from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.sharing import FairShare


@pytest.mark.parametrize("seed", range(1, 3))
@pytest.mark.parametrize("whole_seconds", [False, True])
def test_who_is_alone_uses_all_and_is_never_refused(seed: int, whole_seconds: bool) -> None:
    plan = Plan([Client()], limit=600, windows=5, whole_seconds=whole_seconds)
    figures = simulate(plan, seed)

    assert figures.faults(used=0.99, throttled=0.0, first=1) == []


@pytest.mark.parametrize(("count", "limit"), [(2, 600), (4, 600), (16, 1280)])
def test_who_share_have_as_much_each(count: int, limit: int) -> None:
    plan = Plan(coming_and_going(count, 60.0, 6, seed=count), limit=limit, windows=6)

    assert simulate(plan, seed=count).faults() == []


def test_an_hour_that_others_use_too_is_not_spent_in_a_burst() -> None:
    plan = Plan([Client() for _ in range(4)], limit=1000, period=3600.0, windows=4)

    assert simulate(plan, seed=1).faults() == []


def test_a_bucket_that_fills_evenly_is_shared_as_well() -> None:
    plan = Plan([Client() for _ in range(4)], limit=600, windows=6, server=TokenBucket)

    assert simulate(plan, seed=1).faults(first=3) == []


def test_who_wants_little_leaves_the_rest_to_the_others() -> None:
    plan = Plan([Client(rate=1.0), Client(), Client()], limit=1200, windows=6)
    figures = simulate(plan, seed=3)

    assert figures.faults() == []
    assert sum(figures.allowed[window, 0] for window in range(2, 6)) == pytest.approx(4 * 60, rel=0.3)


@pytest.mark.parametrize("cut_at", [2, 3])
def test_a_quota_cut_by_ten_costs_at_most_the_calls_in_flight(cut_at: int) -> None:
    class Cut(Fixed):
        def take(self, now: float) -> tuple[bool, int, float]:
            if now + self.phase >= cut_at * self.period:
                self.limit = 60
            return super().take(now)

    figures = simulate(Plan([Client()], limit=600, windows=6, server=Cut), seed=cut_at)

    assert sum(figures.refused.values()) <= 16
    assert [figures.allowed[window, 0] for window in range(cut_at + 1, 6)] == [60] * (5 - cut_at)


class Spent(Fixed):
    """Nothing is left in the first window. Notes when each client comes back after it."""

    def __init__(self, limit: int, period: float, phase: float) -> None:
        super().__init__(0, period, phase)
        self.back: dict[str, float] = {}

    def take(self, now: float) -> tuple[bool, int, float]:
        if now + self.phase >= self.period:
            self.limit = 10**6
            task = asyncio.current_task()
            assert task is not None
            self.back.setdefault(task.get_name(), now)
        return super().take(now)


def crowd_after_reset(seed: int) -> int:
    """Let 500 clients wait for one reset; return how many of them come back in the fullest 50 ms."""
    plan = Plan([Client() for _ in range(500)], windows=2, server=Spent, in_flight=1)
    world = World(plan, seed)
    reset = world.figures.ends_at(0)
    for client in plan.clients:
        client.leaves = reset + 4.5
    virtually(world.run())
    assert isinstance(world.server, Spent)
    back = list(world.server.back.values())
    assert len(back) == 500
    return max(sum(begin <= at < begin + 0.05 for at in back) for begin in back)


def test_500_who_wait_for_one_reset_do_not_come_back_as_one() -> None:
    assert crowd_after_reset(1) < 100


def _nobody_gives_way(put: pytest.MonkeyPatch) -> None:
    put.setattr(FairShare, "_move", lambda *_: None)


def _nobody_sees_others(put: pytest.MonkeyPatch) -> None:
    put.setattr(FairShare, "look", lambda *_: None)


def _all_is_believed_left_at_the_reset(put: pytest.MonkeyPatch) -> None:
    put.setattr(QuotaWindow, "available", lambda _: 1000.0)


def _the_rest_is_left(put: pytest.MonkeyPatch) -> None:
    put.setattr(QuotaWindow, "_reserve", lambda self: 0.1 * self._limit)


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        (_nobody_gives_way, "shares"),
        (_nobody_sees_others, "throttled"),
        (_all_is_believed_left_at_the_reset, "throttled"),
        (_the_rest_is_left, "used"),
    ],
)
def test_each_figure_is_shown_to_fall_below_its_floor(bug: object, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(bug)
    bug(monkeypatch)
    late = [Client(), Client(), Client(joins=70.0)]
    faults = simulate(Plan(late, limit=600, windows=7), seed=4).faults()

    assert [fault for fault in faults if fault.startswith(found)] != []


def test_the_check_of_the_crowd_finds_clients_without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuotaWindow, "jitter", lambda _: 0.0)

    assert crowd_after_reset(1) > 300


def test_the_same_seed_gives_the_same_figures() -> None:
    plan = Plan(coming_and_going(4, 60.0, 4, seed=1), limit=300, windows=4)

    assert simulate(plan, 7).allowed == simulate(plan, 7).allowed != simulate(plan, 8).allowed
