"""When a quota window ends: resets, late replies and guesses, and waits that are neither too long nor for ever."""

from __future__ import annotations

import pytest
from quota_kit import DAY, MINUTE, seen

from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import Observation


def test_the_next_window_begins_with_the_reply_that_names_it() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(0, 2.0), 0.0)
    assert window.wait(0.0) == 2.0
    window.observe(seen(99, 60.0), 1.0)  # our clock was a second late

    assert (window.remaining, window.reset_at, window.wait(1.0)) == (99, 61.0, 0.0)


def test_a_late_reply_of_the_window_before_is_ignored() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(99, 60.0), 0.0)
    window.observe(seen(0, 0.5), 0.5)

    assert (window.remaining, window.wait(0.5)) == (99, 0.0)


def of(window_end: float, remaining: int, reset_in: float, *, dated: bool = True) -> Observation:
    return Observation(MINUTE, remaining, reset_in, window_end, dated=dated)


def test_of_one_windows_replies_the_earliest_end_counts_where_the_servers_clock_tells_it() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(of(1000.0, 99, 31.0), 0.0)
    window.observe(of(1000.0, 98, 30.2), 0.5)  # `Date` has whole seconds: it ends earlier than was thought
    assert window.reset_at == 30.7
    window.observe(of(1000.0, 97, 40.0), 1.0)  # an answer that was long under way
    assert window.reset_at == 30.7
    window.observe(of(1000.0, 96, 10.0, dated=False), 2.0)  # our clock was set
    assert window.reset_at == 30.7


def test_a_reply_that_was_long_under_way_ends_no_window() -> None:
    window = QuotaWindow(100, 1.0)
    window.spend()
    window.spend()
    window.observe(Observation(1.0, 0, 0.4, 1000.0, dated=True), 0.0)
    window.observe(Observation(1.0, 50, 0.9, 1000.0, dated=True), 0.3)  # told half a second before, in whole seconds

    assert window.wait(0.3) == pytest.approx(0.1)


def test_a_late_reply_is_not_taken_for_one_of_the_next_window_until_it_must_be() -> None:
    window = QuotaWindow(100, MINUTE)
    window.spend()
    window.spend()
    window.spend()
    window.observe(of(1000.0, 0, 30.0), 0.0)  # two more are under way
    assert window.wait(31.0) == 0.0
    window.observe(of(1000.0, 0, 1.0), 32.0)
    window.observe(of(1000.0, 0, 1.0), 33.0)
    assert (window.remaining, window.wait(33.0)) == (None, 0.0)

    window.spend()
    window.observe(of(1000.0, 0, 5.0), 34.0)  # it was sent after the end as we saw it: we were too early
    assert window.wait(34.0) == 5.0


NO_END = pytest.mark.parametrize("reset_in", [None, 0.0, -0.005, -1.0, -1e9])


@NO_END
def test_without_a_reset_ahead_a_count_is_spread_for_a_minute_at_most(reset_in: float | None) -> None:
    day = QuotaWindow(100, DAY)
    day.observe(seen(30, reset_in, DAY), 0.0)
    second = QuotaWindow(100, 1.0)
    second.observe(seen(30, reset_in), 0.0)

    assert (day.reset_at, second.reset_at, second.pace(0.0)) == (60.0, 1.0, 30.0)
    assert (day.ends, second.ends) == (None, None)  # nobody has named an end


@NO_END
def test_without_a_reset_ahead_nothing_left_is_no_time_to_wait_for(reset_in: float | None) -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(0, reset_in), 0.0)

    assert (window.wait(0.0), window.pace(0.0), window.remaining, window.reset_at) == (0.0, 10.0, None, None)


@NO_END
def test_a_guess_closes_no_window(reset_in: float | None) -> None:
    window = QuotaWindow(600, MINUTE)
    window.spend()
    window.observe(seen(1, reset_in), 0.0)
    window.spend()
    assert (window.available(), window.wait(1.0)) == (0.0, 0.0)
    window.observe(seen(0, reset_in), 1.0)

    assert (window.remaining, window.reset_at, window.wait(1.0)) == (None, None, 0.0)
    assert window.throttled(1.0, 5.0) == 6.0


def test_a_guess_is_no_time_to_wait_for_after_a_refusal() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(30), 0.0)

    assert window.throttled(0.0, 5.0) == 5.0


def test_a_reset_replaces_a_guess() -> None:
    window = QuotaWindow(100, DAY)
    window.observe(seen(5, None, DAY), 0.0)
    window.observe(seen(0, 36_000.0, DAY), 1.0)

    assert window.wait(1.0) == 36_000.0


def test_the_end_is_the_one_that_the_server_named_last() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(of(1000.25, 99, 31.0), 0.0)
    assert window.ends == 1000.25
    window.observe(of(1001.0, 98, 30.0), 1.0)  # one that moves
    assert window.ends == 1001.0
    window.observe(of(1001.0, 97, -1.0), 2.0)
    assert window.ends == 1001.0
    window.observe(of(9000.0, 96, 8000.0), 3.0)  # further away than we would wait
    assert (window.ends, window.reset_at) == (9000.0, 63.0)
    assert window.wait(63.0) == 0.0
    assert window.ends is None


@pytest.mark.parametrize("reset_in", [61.0, 1e6, 4e9])
def test_a_reset_too_far_away_is_cut_to_the_period(reset_in: float) -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(0, reset_in), 0.0)

    assert window.wait(0.0) == MINUTE


def test_a_window_that_turns_out_to_be_shorter_shortens_the_wait() -> None:
    window = QuotaWindow(100, DAY)
    window.observe(seen(0, 36_000.0), 0.0)
    window.throttled(0.0, 1.0)
    window.observe(seen(0, None, MINUTE), 10.0)

    assert (window.wait(10.0), window.ends) == (MINUTE, None)
    fresh = QuotaWindow(100, DAY)
    fresh.observe(seen(None, None, MINUTE), 0.0)
    assert (fresh.period, fresh.wait(0.0), fresh.reset_at) == (MINUTE, 0.0, None)


def test_after_a_change_of_period_the_true_reset_is_believed() -> None:
    window = QuotaWindow(1000, 3600.0)
    window.observe(Observation(period=3600.0, remaining=500, reset_in=3000.0), 0.0)
    window.observe(Observation(period=60.0, remaining=10), 1.0)
    assert window.reset_at == 61.0
    window.observe(Observation(period=60.0, remaining=9, reset_in=58.0), 30.0)
    assert window.reset_at == 88.0


@pytest.mark.parametrize(("period", "jitter"), [(2.0, 0.1), (MINUTE, 2.0), (DAY, 2.0)])
def test_those_who_wait_for_one_reset_come_back_over_a_part_of_the_window(period: float, jitter: float) -> None:
    assert QuotaWindow(100, period).jitter() == jitter
