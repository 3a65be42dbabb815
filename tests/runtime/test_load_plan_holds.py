"""What a plan says is what a producer does when its quota is the bound."""

from __future__ import annotations

import random

import pytest
from far_end import FarEnd, acquainted, client_of, virtually

from dfinery_async import Event, PacingConfig
from dfinery_async.config import DeliveryConfig
from dfinery_async.core.load_plan import LoadPlan, seconds_for
from dfinery_async.runtime.intake import event_receipt

ROOM = 500


def users_of(form: str) -> list[str]:
    chance = random.Random(7)
    if form == "sorted":
        return [f"u{number // 40}" for number in range(6000)]
    if form == "in turn":
        return [f"u{number % 150}" for number in range(6000)]
    if form == "few at first":
        return [f"u{int(chance.paretovariate(0.6)) % 1000}" for _ in range(6000)]
    return [f"u{chance.randrange(150)}" for _ in range(6000)]


@pytest.mark.parametrize("form", ["sorted", "in turn", "at random", "few at first"])
@pytest.mark.parametrize("limit_rate", [None, 5.0])
def test_requests_and_seconds_are_those_of_a_producer(form: str, limit_rate: float | None) -> None:
    users = users_of(form)
    plan = LoadPlan(DeliveryConfig(max_pending_events=ROOM))
    for user in users:
        plan.add(*event_receipt(user, Event("e"), 0.0))
    plan.finish()
    far_end = FarEnd(latency=0.01)

    async def scenario() -> float:
        pacing = PacingConfig(events=600, limit_rate=limit_rate)
        async with client_of(far_end, pacing=pacing) as client:
            acquainted(client)
            await client.load(((user, Event("e")) for user in users), max_pending_events=ROOM, linger=0.05)
        return far_end.calls[-1].at

    took = virtually(scenario())
    assert len(far_end.calls) == pytest.approx(plan.requests, rel=0.03, abs=3)
    assert len(far_end.calls) >= plan.requests_least
    assert took == pytest.approx(seconds_for(plan.requests, 600, 60.0, most=limit_rate), rel=0.05)
