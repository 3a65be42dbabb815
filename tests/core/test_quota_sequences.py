"""Quota windows through long sequences of replies: any at all, and those of a server with fixed windows."""

from __future__ import annotations

import email.utils
import heapq
import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from quota_kit import DAY, HEADERS, HOUR, MINUTE, MONTH, NOW

from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import Observation, read_headers

# --- whatever happens

SECONDS = st.floats(0, 1e5) | st.floats(0, 2)
SEEN = st.builds(
    Observation,
    period=st.none() | st.sampled_from([1.0, MINUTE, HOUR, DAY, MONTH]) | st.floats(1, 1e8),
    remaining=st.none() | st.integers(0, 5) | st.integers(0, 10**12),
    reset_in=st.none() | st.floats(-1e10, 1e10) | st.floats(-2, 120),
)
STEPS = st.lists(
    st.tuples(st.just("observe"), SEEN)
    | st.tuples(st.just("spend"), st.none())
    | st.tuples(st.just("forget"), st.none())
    | st.tuples(st.just("throttled"), st.floats(0, 100))
    | st.tuples(st.just("headers"), HEADERS)
    | st.tuples(st.just("later"), SECONDS),
    max_size=40,
)


def check(window: QuotaWindow, now: float) -> None:
    wait, pace = window.wait(now), window.pace(now)

    assert 0.0 <= wait <= window.period * (1 + 1e-9)
    assert pace is None or 0 < pace < math.inf
    assert (pace is None) is (window.period > 600.0 and window.alone)
    if wait == 0.0 and window.remaining is not None and not window.guessed:
        assert window.available() > 0
    assert window.remaining is None or window.reset_at is not None
    assert window.reset_at is None or window.reset_at > now


@settings(max_examples=500)
@given(STEPS, st.integers(1, 10**6), st.sampled_from([1.0, MINUTE, HOUR]), st.sampled_from([1.0, 0.5, 0.01]))
def test_no_sequence_of_replies_stops_a_window_for_good(steps: Any, limit: int, period: float, share: float) -> None:
    window = QuotaWindow(limit, period, share=share)
    now = 1000.0
    for step, argument in steps:
        match step:
            case "observe":
                window.observe(argument, now)
            case "headers":
                window.observe(read_headers(argument, NOW + now), now)
            case "spend":
                window.spend()
            case "forget":
                window.forget()
            case "throttled":
                assert window.throttled(now, argument) >= now
            case _:
                now += argument
        check(window, now)
    for _ in range(5):
        wait = window.wait(now)
        if wait == 0.0:
            break
        now = math.nextafter(now + wait, math.inf)
        check(window, now)
    assert window.wait(now) == 0.0


# --- against a server with fixed windows


