"""`Retry-After`, seconds or a date."""

from __future__ import annotations

import pytest

from dfinery_async.core.outcome import Verdict, classify
from dfinery_async.core.quota_headers import read_retry_after

WALL = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", 5.0),
        (" 5 ", 5.0),
        ("0", 0.0),
        ("100000", 3600.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", None),
        ("Fri, 14 Nov 2053 22:13:20 GMT", 3600.0),
        ("-5", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_forms(value: str, expected: float | None) -> None:
    assert read_retry_after([("server", "x"), ("retry-after", value)], WALL) == expected


def test_a_date_counts_by_the_clock_of_the_server() -> None:
    headers = [("date", "Tue, 14 Nov 2023 23:13:20 GMT"), ("retry-after", "Tue, 14 Nov 2023 23:13:27 GMT")]
    assert read_retry_after(headers, WALL) == 7.0


def test_none_is_none() -> None:
    assert read_retry_after([("date", "Tue, 14 Nov 2023 23:13:20 GMT")], WALL) is None


def test_it_goes_with_a_failure_and_means_nothing_beside_a_success() -> None:
    busy = classify(503, b"", 7.0)
    assert (busy.verdict, busy.retry_after) == (Verdict.RETRY, 7.0)
    assert classify(200, b'{"status":true,"code":20000}', 7.0).retry_after is None
