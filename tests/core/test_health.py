"""What the answers say of the way to the API."""

from __future__ import annotations

import math

import pytest

from dfinery_async.config import RetryConfig
from dfinery_async.core.health import HOPELESS_AFTER, Health
from dfinery_async.core.outcome import Outcome, Verdict
from dfinery_async.errors import ConnectionFailed, InvalidServiceId, InvalidToken, ServerError, UnexpectedResponse

WELL = Outcome(Verdict.DELIVERED)
BUSY = Outcome(Verdict.RETRY, ServerError("busy"))
SILENT = Outcome(Verdict.RETRY, ConnectionFailed("no"))
PAGE = Outcome(Verdict.RETRY, UnexpectedResponse("a web page", status=200, retryable=True))
REFUSED = Outcome(Verdict.UNAUTHORIZED, InvalidToken("no"))
WRONG = Outcome(Verdict.MISCONFIGURED, InvalidServiceId("no"))


def see(health: Health, outcome: Outcome, now: float, *, others: bool = False, chance: float = 0.5) -> None:
    health.observe(outcome, now, others_in_air=others, chance=chance)


def test_all_well() -> None:
    health = Health(RetryConfig())
    health.launched(0.0)
    see(health, WELL, 1.0)
    assert (health.open, health.state(), health.trouble) == (True, "running", None)
    assert health.silent_for(9.0) == 0.0
    assert health.hopeless(1e6) is None


@pytest.mark.parametrize(("outcome", "state"), [(REFUSED, "unauthorized"), (WRONG, "misconfigured")])
def test_a_refusal_closes_the_way_and_probes_grow_rare(outcome: Outcome, state: str) -> None:
    health = Health(RetryConfig())
    see(health, outcome, 100.0)
    assert (health.open, health.state()) == (False, state)
    gaps, now = [], 100.0
    for _ in range(9):
        gaps.append(health.probe_at - now)
        now = health.probe_at
        health.probing(now)
        see(health, outcome, now)
    assert gaps == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    see(health, WELL, now)
    assert (health.open, health.state()) == (True, "running")


def test_any_other_answer_opens_it_too() -> None:
    health = Health(RetryConfig())
    see(health, REFUSED, 0.0)
    see(health, BUSY, 1.0)
    assert health.open


def test_refusals_for_a_minute_are_hopeless_until_something_changes() -> None:
    health = Health(RetryConfig())
    see(health, REFUSED, 0.0)
    see(health, REFUSED, 30.0)
    assert health.hopeless(HOPELESS_AFTER - 0.1) is None
    assert health.hopeless(HOPELESS_AFTER) is REFUSED.error
    see(health, SILENT, 90.0)  # the refusal stays the reason, whatever a probe meets
    assert health.hopeless(91.0) is REFUSED.error
    health.resume(100.0)
    assert health.probe_at == 100.0
    assert health.hopeless(100.0) is None
    assert health.hopeless(100.0 + HOPELESS_AFTER) is REFUSED.error


def test_there_is_nothing_to_resume_on_an_open_way() -> None:
    health = Health(RetryConfig())
    health.resume(1.0)
    assert health.probe_at == math.inf


def test_silence_is_told_and_closes_the_way_when_it_lasts() -> None:
    health = Health(RetryConfig())
    health.launched(0.0)
    health.launched(0.5)
    for attempt in range(1, 6):
        see(health, SILENT, attempt / 10)
        assert health.state() == ("unreachable" if attempt >= 3 else "running")
        assert health.open
    assert health.silent_for(0.9) == pytest.approx(0.9)
    see(health, SILENT, 1.5)
    assert not health.open
    assert 1.5 <= health.probe_at <= 1.5 + 0.4
    for _ in range(40):
        health.probing(health.probe_at)
        see(health, SILENT, health.probe_at, chance=0.999)
    assert health.hopeless(1e9) is None
    see(health, BUSY, 1000.0, others=True)
    assert (health.open, health.state()) == (True, "running")
    assert health.silent_for(1001.0) == 1.0


def test_a_web_page_is_no_answer_of_the_api() -> None:
    health = Health(RetryConfig())
    health.launched(0.0)
    for attempt in range(1, 6):
        see(health, PAGE, float(attempt))
    assert (health.open, health.state()) == (False, "unreachable")
    assert health.silent_for(31.0) == 31.0
    see(health, WELL, 32.0)
    assert (health.open, health.state(), health.silent_for(40.0)) == (True, "running", 0.0)


def test_a_probe_into_silence_waits_for_its_answer() -> None:
    health = Health(RetryConfig(cap=30.0))
    health.launched(0.0)
    for _ in range(6):
        see(health, SILENT, 2.0)
    health.probing(3.0)
    assert health.probe_at == 33.0
