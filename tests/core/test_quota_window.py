"""One quota window: the calls that are left in it, their pace, refusals, and a share of them."""

from __future__ import annotations

import math

import pytest
from quota_kit import HOUR, MINUTE, seen

from dfinery_async.core.quota import QuotaWindow


def test_nothing_known_is_the_nominal_quota_spread_out() -> None:
    window = QuotaWindow(600, MINUTE)

    assert (window.wait(0.0), window.pace(0.0), window.available()) == (0.0, 10.0, math.inf)
    assert (window.remaining, window.reset_at) == (None, None)


def test_what_is_left_is_spread_over_what_is_left_of_the_window() -> None:
    window = QuotaWindow(600, MINUTE)
    window.spend()
    window.observe(seen(100, 20.0, MINUTE), 0.0)

    assert (window.remaining, window.reset_at, window.pace(0.0)) == (100, 20.0, 5.0)
    assert window.pace(10.0) == 10.0
    assert window.pace(19.9999) == 100 / 0.01  # never a division by nearly nothing


def test_a_limit_of_ones_own_bounds_the_pace_whatever_replies_say() -> None:
    window = QuotaWindow(600, MINUTE, most=2.0)

    assert window.pace(0.0) == 2.0
    window.observe(seen(10**6, 30.0), 0.0)
    assert window.pace(0.0) == 2.0
    window.observe(seen(15, 30.0), 0.0)
    assert window.pace(0.0) == 0.5
    assert QuotaWindow(100, HOUR, most=2.0).pace(0.0) == 2.0  # beyond the horizon, too


def test_a_window_beyond_the_horizon_is_not_spread() -> None:
    window = QuotaWindow(100, HOUR)

    assert window.pace(0.0) is None
    window.observe(seen(0, 1000.0), 0.0)
    assert window.pace(0.0) is None
    assert window.wait(0.0) == 1000.0


def test_a_used_up_window_is_waited_out_before_the_next_call() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(0, 20.0), 0.0)

    assert (window.wait(0.0), window.wait(15.0), window.wait(20.0)) == (20.0, 5.0, 0.0)
    assert window.remaining is None


def test_calls_under_way_count_as_used() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(3, 20.0), 0.0)
    for _ in range(3):
        assert window.wait(1.0) == 0.0
        window.spend()

    assert window.available() == 0
    assert window.wait(1.0) == 19.0
    window.forget()  # one was not made after all
    assert window.wait(1.0) == 0.0


def test_forgetting_more_than_was_spent_gains_nothing() -> None:
    window = QuotaWindow(600, MINUTE)
    window.observe(seen(3, 20.0), 0.0)
    for _ in range(5):
        window.forget()

    assert window.available() == 3


def test_replies_that_overtake_each_other_leave_the_smallest_count() -> None:
    window = QuotaWindow(600, MINUTE)
    for _ in range(4):
        window.spend()
    for remaining in (597, 599, 598, 596):
        window.observe(seen(remaining, 30.0), 0.0)

    assert (window.remaining, window.available()) == (596, 596)


def test_a_raised_limit_is_believed_once_no_older_reply_can_be_meant() -> None:
    window = QuotaWindow(600, MINUTE)
    for _ in range(3):
        window.spend()
    window.observe(seen(10, 30.0), 0.0)  # two more are under way, which the server may have counted before
    window.observe(seen(12, 30.0), 0.0)
    window.observe(seen(11, 30.0), 0.0)
    assert window.remaining == 10

    window.spend()
    window.observe(seen(5000, 29.0), 1.0)
    assert window.remaining == 5000


def test_a_cut_limit_is_believed_at_once() -> None:
    window = QuotaWindow(10_000, MINUTE)
    window.observe(seen(9_999, 60.0), 0.0)
    window.observe(seen(4, 50.0), 10.0)

    assert window.remaining == 4
    assert window.wait(10.0) == 50.0  # as far as we can see, others have used nearly all: the rest is a reserve


def test_the_limit_is_learned_for_the_pace_of_the_next_window() -> None:
    window = QuotaWindow(1_000_000, MINUTE)
    window.spend()
    window.observe(seen(599, 30.0), 0.0)
    window.spend()
    window.observe(seen(598, 29.0), 1.0)

    assert window.wait(30.0) == 0.0
    assert window.pace(30.0) == 10.0


def test_a_limit_of_nothing_leaves_a_pace() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(0, 10.0), 0.0)

    assert window.pace(10.0) == 1 / 60


# --- too many requests


def test_too_many_requests_are_believed_whatever_remains() -> None:
    window = QuotaWindow(100, MINUTE)
    window.observe(seen(50, 20.0), 0.0)

    assert window.throttled(0.0, 1.0) == 20.0
    assert (window.wait(0.0), window.wait(19.5), window.wait(20.0)) == (20.0, 0.5, 0.0)


def test_without_a_reset_the_fallback_is_held_at_most_for_the_period() -> None:
    window = QuotaWindow(100, MINUTE)

    assert window.throttled(5.0, 0.8) == 5.8
    assert window.throttled(5.0, 1e6) == 65.0
    assert window.throttled(5.0, 0.1) == 65.0  # never shorter than what is held already


# --- a share of the quota


def test_a_share_is_a_share_of_the_whole_window() -> None:
    window = QuotaWindow(100, MINUTE, share=0.5)
    made = 0
    for number in range(60):
        remaining = 100 - made
        while window.wait(float(number)) == 0.0:
            window.spend()
            made += 1
            remaining -= 1
            window.observe(seen(remaining, 60.0 - number), float(number))

    assert made == 50


def test_a_share_is_spread_over_the_window() -> None:
    window = QuotaWindow(600, MINUTE, share=0.25)

    assert window.pace(0.0) == 2.5
    window.spend()
    window.observe(seen(599, 60.0), 0.0)
    assert window.pace(0.0) == pytest.approx(149 / 60)


def test_a_small_share_is_still_one_call() -> None:
    window = QuotaWindow(1, MINUTE, share=0.01)
    window.observe(seen(1, 60.0), 0.0)

    assert window.wait(0.0) == 0.0
    window.spend()
    assert window.wait(0.0) == 60.0


def test_others_who_use_the_quota_leave_less() -> None:
    window = QuotaWindow(100, MINUTE, share=0.5)
    window.observe(seen(100, 60.0), 0.0)
    window.observe(seen(3, 50.0), 10.0)

    assert window.available() == 3
