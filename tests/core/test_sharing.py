"""The law of sharing: nobody is asked, all see the same counts, and parts become equal."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings, strategies as st

from dfinery_async.core import sharing
from dfinery_async.core.quota import QuotaWindow
from dfinery_async.core.quota_headers import Observation
from dfinery_async.core.sharing import FairShare

SPAN = 60.0
LIMIT = 6000


def meeting(share: FairShare, *, used: int, own: int, after: float = 1.0, at: float = 0.0) -> FairShare:
    """Begin a window, and look once: so much was used in all, and so much of it by us."""
    share.begin(LIMIT, at, SPAN)
    share.own += own
    share.look(LIMIT - used, 0, at + after, SPAN - after, SPAN)
    return share


def test_who_is_alone_has_the_whole() -> None:
    share = FairShare()
    for window in range(3):
        share.begin(LIMIT, window * SPAN, SPAN)
        for second in range(1, 60):
            share.own += 90
            share.look(LIMIT - 90 * second - 10, 10, window * SPAN + second, SPAN - second, SPAN)  # ten in the air

    assert (share.part, share.alone, share.others) == (1.0, True, 0.0)


def test_who_comes_takes_at_first_what_is_left() -> None:
    assert meeting(FairShare(), used=60, own=30).part == pytest.approx(0.7, abs=0.01)  # others use 30 of 100 a second
    assert meeting(FairShare(), used=200, own=50).part == pytest.approx(1 / 16)


def test_who_was_alone_gives_way_little_by_little() -> None:
    share = meeting(FairShare(), used=100, own=100)
    meeting(share, used=200, own=100, at=SPAN)

    assert not share.alone
    assert share.others == pytest.approx(50.0)  # half of what was seen: the first look may be wrong
    assert 0.5 < share.part < 0.9


def test_who_comes_back_after_a_whole_window_is_new_again() -> None:
    share = meeting(FairShare(), used=100, own=100)
    meeting(share, used=200, own=50, at=3 * SPAN)

    assert share.part == pytest.approx(1 / 16)


def test_others_who_left_are_forgotten_after_a_window() -> None:
    share = meeting(FairShare(), used=200, own=50)
    for window in (1, 2):
        meeting(share, used=100, own=100, at=window * SPAN)

    assert (share.alone, share.part) == (True, 1.0)


def test_little_use_is_looked_at_for_longer() -> None:
    share = meeting(FairShare(), used=5, own=1)
    assert (share.alone, share.part) == (False, 1.0)
    share.own += 4
    share.look(LIMIT - 12, 0, 6.5, SPAN - 6.5, SPAN)

    assert share.others == pytest.approx(7 / 6.5)
    assert share.part == pytest.approx(1 - 7 / 6.5 / 100, abs=0.001)


def test_a_raised_limit_is_no_use() -> None:
    share = meeting(FairShare(), used=100, own=100)
    share.look(2 * LIMIT, 0, 2.0, SPAN - 2.0, SPAN)
    share.own += 100
    share.look(2 * LIMIT - 100, 0, 3.0, SPAN - 3.0, SPAN)

    assert share.alone


@pytest.mark.parametrize(("left", "remaining"), [(0.5, 10), (10.0, 2)])
def test_the_end_of_a_window_says_nothing_of_a_part(left: float, remaining: int) -> None:
    share = meeting(FairShare(), used=LIMIT - 12, own=50, after=40.0)  # others are new, and 12 calls are left
    before = share.part
    share.look(remaining, 0, SPAN - left, left, SPAN)

    assert share.part == before
    assert share.others > 0


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 100), st.floats(0, 100)), max_size=30
    )
)
def test_a_part_is_always_a_part(looks: list[tuple[int, int, int, float]]) -> None:
    share, now = FairShare(), 0.0
    share.begin(LIMIT, now, SPAN)
    for remaining, own, in_air, later in looks:
        now += later
        share.own += own
        share.look(remaining, in_air, now, later, SPAN)

        assert 1 / 4096 <= share.part <= 1.0
        assert 0 <= share.others < math.inf


def test_whoever_knows_how_many_share_tells_the_window() -> None:
    window = QuotaWindow(600, SPAN)
    window.share_with(4)

    assert window.pace(0.0) == pytest.approx(10 / 4)
    assert (window.limit, window.guessed, window.alone) == (600, False, True)


def test_with_leases_nothing_is_kept_in_reserve() -> None:
    window = QuotaWindow(600, SPAN)
    window.observe(Observation(SPAN, 600, SPAN, SPAN), 0.0)
    window.observe(Observation(SPAN, 2, SPAN - 1, SPAN), 1.0)
    assert (window.alone, window.wait(1.0)) == (False, SPAN - 1)
    window.leased = True

    assert window.wait(1.0) == 0.0


# --- many of them on one quota, each with what it sees


def shares(count: int, seed: int, *, wanted: float = math.inf, windows: int = 6) -> list[float]:
    """Run windows that follow one another, and return the calls of each client in the last one.

    Args:
        count: how many clients; the last one comes two windows late.
        seed: decides in which order they call.
        wanted: calls a second that the first client wants at the most.
        windows: how many.
    """
    chance = random.Random(seed)
    clients = [QuotaWindow(10**6, SPAN) for _ in range(count)]
    owed = [0.0] * count
    calls = [0] * count
    step = 0.05
    for window in range(windows):
        left, calls = LIMIT, [0] * count
        for turn in range(int(SPAN / step)):
            now = (window * SPAN) + turn * step
            here = count if window >= 2 or count == 1 else count - 1
            for number in chance.sample(range(here), here):
                client = clients[number]
                pace = client.pace(now)
                assert pace is not None
                owed[number] = min(owed[number] + min(pace, wanted if number == 0 else pace, 200.0) * step, 20.0)
                while owed[number] >= 1 and left and client.wait(now) == 0.0:
                    owed[number] -= 1
                    left -= 1
                    calls[number] += 1
                    client.spend()
                    client.observe(Observation(SPAN, left, SPAN - turn * step, (window + 1) * SPAN), now)
    return [called / LIMIT for called in calls]


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_parts_become_equal_and_all_is_used(count: int) -> None:
    found = shares(count, seed=count)

    assert sum(found) > 0.97
    assert min(found) > 0.8 / count


def test_what_one_does_not_want_the_others_have() -> None:
    found = shares(3, seed=1, wanted=5.0)

    assert found[0] == pytest.approx(0.05, abs=0.01)
    assert sum(found) > 0.97
    assert min(found[1:]) > 0.8 * 0.475


def _nobody_gives_way(put: pytest.MonkeyPatch) -> None:
    put.setattr(FairShare, "_move", lambda *_: None)


def _nothing_makes_even(put: pytest.MonkeyPatch) -> None:
    put.setattr(sharing, "_EVEN", 1e9)


@pytest.mark.parametrize("bug", [_nobody_gives_way, _nothing_makes_even])
def test_the_check_of_parts_finds_a_law_that_is_wrong(bug: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(bug)
    bug(monkeypatch)

    found = shares(5, seed=5)
    assert sum(found) < 0.97 or min(found) < 0.8 / 5
