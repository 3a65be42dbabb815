"""The model of docs/scale.md against runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from engine_rows import rows
from scale_model import Site, longest, paces, page_rows, requests

from dfinery_async import RetryConfig, send_partition
from dfinery_async.emulator import Emulator, Fault


@pytest.mark.parametrize(("times", "failures"), [(1, 0.0), (1, 0.05), (3, 0.05)])
def test_a_run_takes_as_many_requests_as_the_model_says(times, failures):
    made = list(rows(1, times, by_user=True))
    predicted = requests(Counter(row["identity"]["external_id"] for row in made).values(), failures)
    with Emulator(seed=3) as emulator:
        emulator.inject(Fault("status", rate=failures))
        settings = {
            "service_id": emulator.service_id,
            "import_token": emulator.import_token,
            "base_url": emulator.base_url,
            "retry": RetryConfig(base=0.001, cap=0.01),
        }
        report = send_partition(made, settings=settings)

    assert report.complete
    assert report.requests == pytest.approx(predicted, rel=0.02)


def test_each_bound_bites_somewhere():
    bounds = {
        "quota": paces(1.0, Site(workers=1000)),
        "connections": paces(1.0, Site(workers=1, round_trip=0.5)),
        "processors": paces(100.0, Site(workers=1, round_trip=0.001)),
    }

    assert {name: min(found, key=lambda each: found[each]) for name, found in bounds.items()} == {
        name: name for name in bounds
    }


def test_one_users_requests_follow_one_another():
    assert longest(100_000, 0.05) == pytest.approx(50.0)
    assert longest(1, 0.05) == longest(100, 0.05) == 0.05


def test_the_page_says_what_the_model_says():
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text("utf-8")

    assert [row for row in page_rows() if row not in page] == []
