"""Clients that share a quota through Redis, in virtual time: the script itself, and a Redis that goes away."""

from __future__ import annotations

import pytest

pytest.importorskip("lupa", reason="lupa is not installed")
pytest.importorskip("redis", reason="redis-py is not installed")

import quota_redis
from quota_redis import SimulatedRedis
from quota_world import Client, Figures, Plan, coming_and_going, simulate


def shared(redis: SimulatedRedis, count: int = 4, *, limit: int = 600, period: float = 60.0) -> Figures:
    clients = coming_and_going(count, period, 7, seed=count)
    return simulate(Plan(clients, limit=limit, period=period, windows=7, share=redis), seed=count)


@pytest.mark.parametrize(("count", "limit"), [(2, 600), (6, 600)])
def test_leases_use_all_and_exceed_nothing(count: int, limit: int) -> None:
    assert shared(SimulatedRedis(1), count, limit=limit).faults(used=0.98, throttled=0.0, fair=0.95) == []


def test_an_hour_is_shared_by_leases() -> None:
    assert shared(SimulatedRedis(1), limit=1000, period=3600.0).faults(used=0.98, throttled=0.0, fair=0.95) == []


def test_who_is_alone_with_its_leases_has_all() -> None:
    redis = SimulatedRedis(1)
    figures = simulate(Plan([Client()], limit=600, windows=4, share=redis), seed=1)

    assert figures.faults(used=0.99, throttled=0.0) == []
    assert redis.asked < 4 * 130  # about sixty times in a window


def test_while_redis_is_away_the_headers_do() -> None:
    redis = SimulatedRedis(2, gone=lambda now: 90.0 < now < 250.0)

    assert shared(redis).faults() == []


def test_the_check_finds_books_that_forget_what_was_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_redis, "BOOKS", quota_redis.BOOKS.replace("lent = lent + calls", "lent = lent"))

    assert shared(SimulatedRedis(1)).faults(used=0.98, throttled=0.0, fair=0.95) != []