class Server:
    """Counts calls in clock-aligned windows and tells so in its headers."""

    def __init__(self, limit: int, period: int, *, spelling: int, others: float = 0.0) -> None:
        self.limit = limit
        self.period = period
        self.spelling = spelling
        self.others = others
        self.used: dict[int, int] = {}
        self.accepted: dict[int, int] = {}

    def answer(self, now: float, chance: random.Random) -> tuple[bool, list[tuple[str, str]]]:
        number = int(now // self.period)
        while chance.random() < self.others:
            self.used[number] = min(self.limit, self.used.get(number, 0) + 1)
        allowed = self.used.get(number, 0) < self.limit
        if allowed:
            self.used[number] = self.used.get(number, 0) + 1
            self.accepted[number] = self.accepted.get(number, 0) + 1
        reset = (number + 1) * self.period + int(NOW)
        prefix, last, unit = [
            ("x-ratelimit", "reset", 1),
            ("x-rate-limit", "reset", 1000),
            ("x-rate-limit", "rest", 1),
        ][self.spelling]
        return allowed, [
            ("date", email.utils.formatdate(math.floor(NOW + now), usegmt=True)),
            (f"{prefix}-limit", f"{self.period}s"),
            (f"{prefix}-remaining", str(self.limit - self.used.get(number, 0))),
            (f"{prefix}-{last}", str(reset * unit)),
        ]


def run(
    server: Server,
    window: QuotaWindow,
    chance: random.Random,
    *,
    start: float = 0.0,
    until: float,
    skew: float = 0.0,
    lost: float = 0.0,
) -> tuple[int, int]:
    """Call as fast as the window lets us, eight calls at a time, with replies in any order.

    Returns how many calls were refused that were made while a count was known, and how many got no reply.
    """
    queue: list[tuple[float, int, str, Any]] = []
    numbers = itertools.count()
    in_air = surprises = losses = 0

    def plan(at: float, what: str, about: Any) -> None:
        heapq.heappush(queue, (at, next(numbers), what, about))

    plan(start, "wake", None)
    while queue:
        now, _, what, about = heapq.heappop(queue)
        if now > until:
            break
        if what == "arrive":
            allowed, headers = server.answer(now, chance)
            surprises += about and not allowed
            plan(now + chance.uniform(0.01, 0.3), "reply", None if chance.random() < lost else (allowed, headers))
        elif what == "reply":
            in_air -= 1
            if about is None:
                losses += 1
                window.forget()
            else:
                allowed, headers = about
                window.observe(read_headers(headers, NOW + now + skew), now)
                if not allowed:
                    window.throttled(now, 0.5)
        while in_air < 8 and window.wait(now) == 0.0:
            window.spend()
            in_air += 1
            plan(now + chance.uniform(0.01, 0.3), "arrive", window.remaining is not None)
        if in_air < 8:
            plan(math.nextafter(now + window.wait(now), math.inf), "wake", None)
    return surprises, losses


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(9, 200),
    st.sampled_from([10, 20, 60]),
    st.floats(0, 60),
    st.sampled_from([0.0, 600.0, -600.0]),
)
def test_a_known_count_is_never_exceeded_and_all_of_it_is_used(
    seed: int, limit: int, period: int, start: float, skew: float
) -> None:
    chance = random.Random(seed)
    server = Server(limit, period, spelling=seed % 3)
    window = QuotaWindow(10_000, MINUTE)

    surprises, _ = run(server, window, chance, start=start, until=start + period * 5.0, skew=skew)

    first = int(start // period) + 1
    assert surprises == 0
    assert [server.accepted.get(number, 0) for number in range(first, first + 3)] == [limit] * 3


class ForgetsCallsUnderWay(QuotaWindow):
    def spend(self) -> None:
        pass


class BelievesTheLatestReply(QuotaWindow):
    def observe(self, seen: Observation, now: float) -> None:
        super().observe(seen, now)
        self.remaining = seen.remaining


class BelievesEachRaise(QuotaWindow):
    def observe(self, seen: Observation, now: float) -> None:
        self._overtaken = 0
        super().observe(seen, now)


@pytest.mark.parametrize("wrong", [ForgetsCallsUnderWay, BelievesTheLatestReply, BelievesEachRaise])
def test_the_check_of_counts_finds_a_window_that_is_wrong(wrong: type[QuotaWindow]) -> None:
    surprises = 0
    for seed in range(20):
        window = wrong(10_000, MINUTE)
        surprises += run(Server(50, 10, spelling=0), window, random.Random(seed), until=50.0)[0]

    assert surprises > 0


class SharesWhatRemains(QuotaWindow):
    def available(self) -> float:
        return math.inf if self.remaining is None else self.remaining * self._share - self._spent


def test_the_check_of_shares_finds_a_window_that_takes_a_share_of_the_rest_again_and_again() -> None:
    server = Server(100, 20, spelling=1)
    run(server, SharesWhatRemains(100, 20.0, share=0.5), random.Random(1), until=100.0)

    assert server.accepted[1] > 59


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(40, 200), st.sampled_from([0.25, 0.5, 0.9]))
def test_a_share_is_kept_in_every_window(seed: int, limit: int, share: float) -> None:
    chance = random.Random(seed)
    server = Server(limit, 20, spelling=1)
    window = QuotaWindow(limit, 20.0, share=share)

    run(server, window, chance, until=100.0)

    for number in range(1, 4):
        assert share * limit - 8 <= server.accepted[number] <= share * limit + 9


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(40, 200))
def test_others_who_use_the_same_quota_are_made_room_for(seed: int, limit: int) -> None:
    chance = random.Random(seed)
    server = Server(limit, 20, spelling=0, others=0.5)
    window = QuotaWindow(limit, 20.0)

    run(server, window, chance, until=100.0)

    assert all(server.used[number] >= limit - 3 for number in range(1, 4))


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(40, 200))
def test_calls_without_a_reply_cost_at_most_as_many_refusals(seed: int, limit: int) -> None:
    chance = random.Random(seed)
    window = QuotaWindow(limit, 20.0)

    surprises, losses = run(Server(limit, 20, spelling=0), window, chance, until=100.0, lost=0.1)

    assert surprises <= losses
