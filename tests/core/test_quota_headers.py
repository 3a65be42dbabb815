"""Headers of a quota in every form: their names, periods, counts, resets, and the server's clock."""

from __future__ import annotations

import email.utils
import math
from typing import Any

import pytest
import samples
from hypothesis import given, settings, strategies as st
from quota_kit import DAY, HEADERS, HOUR, MINUTE, MONTH, NOW, RESET, YEAR, read

from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import Observation, read_headers, server_time

NOTHING = Observation()


def test_the_vendors_samples_are_read() -> None:
    good, refused = (
        read_headers(sample, 1682593200.0) for sample in (samples.LIMIT_HEADERS, samples.LIMIT_HEADERS_OF_429)
    )

    assert (good.period, good.remaining) == (DAY, 99999)
    assert (refused.period, refused.remaining) == (DAY, 0)
    assert [good.reset_in, refused.reset_in] == pytest.approx([0.268, 46800])


@pytest.mark.parametrize(
    "names",
    [
        ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"),
        ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-rest"),
        ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-rest"),
    ],
)
def test_every_spelling_of_the_names_is_read(names: tuple[str, str, str]) -> None:
    headers = list(zip(names, ("1m", "998", str(RESET)), strict=True))

    assert read_headers([("date", "x"), *headers, ("server", "x")], NOW) == Observation(MINUTE, 998, 60.0, RESET)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "application/json")],
        [("ratelimit-limit", "1m"), ("x-limit-remaining", "1"), ("x-rate-limit", "1m"), ("x-ratelimit-used", "7")],
        [("x-rate", "1"), ("x-rate-", "1"), ("x-ratelimit", "1"), ("x-rates-remaining", "1")],
    ],
)
def test_other_headers_say_nothing(headers: list[tuple[str, str]]) -> None:
    assert read_headers(headers, NOW) == NOTHING


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("1S", 1.0),
        ("60s", 60.0),
        ("1m", MINUTE),
        (" 1m ", MINUTE),
        ("1 m", MINUTE),
        ("10m", 600.0),
        ("1h", HOUR),
        ("1H", HOUR),
        ("1d", DAY),
        ("1D", DAY),
        ("1y", YEAR),
        ("1Y", YEAR),
        ("1M", MINUTE),  # the reset is a minute away
        ("0m", None),
        ("-1m", None),
        ("m", None),
        ("1", None),
        ("1000000", None),
        ("1w", None),
        ("1mm", None),
        ("1.5m", None),
        ("1 0m", None),
        ("\u0661m", None),
        ("9999999m", None),
        ("1e3s", None),
        ("", None),
        ("per minute", None),
        ("1m;w=60", None),
    ],
)
def test_periods_are_read(text: str, seconds: float | None) -> None:
    assert read(limit=text, reset=RESET).period == seconds


@pytest.mark.parametrize(
    ("reset_in", "seconds"),
    [(1, MINUTE), (60, MINUTE), (7200, MINUTE), (7201, MONTH), (20 * DAY, MONTH), (-5, MINUTE)],
)
def test_a_large_m_is_a_minute_when_the_window_ends_soon_and_else_a_month(reset_in: float, seconds: float) -> None:
    assert read(RESET - reset_in, limit="1M", reset=RESET).period == seconds


@pytest.mark.parametrize(
    "headers", [{"limit": "1M"}, {"limit": "1M", "remaining": 5}, {"limit": "1M", "reset": "soon"}]
)
def test_a_large_m_without_a_reset_says_nothing(headers: dict[str, Any]) -> None:
    assert read(**headers).period is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("99999", 99999),
        (" 7 ", 7),
        ("1000000000000", 10**12),
        ("1000000000001", None),
        ("-1", None),
        ("+1", None),
        ("1,000", None),
        ("12,345,678", None),
        ("1e3", None),
        ("1.0", None),
        ("1_000", None),
        ("\u0663", None),
        ("\u00b2", None),
        ("NaN", None),
        ("", None),
        ("9" * 400, None),
        ("none", None),
        ("5, 3, 4", 3),
        ("5,3", 3),
        ("5, x", 5),
    ],
)
def test_counts_are_read(text: str, count: int | None) -> None:
    assert read(remaining=text).remaining == count


