"""Events of one user are cut into as few requests as the API takes, in order and whole."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from dfinery_async import Event, Identity
from dfinery_async.core import codec
from dfinery_async.core.batching import Caps, cut_events

USER = codec.encode_identity(Identity(external_id="u1"))


def event(items: int = 0, filler: str = "") -> Event:
    return Event("x", properties={"filler": filler}, items=[{"df_item_id": str(number)} for number in range(items)])


def sizes(events: list[Event], caps: Caps | None = None) -> list[int]:
    return [len(group) for group in cut_events(USER, events, caps)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (1, [1]), (99, [99]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50]), (300, [100] * 3)],
)
def test_at_most_a_hundred_events_go_together(count: int, expected: list[int]) -> None:
    assert sizes([event() for _ in range(count)]) == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([100], [1]),
        ([100, 0, 0], [3]),
        ([100, 1], [1, 1]),
        ([0, 100, 1, 99, 1], [2, 2, 1]),
        ([50, 50, 1], [2, 1]),
        ([51, 50], [1, 1]),
        ([2] * 100, [50, 50]),
        ([1] * 101, [100, 1]),
    ],
)
def test_at_most_a_hundred_items_go_together(items: list[int], expected: list[int]) -> None:
    assert sizes([event(count) for count in items]) == expected


def test_a_body_may_be_as_large_as_the_cap_and_no_byte_larger() -> None:
    events = [event(filler="a" * 100) for _ in range(10)]
    body = codec.events_body(USER, [codec.encode_event(one) for one in events])

    assert sizes(events, Caps(bytes=len(body))) == [10]
    assert sizes(events, Caps(bytes=len(body) - 1)) == [9, 1]


def test_an_event_larger_than_the_cap_goes_alone() -> None:
    assert sizes([event(), event(filler="a" * 5000), event(), event()], Caps(bytes=2000)) == [1, 1, 2]


def test_learned_caps_hold() -> None:
    assert sizes([event() for _ in range(10)], Caps(events=4)) == [4, 4, 2]
    assert sizes([event() for _ in range(3)], Caps(events=1)) == [1, 1, 1]


def test_events_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def source() -> Iterator[Event]:
        for number in range(1000):
            taken.append(number)
            yield event()

    groups = cut_events(USER, source())
    assert taken == []
    next(groups)

    assert len(taken) == 101  # the one that did not fit any more is the last


def test_what_refuses_an_event_stops_the_cutting_after_whole_groups() -> None:
    def source() -> Iterator[Event]:
        for _ in range(100):
            yield event()
        raise RuntimeError("no more")

    groups = cut_events(USER, source(), Caps(events=50))

    assert len(next(groups)) == 50
    with pytest.raises(RuntimeError, match="no more"):
        next(groups)


@given(
    st.lists(st.tuples(st.integers(0, 100) | st.integers(0, 3), st.integers(0, 400)), max_size=60),
    st.sampled_from([Caps(), Caps(events=7), Caps(items=100, bytes=3000), Caps(events=100, items=100, bytes=700)]),
)
def test_order_is_kept_nothing_is_lost_limits_hold_and_no_request_is_wasted(
    shapes: list[tuple[int, int]], caps: Caps
) -> None:
    events = [event(items, "a" * filler) for items, filler in shapes]
    groups = list(cut_events(USER, events, caps))

    def fits(group: list[bytes]) -> bool:
        items = sum(len(json.loads(encoded)["event_items"] or ()) for encoded in group)
        return len(group) <= caps.events and items <= caps.items and len(codec.events_body(USER, group)) <= caps.bytes

    sent: list[Any] = [codec.decode_event(encoded) for group in groups for encoded in group]
    assert sent == events
    assert all(groups)
    assert all(fits(group) or len(group) == 1 for group in groups)
    # In order, filling each request as far as it goes takes the fewest: the next event would not have fitted.
    assert not any(fits([*group, following[0]]) for group, following in itertools.pairwise(groups))
