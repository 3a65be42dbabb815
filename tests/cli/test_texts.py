from __future__ import annotations

import datetime as dt

import pytest

from dfinery_async.cli.texts import until

NOW = dt.datetime(2025, 3, 2, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "left"), [(-5, "0:00:00"), (0, "0:00:00"), (59, "0:00:59"), (90, "0:01:30"), (90000, "25:00:00")]
)
def test_a_moment_to_come_is_told_by_the_clock_of_this_machine(seconds, left):
    moment = NOW + dt.timedelta(seconds=seconds)
    local = moment.astimezone()
    day = "" if local.date() == NOW.astimezone().date() else f"{local:%Y-%m-%d} "

    assert until(moment, NOW) == f"{day}{local:%H:%M:%S}, in {left}"


def test_another_day_is_named():
    assert until(NOW + dt.timedelta(days=2), NOW).startswith("2025-03-0")
