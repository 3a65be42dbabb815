from __future__ import annotations

import datetime as dt

import pytest

from dfinery_async.cli.texts import until

NOW = dt.datetime(2025, 3, 2, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(("seconds", "left"), [(0, "0:00:00"), (59, "0:00:59"), (90.2, "0:01:30"), (90000, "25:00:00")])
def test_a_moment_to_come_is_told_by_the_clock_of_this_machine(seconds, left):
    moment = (NOW + dt.timedelta(seconds=seconds)).astimezone()
    day = "" if moment.date() == NOW.astimezone().date() else f"{moment:%Y-%m-%d} "

    assert until(seconds, NOW) == f"{day}{moment:%H:%M:%S}, in {left}"


def test_another_day_is_named():
    assert until(2 * 86400, NOW).startswith("2025-03-0")