@pytest.mark.parametrize(
    ("text", "reset_in"),
    [
        (RESET, 60.0),
        (RESET * 1000, 60.0),
        (RESET * 1000 + 268, 60.268),
        (RESET * 1_000_000, 60.0),
        (f" {RESET} ", 60.0),
        (0, None),
        (f"{RESET}.5", None),
        (-RESET, None),
        (f"+{RESET}", None),
        ("2024-06-26T10:29:29Z", None),
        ("Wed, 26 Jun 2024 10:29:29 GMT", None),
        ("1,719,397,769", None),
        ("\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660", None),
        ("NaN", None),
        ("", None),
        (4_000_000_000, None),
        (RESET * 1_000_000_000, None),
        ("9" * 400, None),
        (f"{RESET}, {RESET + 30}", 90.0),
    ],
)
def test_resets_are_read_in_seconds_milliseconds_and_microseconds(text: Any, reset_in: float | None) -> None:
    seen = read(reset=text).reset_in

    assert seen == (None if reset_in is None else pytest.approx(reset_in))


def test_a_reset_that_is_a_number_of_seconds_lies_in_the_past() -> None:
    seen = read(reset=60).reset_in

    assert seen is not None
    assert seen < 0


def test_of_headers_that_differ_the_stricter_ones_count() -> None:
    headers = [
        ("x-ratelimit-limit", "soon"),
        ("x-ratelimit-remaining", "500"),
        ("x-ratelimit-reset", str(RESET)),
        ("x-rate-limit-limit", "1m"),
        ("x-rate-limit-limit", "1h"),
        ("x-rate-limit-remaining", "20"),
        ("x-rate-limit-remaining", "many"),
        ("x-rate-limit-rest", str((RESET + 5) * 1000)),
    ]

    assert read_headers(headers, NOW) == Observation(MINUTE, 20, 65.0, RESET + 5.0)


@pytest.mark.parametrize("skew", [-600, 600, -YEAR, YEAR, -1.7e9])
def test_the_servers_clock_counts_and_not_ours(skew: float) -> None:
    headers = [
        ("date", email.utils.formatdate(NOW, usegmt=True)),
        ("x-ratelimit-limit", "1m"),
        ("x-ratelimit-remaining", "7"),
        ("x-ratelimit-reset", str(RESET)),
    ]

    assert read_headers(headers, NOW + skew) == Observation(MINUTE, 7, 60.0, RESET, dated=True)


@pytest.mark.parametrize("skew", [-600.0, 600.0, -YEAR, YEAR])
def test_without_the_servers_clock_a_wait_is_at_most_the_period(skew: float) -> None:
    window = QuotaWindow(10, MINUTE)
    window.observe(read(NOW + skew, limit="1m", remaining=0, reset=RESET), 0.0)

    assert (window.wait(0.0) > 0) is (skew < 0)  # what seems to be past is no time to wait for
    assert window.wait(0.0) <= MINUTE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wed, 26 Jun 2024 10:28:29 GMT", NOW),
        ("Wed, 26 Jun 2024 10:28:29 -0000", NOW),
        ("Wed, 26 Jun 2024 19:28:29 +0900", NOW),
        ("26 Jun 2024 10:28:29", NOW),
        ("Wednesday, 26-Jun-24 10:28:29 GMT", NOW),
        *(
            (text, 7.0)
            for text in ("", "x", "2024-06-26T10:28:29Z", "0", "Wed, 99 Jun 2024 10:28:29 GMT", ",", "1 Jun")
        ),
        ("Wed, 26 Jun 99999 10:28:29 GMT", 7.0),
    ],
)
def test_the_servers_clock_is_read(text: str, seconds: float) -> None:
    assert (
        server_time([("content-type", "x"), ("date", text), ("date", "Mon, 01 Jan 2001 00:00:00 GMT")], 7.0) == seconds
    )


@settings(max_examples=500)
@given(HEADERS, st.floats(-1e12, 1e12))
def test_any_headers_can_be_read(headers: list[tuple[str, str]], wall: float) -> None:
    seen = read_headers(headers, wall)

    assert seen.period is None or 0 < seen.period < math.inf
    assert seen.remaining is None or 0 <= seen.remaining <= 10**12
    assert seen.reset_in is None or math.isfinite(seen.reset_in)


@given(st.text(max_size=40))
def test_any_date_can_be_read(text: str) -> None:
    assert math.isfinite(server_time([("date", text)], 7.0))
