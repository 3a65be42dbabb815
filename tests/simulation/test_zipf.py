"""Order per user must cost next to nothing, also where a few users have most of the events."""

from __future__ import annotations

import sys

import pytest
from sim_zipf import ordered, stream, unordered


@pytest.mark.parametrize(
    ("name", "events", "least"),
    [
        ("even", 40_000, 0.95),
        ("zipf 1.0", 150_000, 0.95),
        ("zipf 1.2", 40_000, 0.9),
        ("one hot user, 10 %", 40_000, 0.95),
    ],
)
def test_order_costs_next_to_no_throughput(name, events, least):
    whose = stream(name, events)

    with_order, without = ordered(whose), unordered(whose)

    sys.stdout.write(
        f"{name}: {with_order:.0f} a second with order, {without:.0f} without: {with_order / without:.3f}\n"
    )
    assert with_order >= least * without
