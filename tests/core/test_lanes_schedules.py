"""Any schedule of lanes: random work, answers and times, with a checker of every step that is shown to fail."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from lanes_kit import event, identity, profile

from dfinery_async.config import Family
from dfinery_async.core.caps import Caps
from dfinery_async.core.lane import Lane
from dfinery_async.core.lanes import Lanes
from dfinery_async.core.work import Batch, Work

FAMILIES: tuple[Family, ...] = ("events", "identities", "profiles")


class Checker:
    """Holds what lanes give out against what was put in."""

    def __init__(self, caps: Caps, timeout: float) -> None:
        self.caps = caps
        self.timeout = timeout
        self.waiting: dict[bytes, list[Work]] = {}
        self.in_air: dict[bytes, int] = {}  # how many of the first ones are

    def added(self, key: bytes, work: Work) -> None:
        self.waiting.setdefault(key, []).append(work)

    def took(self, batch: Batch) -> None:
        assert batch.key not in self.in_air, "two requests of a user in the air"
        self.in_air[batch.key] = len(batch.works)
        assert batch.works
        assert len({work.family for work in batch.works}) == 1, "kinds are mixed"
        assert len(batch.works) <= max(self.caps.events, 1)
        assert len(batch.works) == 1 or sum(work.items for work in batch.works) <= self.caps.items
        assert self.waiting[batch.key][: len(batch.works)] == list(batch.works), "out of order"

    def settled(self, batch: Batch) -> None:
        del self.in_air[batch.key]
        del self.waiting[batch.key][: len(batch.works)]

    def gave_up(self, gone: list[Work], now: float) -> None:
        """All that is too old has left its lane, wherever it stood, unless it is in the air; and nothing else has."""
        due: list[Work] = []
        for key, works in self.waiting.items():
            left = self.in_air.get(key, 0)
            due += [work for work in works[left:] if work.accepted_at + self.timeout <= now]
            works[left:] = [work for work in works[left:] if work.accepted_at + self.timeout > now]
        assert {id(work) for work in gone} == {id(work) for work in due}, "not given up in time, or too early"


def come_back(lanes: Lanes, checker: Checker, batch: Batch, now: float, chance: random.Random) -> None:
    """A request has its answer."""
    answer = chance.choice(("settle", "put back", "later", "divide"))
    if answer == "settle" or (answer == "divide" and len(batch.works) == 1):
        checker.settled(batch)
        lanes.settle(batch, now)
        return
    del checker.in_air[batch.key]
    if answer == "put back":
        lanes.put_back(batch, now)
    elif answer == "later":
        lanes.put_back(batch, now, now + chance.random())
    else:
        lanes.divide(batch, now)


def play(lanes: Lanes, seed: int, timeout: float, steps: int = 300) -> None:
    """Random work for random users, random answers, and a check of every request."""
    chance = random.Random(seed)
    checker = Checker(lanes.caps, timeout)
    now, air = 0.0, list[Batch]()
    for number in range(steps):
        now += chance.random() * 0.1
        checker.gave_up(lanes.expired(now) if lanes.sleeps_until <= now else [], now)
        match chance.choice(("add", "add", "take", "take", "answer", "answer", "release")):
            case "add":
                key = b"u%d" % int(chance.expovariate(0.4))
                kind = chance.choice(("event", "event", "event", "profile", "identity"))
                if kind == "event":
                    work = event(number, at=now, items=chance.choice((0, 0, 1, 3)))
                else:
                    work = profile(at=now, n=number) if kind == "profile" else identity(at=now)
                checker.added(key, work)
                lanes.add(key, work, now)
            case "take":
                batch = lanes.take(chance.choice(FAMILIES), now)
                if batch is not None:
                    checker.took(batch)
                    air.append(batch)
            case "answer" if air:
                batch = air.pop(chance.randrange(len(air)))
                come_back(lanes, checker, batch, now, chance)
            case "release":
                lanes.release(now)
            case _:
                pass
    now += 1.5
    checker.gave_up(lanes.expired(now), now)
    for batch in air:
        checker.settled(batch)
        lanes.settle(batch, now)
    while batch := next((taken for family in FAMILIES if (taken := lanes.take(family, now))), None):
        checker.took(batch)
        checker.settled(batch)
        lanes.settle(batch, now)
    assert not any(checker.waiting.values()), "work was lost"
    assert len(lanes) == 0
    assert lanes.next_wake() == math.inf


@pytest.mark.parametrize("timeout", [1e6, 3.0])
@pytest.mark.parametrize("linger", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(150))
def test_any_schedule_keeps_order_and_loses_nothing(seed: int, linger: float, timeout: float) -> None:
    play(Lanes(Caps(events=4, items=5), linger=linger, timeout=timeout), seed, timeout)


def _skips_the_queue(lanes: Lanes) -> None:
    put_back: Callable[..., None] = lanes.put_back

    def behind(batch: Batch, now: float, not_before: float = -math.inf) -> None:
        put_back(batch, now, not_before)
        front = lanes._lane(batch.key).front
        assert front
        front.append(front.pop(0))

    lanes.put_back = behind  # type: ignore[method-assign]


def _two_in_the_air(lanes: Lanes) -> None:
    add = lanes.add

    def forgetful(key: bytes, work: Work, now: float) -> None:
        add(key, work, now)
        lane = lanes._users[key]
        if isinstance(lane, Lane) and lane.in_air:
            lane.in_air = False
            lanes._make_ready(lane, now)

    lanes.add = forgetful  # type: ignore[method-assign]


def _loses_the_tail(lanes: Lanes) -> None:
    cut = lanes._cut

    def short(lane: object) -> Batch:
        batch = cut(lane)  # type: ignore[arg-type]
        batch.works = batch.works[:1]
        return batch

    lanes._cut = short  # type: ignore[method-assign]


def _forgets_what_is_behind_a_request(lanes: Lanes) -> None:
    for name in ("_arm", "_give_up_old"):
        step: Callable[..., None] = getattr(lanes, name)

        def unless_in_air(lane: Lane, *now: float, step: Callable[..., None] = step) -> None:
            if not lane.in_air:
                step(lane, *now)

        setattr(lanes, name, unless_in_air)


@pytest.mark.parametrize("bug", [_skips_the_queue, _two_in_the_air, _loses_the_tail, _forgets_what_is_behind_a_request])
def test_the_checker_finds_seeded_bugs(bug: Callable[[Lanes], None]) -> None:
    found = 0
    for seed in range(30):
        lanes = Lanes(Caps(events=4, items=5), timeout=2.0)
        bug(lanes)
        try:
            play(lanes, seed, 2.0)
        except (AssertionError, KeyError, IndexError):
            found += 1
    assert found
