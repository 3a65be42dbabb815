"""Alarms ring once, in the order of their times, and the ones that were taken off cost nothing."""

from __future__ import annotations

import math
import random

import pytest

from dfinery_async.core.alarms import Alarms


class Lane:
    def __init__(self) -> None:
        self.wake = math.inf


def test_alarms_ring_in_the_order_of_their_times() -> None:
    alarms: Alarms[Lane] = Alarms()
    first, second, third = Lane(), Lane(), Lane()
    alarms.follow(second, 2.0)
    alarms.follow(third, 3.0)
    alarms.follow(first, 1.0)
    assert alarms.earliest == alarms.next() == 1.0
    assert list(alarms.ring(0.9)) == []
    assert list(alarms.ring(2.5)) == [first, second]
    assert (first.wake, third.wake) == (math.inf, 3.0)
    assert list(alarms.ring(9.0)) == [third]
    assert alarms.next() == math.inf


def test_an_alarm_is_set_earlier() -> None:
    alarms: Alarms[Lane] = Alarms()
    lane = Lane()
    alarms.follow(lane, 5.0)
    alarms.set(lane, 3.0)
    alarms.set(lane, 2.0)
    assert list(alarms.ring(10.0)) == [lane]
    assert len(alarms) == 0


@pytest.mark.parametrize("late", [False, True])
def test_what_was_taken_off_does_not_pile_up(late: bool) -> None:
    alarms: Alarms[Lane] = Alarms()
    stays = Lane()
    alarms.follow(stays, 1e9 if late else 0.0)
    for number in range(10_000):
        lane = Lane()
        alarms.follow(lane, float(number))
        alarms.off(lane)
        alarms.off(lane)
    assert len(alarms) < 100
    assert list(alarms.ring(1e9)) == [stays]


def test_any_schedule_rings_as_a_sorted_list_would() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        alarms: Alarms[Lane] = Alarms()
        lanes = [Lane() for _ in range(20)]
        now = 0.0
        for _ in range(300):
            now += chance.random()
            lane = chance.choice(lanes)
            step, when = chance.random(), now + chance.random() * chance.choice((1, 10))
            if step < 0.3 and lane.wake == math.inf:
                alarms.follow(lane, now + 10.0)
            elif step < 0.5 and when < lane.wake:
                alarms.set(lane, when)
            elif step < 0.6:
                alarms.off(lane)
            due = sorted(other.wake for other in lanes if other.wake <= now)
            assert alarms.earliest <= min(other.wake for other in lanes)
            times = {id(other): other.wake for other in lanes}
            assert [times[id(other)] for other in alarms.ring(now)] == due
            assert alarms.next() == min(other.wake for other in lanes)


def test_an_alarm_that_follows_another_of_its_lane_takes_its_place() -> None:
    alarms: Alarms[Lane] = Alarms()
    lane = Lane()
    alarms.set(lane, 9.0)
    alarms.follow(lane, 5.0)
    assert list(alarms.ring(5.0)) == [lane]
    assert alarms.next() == math.inf
